//! The `[[webhook]]` tables of the configuration, as definitions.

use super::validate::{self, Valid};
use crate::config::{ConfigError, Loaded, Place, Problem};
use crate::domain::models::Models;

/// All definitions of the file, in its order.
///
/// # Errors
/// Every problem of every table, with the line the table begins at.
pub fn from_file(loaded: &Loaded) -> Result<Vec<Valid>, ConfigError> {
    let config = &loaded.config;
    let mut problems = Vec::new();
    let models = Models::with_extra(&config.webhooks.models).unwrap_or_else(|e| {
        // Checked when the configuration was read; said again rather than ignored.
        problems.push(Problem::new(Place::Line(0), "webhooks.models", e.to_string()));
        Models::builtin()
    });
    let mut valid = Vec::with_capacity(config.file_webhooks.len());
    for webhook in &config.file_webhooks {
        match validate::create(&webhook.value, &models) {
            Ok(definition) => valid.push(definition),
            Err(errors) => {
                let place = Place::Line(webhook.line);
                problems.extend(errors.0.into_iter().flat_map(|(field, messages)| {
                    let key = format!("webhook.{field}");
                    let place = place.clone();
                    messages.into_iter().map(move |message| Problem::new(place.clone(), &key, message))
                }));
            }
        }
    }
    if problems.is_empty() { Ok(valid) } else { Err(ConfigError::Invalid { file: loaded.file.clone(), problems }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(text: &str) -> Result<Vec<Valid>, String> {
        let config = Config::parse(text, &[]).expect("the file itself is right");
        from_file(&Loaded::built(config)).map_err(|e| e.to_string())
    }

    #[test]
    fn tables_become_definitions_in_their_order() {
        let text = "[webhooks]\nmodels = [\"my_plugin.Thing\"]\n\
            [[webhook]]\nname = \"a\"\nmodels = [\"Site\", \"my_plugin.thing\"]\ntype_create = true\npayload_url = \"https://a/\"\n\
            [[webhook]]\nname = \"b\"\nmodels = [\"dcim.rack\"]\ntype_delete = true\npayload_url = \"https://b/\"\n";
        let specs = read(text).expect("two definitions");
        let names: Vec<_> = specs.iter().map(|(spec, _)| spec.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(specs[0].0.models, ["dcim.site", "my_plugin.thing"]);
    }

    #[test]
    fn every_problem_of_every_table_is_named_with_its_line() {
        let text = "[[webhook]]\nname = \"a\"\nmodels = [\"dcim.nothing\"]\ntype_create = true\npayload_url = \"https://a/\"\n\
            [[webhook]]\nname = \"b\"\nmodels = [\"dcim.rack\"]\ncolour = 1\n";
        let problems = read(text).expect_err("several problems");
        assert!(problems.contains("line 1: webhook.models: "), "{problems}");
        assert!(problems.contains("line 6: webhook.payload_url: "), "{problems}");
        assert!(problems.contains("line 6: webhook.colour: "), "{problems}");
    }
}
