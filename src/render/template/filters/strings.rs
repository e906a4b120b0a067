//! Filters that make text.

use std::fmt::Write;

use minijinja::{AutoEscape, State, Value};

use super::super::call::Bound;
use super::super::text::{self, Side};
use super::super::value::{Outcome, dict, fail};
use super::super::{header_safe as printable, html, json, operators, python};
use super::select::Path;

/// Text that stays markup if it was.
fn kept(original: &Value, changed: String) -> Value {
    if original.is_safe() { Value::from_safe_string(changed) } else { Value::from(changed) }
}

fn is_escaping(state: &State) -> bool {
    !matches!(state.auto_escape(), AutoEscape::None)
}

pub(super) fn upper(_: &mut State, args: &Bound) -> Outcome<Value> {
    Ok(kept(args.need(0)?, args.text(0)?.to_uppercase()))
}

pub(super) fn lower(_: &mut State, args: &Bound) -> Outcome<Value> {
    Ok(kept(args.need(0)?, args.text(0)?.to_lowercase()))
}

pub(super) fn capitalize(_: &mut State, args: &Bound) -> Outcome<Value> {
    Ok(kept(args.need(0)?, text::capitalize(&args.text(0)?)))
}

pub(super) fn title(_: &mut State, args: &Bound) -> Outcome<Value> {
    Ok(Value::from(text::title_words(&args.text(0)?)))
}

pub(super) fn center(_: &mut State, args: &Bound) -> Outcome<Value> {
    Ok(kept(args.need(0)?, text::center(&args.text(0)?, args.size(1, 80)?, ' ')))
}

pub(super) fn trim(_: &mut State, args: &Bound) -> Outcome<Value> {
    let chars = args.some(1).map(|_| args.str(1)).transpose()?;
    Ok(kept(args.need(0)?, text::strip(&args.text(0)?, chars, Side::Both).to_owned()))
}

pub(super) fn string(_: &mut State, args: &Bound) -> Outcome<Value> {
    Ok(kept(args.need(0)?, args.text(0)?))
}

pub(super) fn safe(_: &mut State, args: &Bound) -> Outcome<Value> {
    args.text(0).map(Value::from_safe_string)
}

pub(super) fn escape(_: &mut State, args: &Bound) -> Outcome<Value> {
    Ok(Value::from_safe_string(html::escaped(args.need(0)?)))
}

pub(super) fn forceescape(_: &mut State, args: &Bound) -> Outcome<Value> {
    Ok(Value::from_safe_string(html::escape(&args.text(0)?)))
}

pub(super) fn striptags(_: &mut State, args: &Bound) -> Outcome<Value> {
    Ok(Value::from(html::strip_tags(&args.text(0)?)))
}

/// NetBox's filter for headers: a value cannot end the line it stands in.
pub(super) fn header_safe(_: &mut State, args: &Bound) -> Outcome<Value> {
    Ok(Value::from(printable(&args.text(0)?)))
}

pub(super) fn default(_: &mut State, args: &Bound) -> Outcome<Value> {
    let value = args.need(0)?;
    let missing = value.is_undefined() || (args.flag(2) && !value.is_true());
    Ok(if missing { args.get(1).cloned().unwrap_or_else(|| Value::from("")) } else { value.clone() })
}

pub(super) fn replace(state: &mut State, args: &Bound) -> Outcome<Value> {
    let count = args.some(3).map_or(Ok(-1), |_| args.int(3, -1))?;
    let (old, new) = (args.need(1)?, args.need(2)?);
    if !is_escaping(state) {
        let replaced = text::replace(state, &args.text(0)?, [&python::text(old), &python::text(new)], count)?;
        return Ok(Value::from(replaced));
    }
    let value = args.need(0)?;
    let escape = old.is_safe() || (new.is_safe() && !value.is_safe());
    let value = if escape { Value::from_safe_string(html::escaped(value)) } else { value.clone() };
    let part = |part: &Value| if value.is_safe() { html::escaped(part) } else { python::text(part) };
    Ok(kept(&value, text::replace(state, &python::text(&value), [&part(old), &part(new)], count)?))
}

