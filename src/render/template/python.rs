//! How Python shows, names, converts and hashes values.

use std::fmt::Write;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::value::{Outcome, Sequence, Shape, dict, fail, sequence};

/// Text of a container beyond this is cut. More than the default fuel pays for, so such text is never seen.
const MAX_SHOWN: usize = 64 << 20;

/// The name of a value's type in Python.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Undefined => "Undefined",
        ValueKind::None => "NoneType",
        ValueKind::Bool => "bool",
        ValueKind::Number if value.is_integer() => "int",
        ValueKind::Number => "float",
        ValueKind::String => "str",
        ValueKind::Bytes => "bytes",
        _ => match sequence(value).map(|sequence| sequence.shape) {
            Some(Shape::List) => "list",
            Some(Shape::Tuple | Shape::Group) => "tuple",
            Some(Shape::Range { .. }) => "range",
            Some(Shape::View(name)) => name,
            Some(Shape::Generator) => "generator",
            None if dict(value).is_some() => "dict",
            None => "object",
        },
    }
}

/// A whole number; `True` is 1.
pub(super) fn as_int(value: &Value) -> Option<i128> {
    match value.kind() {
        ValueKind::Bool => Some(i128::from(value.is_true())),
        ValueKind::Number if value.is_integer() => i128::try_from(value.clone()).ok(),
        _ => None,
    }
}

/// Any number; `True` is 1.
pub(super) fn as_float(value: &Value) -> Option<f64> {
    match value.kind() {
        ValueKind::Number if !value.is_integer() => f64::try_from(value.clone()).ok(),
        // Nearest float, as Python converts.
        #[allow(clippy::cast_precision_loss)]
        _ => as_int(value).map(|int| int as f64),
    }
}

pub(super) fn int(number: i128) -> Value {
    i64::try_from(number).map_or_else(|_| Value::from(number), Value::from)
}

/// The error for something done with an undefined value.
pub(super) fn undefined() -> Error {
    Error::new(ErrorKind::UndefinedError, "the value is undefined")
}

/// Python's `str()`.
pub(super) fn text(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None if value.is_undefined() => String::new(),
        None => shown(value),
    }
}

/// Python's `repr()`.
pub(super) fn shown(value: &Value) -> String {
    let mut out = String::new();
    show(value, &mut out);
    out
}

fn show(value: &Value, out: &mut String) {
    if out.len() > MAX_SHOWN {
        return;
    }
    match value.kind() {
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::String => show_string(value, out),
        ValueKind::Number if !value.is_integer() => out.push_str(&float(as_float(value).unwrap_or_default())),
        _ => match (sequence(value), dict(value)) {
            (Some(sequence), _) => show_sequence(sequence, out),
            (_, Some(dict)) => show_dict(&dict.pairs(), out),
            _ => {
                let _ = write!(out, "{value}");
            }
        },
    }
}

fn show_sequence(sequence: &Sequence, out: &mut String) {
    let items = sequence.items();
    match sequence.shape {
        Shape::List => show_items("[", &items, "]", out),
        Shape::Tuple | Shape::Group if items.len() == 1 => show_items("(", &items, ",)", out),
        Shape::Tuple | Shape::Group => show_items("(", &items, ")", out),
        Shape::View(name) => {
            out.push_str(name);
            show_items("([", &items, "])", out);
        }
        Shape::Generator => out.push_str("<generator object>"),
        Shape::Range { start, stop, step } => {
            let step = if step == 1 { String::new() } else { format!(", {step}") };
            let _ = write!(out, "range({start}, {stop}{step})");
        }
    }
}

fn show_items(open: &str, items: &[Value], close: &str, out: &mut String) {
    out.push_str(open);
    for (index, item) in items.iter().enumerate() {
        out.push_str(if index > 0 { ", " } else { "" });
        show(item, out);
    }
    out.push_str(close);
}

fn show_dict(pairs: &[(Value, Value)], out: &mut String) {
    out.push('{');
    for (index, (key, value)) in pairs.iter().enumerate() {
        out.push_str(if index > 0 { ", " } else { "" });
        show(key, out);
        out.push_str(": ");
        show(value, out);
    }
    out.push('}');
}

fn show_string(value: &Value, out: &mut String) {
    let text = value.as_str().unwrap_or_default();
    if value.is_safe() {
        let _ = write!(out, "Markup({})", quoted(text));
    } else {
        out.push_str(&quoted(text));
    }
}

/// A string as Python's `repr` quotes it.
pub(super) fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c if u32::from(c) < 0x100 => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if u32::from(c) < 0x1_0000 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
        }
    }
    out.push(quote);
    out
}

/// Python's `ascii()`: like `repr`, everything else escaped.
pub(super) fn ascii(value: &Value) -> String {
    let mut out = String::new();
    for c in shown(value).chars() {
        match u32::from(c) {
            0..0x80 => out.push(c),
            code @ 0x80..0x100 => out.push_str(&format!("\\x{code:02x}")),
            code @ 0x100..0x1_0000 => out.push_str(&format!("\\u{code:04x}")),
            code => out.push_str(&format!("\\U{code:08x}")),
        }
    }
    out
}

/// `str.isprintable` but for code points that no Unicode version has assigned.
fn is_printable(c: char) -> bool {
    let invisible = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{e000}'..='\u{f8ff}' | '\u{fff9}'..='\u{fffb}' | '\u{61c}' | '\u{180e}');
    !c.is_control() && !invisible && (c == ' ' || !c.is_whitespace())
}

/// Python's `repr` of a float: the fewest digits, an exponent below 1e-4 and from 1e16.
pub(super) fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let scientific = format!("{number:e}");
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    let plain = number.to_string();
    if plain.contains('.') { plain } else { plain + ".0" }
}

/// Refuses what cannot be the key of a dictionary.
pub(super) fn hashable(value: &Value) -> Outcome<()> {
    if value.is_undefined() {
        return Ok(());
    }
    match sequence(value) {
        Some(sequence) if matches!(sequence.shape, Shape::Tuple | Shape::Group) => {
            sequence.items().iter().try_for_each(hashable)
        }
        Some(sequence) if matches!(sequence.shape, Shape::Range { .. }) => Ok(()),
        None if value.as_object().is_none() => Ok(()),
        _ => fail(format!("unhashable type: '{}'", type_name(value))),
    }
}

/// Python's `iter()`, all at once.
///
/// # Errors
/// A value that has no items; an undefined one has none and is empty.
pub(super) fn items(value: &Value) -> Outcome<Vec<Value>> {
    if let Some(text) = value.as_str() {
        return Ok(text.chars().map(Value::from).collect());
    }
    if let Some(sequence) = sequence(value) {
        return Ok(sequence.items());
    }
    if let Some(dict) = dict(value) {
        return Ok(dict.pairs().into_iter().map(|(key, _)| key).collect());
    }
    if value.is_undefined() { Ok(Vec::new()) } else { fail(format!("'{}' object is not iterable", type_name(value))) }
}

/// Python's `len()`.
///
/// # Errors
/// A value without a length.
pub(super) fn length(value: &Value) -> Outcome<usize> {
    if let Some(text) = value.as_str() {
        return Ok(text.chars().count());
    }
    match (sequence(value), dict(value)) {
        (Some(sequence), _) if sequence.shape != Shape::Generator => Ok(sequence.len()),
        (_, Some(dict)) => Ok(dict.len()),
        _ if value.is_undefined() => Ok(0),
        _ => fail(format!("object of type '{}' has no len()", type_name(value))),
    }
}
