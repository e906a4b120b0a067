//! `tojson`: Python's `json.dumps` with sorted keys, ASCII only, safe inside of HTML.
//!
//! # Source
//! Jinja2 3.1 `utils.htmlsafe_json_dumps`, policy `json.dumps_kwargs` = `{"sort_keys": True}`.

use std::cmp::Ordering;
use std::fmt::Write;

use minijinja::value::ValueKind;
use minijinja::{State, Value};

use super::filters::try_sort;
use super::operators::order;
use super::python::{float, shown, type_name};
use super::value::{Outcome, Shape, dict, fail, sequence};

/// # Errors
/// Values JSON has no word for: undefined ones, ranges, generators; keys of different types.
pub(super) fn dump(state: &State, value: &Value, indent: Option<&str>) -> Outcome<String> {
    let mut dumper = Dumper { state, indent, out: String::new() };
    dumper.value(value, 0)?;
    Ok(dumper.out)
}

struct Dumper<'a, 't, 'e> {
    state: &'a State<'t, 'e>,
    indent: Option<&'a str>,
    out: String,
}

impl Dumper<'_, '_, '_> {
    fn value(&mut self, value: &Value, depth: usize) -> Outcome<()> {
        self.state.consume_fuel(1)?;
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&number(value)),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            _ => return self.container(value, depth),
        }
        Ok(())
    }

    fn container(&mut self, value: &Value, depth: usize) -> Outcome<()> {
        if let Some(dict) = dict(value) {
            return self.object(dict.pairs(), depth);
        }
        match sequence(value) {
            Some(sequence) if matches!(sequence.shape, Shape::List | Shape::Tuple | Shape::Group) => {
                let items = sequence.items();
                self.enclosed(['[', ']'], &items, depth, |dumper, item| dumper.value(item, depth + 1))
            }
            _ => fail(format!("Object of type {} is not JSON serializable", type_name(value))),
        }
    }

    fn object(&mut self, pairs: Vec<(Value, Value)>, depth: usize) -> Outcome<()> {
        let state = self.state;
        let by_key = |a: &(Value, Value), b: &(Value, Value)| Ok(order(state, &a.0, &b.0)?.unwrap_or(Ordering::Equal));
        let pairs = try_sort(state, pairs, &by_key)?;
        self.enclosed(['{', '}'], &pairs, depth, |dumper, (key, value)| {
            dumper.key(key)?;
            dumper.out.push_str(": ");
            dumper.value(value, depth + 1)
        })
    }

    fn key(&mut self, key: &Value) -> Outcome<()> {
        match key.kind() {
            ValueKind::String => self.string(key.as_str().unwrap_or_default()),
            ValueKind::None => self.out.push_str("\"null\""),
            ValueKind::Bool => self.out.push_str(if key.is_true() { "\"true\"" } else { "\"false\"" }),
            ValueKind::Number => {
                let _ = write!(self.out, "\"{}\"", number(key));
            }
            _ => return fail(format!("keys must be str, int, float, bool or None, not {}", type_name(key))),
        }
        Ok(())
    }

    /// Items between brackets, each written by `write`.
    fn enclosed<T>(
        &mut self,
        [open, close]: [char; 2],
        items: &[T],
        depth: usize,
        write: impl Fn(&mut Self, &T) -> Outcome<()>,
    ) -> Outcome<()> {
        self.out.push(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push_str(if self.indent.is_some() { "," } else { ", " });
            }
            self.new_line(depth + 1)?;
            write(self, item)?;
        }
        if !items.is_empty() {
            self.new_line(depth)?;
        }
        self.out.push(close);
        Ok(())
    }

    fn new_line(&mut self, depth: usize) -> Outcome<()> {
        if let Some(indent) = self.indent {
            self.state.consume_fuel((depth * indent.len()) as u64 / 64)?;
            self.out.push('\n');
            for _ in 0..depth {
                self.out.push_str(indent);
            }
        }
        Ok(())
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\x08' => self.out.push_str("\\b"),
                '\x0c' => self.out.push_str("\\f"),
                '<' | '>' | '&' | '\'' => self.escaped(c),
                ' '..='~' => self.out.push(c),
                c => self.escaped(c),
            }
        }
        self.out.push('"');
    }

    fn escaped(&mut self, c: char) {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(self.out, "\\u{unit:04x}");
        }
    }
}

fn number(value: &Value) -> String {
    if value.is_integer() {
        return shown(value);
    }
    match f64::try_from(value.clone()).unwrap_or_default() {
        number if number.is_nan() => "NaN".to_owned(),
        number if number.is_infinite() => if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        number => float(number),
    }
}
