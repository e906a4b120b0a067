//! Reading the fields of a definition from JSON, with every problem in the words of NetBox's REST API (Django REST
//! framework).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Problems by field. Empty: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldErrors(pub BTreeMap<String, Vec<String>>);

/// Where what concerns several fields is reported.
pub const NON_FIELD: &str = "non_field_errors";

impl FieldErrors {
    pub fn add(&mut self, field: &str, problem: impl Into<String>) {
        self.0.entry(field.to_owned()).or_default().push(problem.into());
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }
}

/// `field: problem` lines, for the log and the command line.
impl std::fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines = self.0.iter().flat_map(|(field, all)| all.iter().map(move |problem| format!("{field}: {problem}")));
        f.write_str(&lines.collect::<Vec<_>>().join("; "))
    }
}

impl std::error::Error for FieldErrors {}

/// A JSON object being read field by field; what is not read in the end is unknown.
pub(super) struct Fields<'a> {
    input: &'a Map<String, Value>,
    known: Vec<&'static str>,
    pub errors: FieldErrors,
}

impl<'a> Fields<'a> {
    /// # Errors
    /// `input` is no object.
    pub fn of(input: &'a Value) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let Some(input) = input.as_object() else {
            let kind = kind(input);
            errors.add(NON_FIELD, format!("Invalid data. Expected a dictionary, but got {kind}."));
            return Err(errors);
        };
        Ok(Self { input, known: Vec::new(), errors })
    }

    pub fn has(&self, field: &str) -> bool {
        self.input.contains_key(field)
    }

    /// The value as it is, if the field is given.
    pub fn value(&mut self, field: &'static str) -> Option<&'a Value> {
        self.known.push(field);
        self.input.get(field)
    }

    pub fn required(&mut self, field: &'static str) {
        if !self.has(field) {
            self.errors.add(field, "This field is required.");
        }
    }

    /// Replaces `into` where a string is given.
    pub fn string(&mut self, field: &'static str, into: &mut String, max: usize) {
        match self.not_null(field) {
            Some(Value::String(s)) if s.chars().count() > max => {
                self.errors.add(field, format!("Ensure this field has no more than {max} characters."));
            }
            Some(Value::String(s)) => s.clone_into(into),
            Some(_) => self.errors.add(field, "Not a valid string."),
            None => {}
        }
    }

    pub fn boolean(&mut self, field: &'static str, into: &mut bool) {
        match self.not_null(field) {
            Some(Value::Bool(given)) => *into = *given,
            Some(_) => self.errors.add(field, "Must be a valid boolean."),
            None => {}
        }
    }

    /// One of the names of an enum; the names are serde's.
    pub fn choice<T: serde::de::DeserializeOwned>(&mut self, field: &'static str, into: &mut T) {
        let Some(value) = self.not_null(field) else { return };
        match T::deserialize(value) {
            Ok(choice) => *into = choice,
            Err(_) => {
                let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                self.errors.add(field, format!("\"{shown}\" is not a valid choice."));
            }
        }
    }

    /// A whole number within bounds, or `null`.
    pub fn optional_number(&mut self, field: &'static str, into: &mut Option<u32>, min: u32, max: u32) {
        let number = match self.value(field) {
            None => return,
            Some(Value::Null) => {
                *into = None;
                return;
            }
            Some(value) => value.as_i64(),
        };
        match number {
            None => self.errors.add(field, "A valid integer is required."),
            Some(n) if n < min.into() => {
                self.errors.add(field, format!("Ensure this value is greater than or equal to {min}."));
            }
            Some(n) if n > max.into() => {
                self.errors.add(field, format!("Ensure this value is less than or equal to {max}."));
            }
            Some(n) => *into = u32::try_from(n).ok(),
        }
    }

    /// A list that is not empty.
    pub fn list(&mut self, field: &'static str) -> Option<&'a [Value]> {
        match self.not_null(field)? {
            Value::Array(all) if all.is_empty() => self.errors.add(field, "This list may not be empty."),
            Value::Array(all) => return Some(all),
            other => {
                let kind = kind(other);
                self.errors.add(field, format!("Expected a list of items but got type \"{kind}\"."));
            }
        }
        None
    }

    /// Fields that the API shows and does not take: accepted, so that what was read can be sent back.
    pub fn ignore(&mut self, fields: &[&'static str]) {
        self.known.extend_from_slice(fields);
    }

    pub fn finish(mut self) -> FieldErrors {
        for field in self.input.keys().filter(|f| !self.known.contains(&f.as_str())) {
            let expected = self.known.join(", ");
            self.errors.add(field, format!("Unknown field. Known are {expected}."));
        }
        self.errors
    }

    fn not_null(&mut self, field: &'static str) -> Option<&'a Value> {
        let value = self.value(field)?;
        if value.is_null() {
            self.errors.add(field, "This field may not be null.");
            return None;
        }
        Some(value)
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}
