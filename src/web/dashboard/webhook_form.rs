//! The form of a webhook: the fields of the REST API as people type them.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use askama::Template;
use serde_json::{Map, Value};

use super::failure::Failure;
use super::form::Form;
use super::frame::{self, Frame};
use crate::domain::ids::WebhookId;
use crate::web::State;
use crate::web::error::{ApiError, FieldErrors};

const FLAGS: [&str; 7] =
    ["enabled", "type_create", "type_update", "type_delete", "type_job_start", "type_job_end", "ssl_verification"];
const TEXTS: [&str; 11] = [
    "name",
    "description",
    "payload_url",
    "http_method",
    "http_content_type",
    "additional_headers",
    "body_template",
    "payload_format",
    "secret",
    "signing",
    "ca_file_path",
];

/// The values of the form, and what is wrong with them.
#[derive(Debug, Default)]
pub struct Fields {
    values: BTreeMap<String, String>,
    problems: FieldErrors,
}

#[derive(Template)]
#[template(path = "webhook_form.html")]
struct WebhookForm {
    frame: Frame,
    fields: Fields,
    id: Option<WebhookId>,
}

/// The form.
pub fn page(frame: Frame, _state: &State, fields: Fields, id: Option<WebhookId>) -> Result<HttpResponse, Failure> {
    frame::page(&WebhookForm { frame, fields, id })
}

/// The form as it was sent, with what is wrong.
pub fn again(
    frame: Frame,
    _state: &State,
    mut fields: Fields,
    (id, error): (Option<WebhookId>, ApiError),
) -> Result<HttpResponse, Failure> {
    match error.of_fields() {
        Some(problems) => fields.problems = problems.clone(),
        None if error.status_code().is_client_error() => {
            fields.problems = FieldErrors::from([("non_field_errors".to_owned(), vec![error.text()])]);
        }
        None => return Err(error.into()),
    }
    frame::answer(StatusCode::BAD_REQUEST, &WebhookForm { frame, fields, id })
}

impl Fields {
    /// A new webhook.
    pub fn blank() -> Self {
        let set = ["enabled", "type_create", "type_update", "type_delete", "ssl_verification"];
        let mut values: BTreeMap<_, _> = set.map(|name| (name.to_owned(), "true".to_owned())).into();
        values.insert("http_method".to_owned(), "POST".to_owned());
        values.insert("http_content_type".to_owned(), "application/json".to_owned());
        Self { values, problems: FieldErrors::new() }
    }

    /// Of a definition as the API shows it.
    pub fn of(definition: Value) -> Self {
        let Value::Object(map) = definition else { return Self::default() };
        let text = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
            Value::Object(_) => serde_json::to_string_pretty(value).unwrap_or_default(),
            other => other.to_string(),
        };
        let values = map.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        Self { values, problems: FieldErrors::new() }
    }

    /// As a form sent it. An unticked box is not sent.
    pub fn sent(form: &Form) -> Self {
        let mut values = BTreeMap::new();
        for name in TEXTS.into_iter().chain(["models", "conditions", "timeout"]) {
            // Forms break lines with CR LF.
            values.insert(name.to_owned(), form.get(name).replace("\r\n", "\n"));
        }
        for name in FLAGS {
            values.insert(name.to_owned(), form.has(name).to_string());
        }
        Self { values, problems: FieldErrors::new() }
    }

    /// As the REST API takes it.
    ///
    /// # Errors
    /// The conditions are not JSON.
    pub fn input(&self) -> Result<Value, ApiError> {
        let mut input = Map::new();
        for name in TEXTS {
            let text = self.value(name);
            // Choices that a form leaves open keep their default.
            if !(text.is_empty() && matches!(name, "http_method" | "payload_format" | "signing" | "http_content_type"))
            {
                input.insert(name.to_owned(), text.into());
            }
        }
        for name in FLAGS {
            input.insert(name.to_owned(), self.is_set(name).into());
        }
        let names = self.value("models").split([',', '\n', ' ']).map(str::trim).filter(|name| !name.is_empty());
        input.insert("models".to_owned(), names.map(Value::from).collect());
        let conditions = self.value("conditions").trim();
        let parsed = match conditions {
            "" => Value::Null,
            text => serde_json::from_str(text)
                .map_err(|e| ApiError::field("conditions", format!("this is not JSON: {e}")))?,
        };
        input.insert("conditions".to_owned(), parsed);
        let timeout = match self.value("timeout").trim() {
            "" => Value::Null,
            text => text.parse::<u32>().map_or_else(|_| text.into(), Value::from),
        };
        input.insert("timeout".to_owned(), timeout);
        Ok(Value::Object(input))
    }

    pub fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    pub fn is_set(&self, name: &str) -> bool {
        self.value(name) == "true"
    }

    pub fn has(&self, name: &str, value: &str) -> bool {
        self.value(name) == value
    }

    /// What is wrong with a field; empty: nothing.
    pub fn problem(&self, name: &str) -> String {
        self.problems.get(name).map(|problems| problems.join(" ")).unwrap_or_default()
    }

    /// What concerns no field of the form.
    pub fn general(&self) -> Vec<String> {
        let known = |name: &str| {
            TEXTS.contains(&name) || FLAGS.contains(&name) || matches!(name, "models" | "conditions" | "timeout")
        };
        let others = self.problems.iter().filter(|(name, _)| !known(name));
        others.flat_map(|(_, problems)| problems.clone()).collect()
    }

    pub fn wrong(&self) -> bool {
        !self.problems.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::validate;
    use crate::domain::models::Models;
    use serde_json::json;

    #[test]
    fn what_the_form_shows_is_what_it_sends() {
        let definition = json!({
            "name": "x", "models": ["dcim.site", "dcim.device"], "type_create": true, "payload_url": "http://h/",
            "conditions": {"attr": "name", "value": "a"}, "timeout": 5, "additional_headers": "A: 1\nB: 2",
        });
        let fields = Fields::of(definition);
        let input = fields.input().expect("it is JSON");
        let (spec, _) = validate::create(&input, &Models::builtin()).expect("it is valid");
        assert_eq!((spec.models.len(), spec.timeout, spec.additional_headers.as_str()), (2, Some(5), "A: 1\nB: 2"));
        assert_eq!(spec.conditions, Some(json!({"attr": "name", "value": "a"})));
    }

    #[test]
    fn conditions_that_are_no_json_are_said_at_their_field() {
        let mut fields = Fields::blank();
        fields.values.insert("conditions".to_owned(), "{".to_owned());
        let error = fields.input().expect_err("no JSON");
        assert!(error.of_fields().is_some_and(|fields| fields.contains_key("conditions")));
    }
}
