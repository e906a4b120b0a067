//! Values of a pickle as the JSON text NetBox's worker makes of them.
//!
//! # Source
//! NetBox's `Webhook.render_body`: `json.dumps` with REST framework's encoder and otherwise Python's defaults:
//! `", "` and `": "` between, everything but ASCII escaped, floats as `repr`.

use std::borrow::Cow;
use std::collections::HashSet;

use super::class::{self, Meaning};
use super::error::{Classes, JobError};
use super::pickle::{Node, Object, Pair, Pickle, Value};
use super::python;

/// Nested objects and arrays in one value. An event may have 100, itself included.
const MAX_DEPTH: usize = 99;

/// The JSON text of one value.
///
/// # Errors
/// It is nested too deep, longer than `limit` bytes, has no JSON form, or holds classes whose form is not known: then all
/// of them are named. `field` is the part of the job it is about.
pub(super) fn text<'a>(
    pickle: &Pickle<'a>,
    field: &'static str,
    value: Value<'a>,
    limit: usize,
) -> Result<String, JobError> {
    let mut writer = Writer { pickle, field, limit, out: String::new(), depth: 0, unknown: Classes::default() };
    writer.value(value)?;
    if !writer.unknown.is_empty() {
        return Err(JobError::UnsupportedClass { field, classes: writer.unknown });
    }
    Ok(writer.out)
}

struct Writer<'p, 'a> {
    pickle: &'p Pickle<'a>,
    field: &'static str,
    limit: usize,
    out: String,
    depth: usize,
    unknown: Classes,
}

impl<'p, 'a> Writer<'p, 'a> {
    /// Every value writes something, so the limit of the text also ends what refers to the same over and over; what
    /// refers to itself opens a bracket each time round.
    fn value(&mut self, value: Value<'a>) -> Result<(), JobError> {
        match value {
            Value::None => self.out.push_str("null"),
            Value::Bool(true) => self.out.push_str("true"),
            Value::Bool(false) => self.out.push_str("false"),
            Value::Int(int) => self.out.push_str(&int.to_string()),
            Value::Long(bytes) => self.out.push_str(&self.integer(bytes)?),
            Value::Float(number) => self.out.push_str(&self.float(number)?),
            Value::Str(text) => python::push_text(&mut self.out, text),
            Value::BadText => return Err(self.impossible("a text that is not UTF-8")),
            Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => python::push_text(&mut self.out, text),
                Err(_) => return Err(self.impossible("bytes that are not UTF-8")),
            },
            Value::Node(_) => self.node(value)?,
        }
        self.check_length()
    }

    fn node(&mut self, value: Value<'a>) -> Result<(), JobError> {
        match self.pickle.node(value) {
            Some(Node::List(items) | Node::Tuple(items) | Node::Set(items)) => self.array(items),
            Some(Node::Dict(pairs)) => self.object(pairs),
            Some(Node::Object(object)) => self.instance(object),
            Some(Node::Global(global)) => {
                self.refuse(super::error::Name::of_class(global.module, global.name));
                Ok(())
            }
            None => Err(self.impossible("a value that is not there")),
        }
    }

    fn instance(&mut self, object: &'p Object<'a>) -> Result<(), JobError> {
        match class::meaning(self.pickle, object) {
            Meaning::Text(text) => python::push_text(&mut self.out, &text),
            Meaning::Float(number) => self.out.push_str(&self.float(number)?),
            Meaning::Same(value) => self.value(value)?,
            Meaning::Pairs(pairs) => self.object(pairs)?,
            Meaning::Unknown => self.refuse(class::name(self.pickle, object)),
            Meaning::Impossible(what) => return Err(self.impossible(what)),
        }
        Ok(())
    }

    fn array(&mut self, items: &'p [Value<'a>]) -> Result<(), JobError> {
        self.open('[')?;
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.out.push_str(", ");
            }
            self.value(*item)?;
        }
        self.close(']');
        Ok(())
    }

    fn object(&mut self, pairs: &'p [Pair<'a>]) -> Result<(), JobError> {
        self.open('{')?;
        let mut names = HashSet::with_capacity(pairs.len());
        for (i, (key, value)) in pairs.iter().enumerate() {
            if i > 0 {
                self.out.push_str(", ");
            }
            let name = self.name(*key)?;
            python::push_text(&mut self.out, &name);
            if !names.insert(name) {
                return Err(self.impossible("a name appears twice in one object"));
            }
            self.out.push_str(": ");
            self.value(*value)?;
        }
        self.close('}');
        Ok(())
    }

    /// The name of a member: Python takes texts, numbers, booleans and None.
    fn name(&self, key: Value<'a>) -> Result<Cow<'a, str>, JobError> {
        Ok(match key {
            Value::Str(text) => text.into(),
            Value::Int(int) => int.to_string().into(),
            Value::Long(bytes) => self.integer(bytes)?.into(),
            Value::Float(number) => self.float(number)?.into(),
            Value::Bool(true) => "true".into(),
            Value::Bool(false) => "false".into(),
            Value::None => "null".into(),
            Value::Node(_) => match self.pickle.object(key) {
                Some(object) if class::is_str(self.pickle, object) => match class::meaning(self.pickle, object) {
                    Meaning::Text(text) => text,
                    _ => return Err(self.impossible("a member whose name is no text")),
                },
                _ => return Err(self.impossible("a member whose name is no text")),
            },
            Value::BadText | Value::Bytes(_) => return Err(self.impossible("a member whose name is no text")),
        })
    }

    fn integer(&self, bytes: &[u8]) -> Result<String, JobError> {
        python::integer(bytes).ok_or_else(|| self.impossible("a whole number of more than 4300 digits"))
    }

    fn float(&self, number: f64) -> Result<String, JobError> {
        python::float(number).ok_or_else(|| self.impossible("a number that is infinite or none (NaN)"))
    }

    /// Goes on after a class that is not known, to name the others as well.
    fn refuse(&mut self, class: super::error::Name) {
        self.unknown.add(class);
        self.out.push_str("null");
    }

    fn open(&mut self, bracket: char) -> Result<(), JobError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(JobError::TooComplex { what: "levels of nesting", limit: MAX_DEPTH });
        }
        self.out.push(bracket);
        self.check_length()
    }

    fn close(&mut self, bracket: char) {
        self.depth -= 1;
        self.out.push(bracket);
    }

    fn check_length(&self) -> Result<(), JobError> {
        if self.out.len() > self.limit { Err(JobError::TooLarge { limit: self.limit }) } else { Ok(()) }
    }

    fn impossible(&self, what: &'static str) -> JobError {
        JobError::NotJson { field: self.field, what }
    }
}
