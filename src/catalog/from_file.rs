//! The `[[webhook]]` tables of the configuration, as definitions.

use std::path::Path;

use super::validate::{self, Valid};
use crate::config::{Config, ConfigError, Loaded, Place, Problem};
use crate::domain::models::Models;

/// A definition of the file, and the line its table begins at.
#[derive(Debug)]
pub struct FromFile {
    pub line: usize,
    pub valid: Valid,
}

/// The configuration with the definitions in it.
///
/// # Errors
/// A file that cannot be read, or every problem of every key and every table.
pub fn load(explicit: Option<&Path>) -> Result<(Loaded, Vec<FromFile>), ConfigError> {
    complete(Config::survey(explicit)?)
}

/// The same place again, as SIGHUP asks for.
///
/// # Errors
/// As [`load`]; the caller keeps the old configuration then.
pub fn reload(loaded: &Loaded) -> Result<(Loaded, Vec<FromFile>), ConfigError> {
    complete(loaded.survey_again()?)
}

/// All definitions of the file, in its order.
///
/// # Errors
/// Every problem of every table.
pub fn from_file(loaded: &Loaded) -> Result<Vec<FromFile>, ConfigError> {
    complete((loaded.clone(), Vec::new())).map(|(_, definitions)| definitions)
}

fn complete((loaded, mut problems): (Loaded, Vec<Problem>)) -> Result<(Loaded, Vec<FromFile>), ConfigError> {
    let definitions = definitions(&loaded.config, &mut problems);
    problems.sort();
    if problems.is_empty() {
        Ok((loaded, definitions))
    } else {
        Err(ConfigError::Invalid { file: loaded.file, problems })
    }
}

fn definitions(config: &Config, problems: &mut Vec<Problem>) -> Vec<FromFile> {
    // Models that are not right are told of where the key is read.
    let models = Models::with_extra(&config.webhooks.models).unwrap_or_else(|_| Models::builtin());
    let mut definitions = Vec::with_capacity(config.file_webhooks.len());
    for webhook in &config.file_webhooks {
        let line = webhook.line;
        match validate::create(&webhook.value, &models) {
            Ok(valid) => definitions.push(FromFile { line, valid }),
            Err(errors) => {
                for (field, messages) in errors.0 {
                    let key = format!("webhook.{field}");
                    // The reader of the file may have said it already.
                    if problems.iter().any(|p| p.place == Place::Line(line) && p.key == key) {
                        continue;
                    }
                    problems.extend(messages.into_iter().map(|text| Problem::new(Place::Line(line), &key, text)));
                }
            }
        }
    }
    definitions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(text: &str) -> Result<Vec<FromFile>, String> {
        let config = Config::parse(text, &[]).expect("the file itself is right");
        from_file(&Loaded::built(config)).map_err(|e| e.to_string())
    }

    #[test]
    fn tables_become_definitions_in_their_order() {
        let text = "[webhooks]\nmodels = [\"my_plugin.Thing\"]\n\
            [[webhook]]\nname = \"a\"\nmodels = [\"Site\", \"my_plugin.thing\"]\ntype_create = true\npayload_url = \"https://a/\"\n\
            [[webhook]]\nname = \"b\"\nmodels = [\"dcim.rack\"]\ntype_delete = true\npayload_url = \"https://b/\"\n";
        let specs = read(text).expect("two definitions");
        let names: Vec<_> = specs.iter().map(|d| d.valid.0.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(specs[0].valid.0.models, ["dcim.site", "my_plugin.thing"]);
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