pub(super) fn join(state: &mut State, args: &Bound) -> Outcome<Value> {
    let mut items = python::items(args.need(0)?)?;
    if let Some(attribute) = args.some(2) {
        let path = Path::new(attribute)?;
        items = items.iter().map(|item| path.of(item, None)).collect::<Outcome<_>>()?;
    }
    let separator = args.get(1).cloned().unwrap_or_else(|| Value::from(""));
    let markup = is_escaping(state) && (separator.is_safe() || items.iter().any(Value::is_safe));
    let text = |value: &Value| if markup { html::escaped(value) } else { python::text(value) };
    let separator = text(&separator);
    let mut out = String::new();
    for (index, item) in items.iter().enumerate() {
        let item = text(item);
        state.consume_fuel(1 + (separator.len() + item.len()) as u64 / 64)?;
        out.push_str(if index > 0 { &separator } else { "" });
        out.push_str(&item);
    }
    Ok(if markup { Value::from_safe_string(out) } else { Value::from(out) })
}

pub(super) fn indent(state: &mut State, args: &Bound) -> Outcome<Value> {
    let value = args.need(0)?;
    if value.is_undefined() {
        return Err(python::undefined());
    }
    let text = args.str(0)?;
    let indent = match args.get(1).and_then(Value::as_str) {
        Some(indent) => indent.to_owned(),
        None => " ".repeat(args.size(1, 4)?),
    };
    let text = format!("{text}\n");
    let lines = text::lines(&text, false);
    state.consume_fuel((lines.len() as u64).saturating_mul(indent.len() as u64) / 64)?;
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        let indented = if index == 0 { args.flag(2) } else { args.flag(3) || !line.is_empty() };
        out.push_str(if index > 0 { "\n" } else { "" });
        out.push_str(if indented { &indent } else { "" });
        out.push_str(line);
    }
    Ok(kept(value, out))
}

pub(super) fn truncate(_: &mut State, args: &Bound) -> Outcome<Value> {
    let value = args.need(0)?;
    let length = args.size(1, 255)?;
    let end = if args.get(3).is_some() { args.str(3)? } else { "..." };
    let leeway = if args.some(4).is_some() { args.size(4, 5)? } else { 5 };
    if length < end.chars().count() || args.some(4).is_some_and(|leeway| python::as_int(leeway) < Some(0)) {
        return fail(format!("expected a length of at least {}, got {length}", end.chars().count()));
    }
    if python::length(value)? <= length + leeway {
        return Ok(value.clone());
    }
    Ok(kept(value, text::truncate(args.str(0)?, length, end, args.flag(2))))
}

pub(super) fn wordcount(_: &mut State, args: &Bound) -> Outcome<Value> {
    Ok(Value::from(text::words(&args.text(0)?)))
}

pub(super) fn tojson(state: &mut State, args: &Bound) -> Outcome<Value> {
    let indent = match args.some(1) {
        None => None,
        Some(indent) if indent.as_str().is_some() => Some(args.str(1)?.to_owned()),
        Some(_) => Some(" ".repeat(args.size(1, 0)?.min(1000))),
    };
    json::dump(state, args.need(0)?, indent.as_deref()).map(Value::from_safe_string)
}

pub(super) fn urlencode(_: &mut State, args: &Bound) -> Outcome<Value> {
    let value = args.need(0)?;
    let is_iterable = value.is_undefined() || value.as_object().is_some();
    if value.as_str().is_some() || !is_iterable {
        return Ok(Value::from(quote(&python::text(value), b"/")));
    }
    let pairs = if value.is_undefined() { Vec::new() } else { operators::pairs(value)? };
    let part = |value: &Value| quote(&python::text(value), b"").replace("%20", "+");
    let parts: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={}", part(name), part(value))).collect();
    Ok(Value::from(parts.join("&")))
}

/// Python's `urllib.parse.quote`.
fn quote(text: &str, safe: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) || safe.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

pub(super) fn xmlattr(state: &mut State, args: &Bound) -> Outcome<Value> {
    let Some(dict) = dict(args.need(0)?) else {
        return fail(format!("'{}' object has no items", python::type_name(args.need(0)?)));
    };
    let mut out = String::new();
    for (key, value) in dict.pairs() {
        if value.is_none() || value.is_undefined() {
            continue;
        }
        let Some(name) = key.as_str() else { return fail("the name of an attribute must be a string") };
        if name.contains(|c: char| c.is_ascii_whitespace() || matches!(c, '\x0b' | '/' | '>' | '=')) {
            return fail(format!("invalid character in attribute name: {}", python::quoted(name)));
        }
        let space = if out.is_empty() { "" } else { " " };
        let _ = write!(out, "{space}{}=\"{}\"", html::escaped(&key), html::escaped(&value));
    }
    if !out.is_empty() && (args.get(1).is_none() || args.flag(1)) {
        out.insert(0, ' ');
    }
    Ok(if is_escaping(state) { Value::from_safe_string(out) } else { Value::from(out) })
}
