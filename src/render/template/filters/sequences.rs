//! Filters that take sequences apart and put them together.

use minijinja::{State, Value};

use super::super::call::Bound;
use super::super::python::{self, type_name};
use super::super::value::{self, Outcome, Shape, dict, fail, generator, sequence, tuple};

pub(super) fn length(_: &mut State, args: &Bound) -> Outcome<Value> {
    python::length(args.need(0)?).map(Value::from)
}

pub(super) fn first(_: &mut State, args: &Bound) -> Outcome<Value> {
    Ok(python::items(args.need(0)?)?.first().cloned().unwrap_or_default())
}

/// Whether Python's `reversed()` takes the value.
fn is_reversible(value: &Value) -> bool {
    match sequence(value) {
        Some(sequence) => sequence.shape != Shape::Generator,
        None => value.as_str().is_some() || dict(value).is_some() || value.is_undefined(),
    }
}

pub(super) fn last(_: &mut State, args: &Bound) -> Outcome<Value> {
    let value = args.need(0)?;
    if !is_reversible(value) {
        return fail(format!("'{}' object is not reversible", type_name(value)));
    }
    Ok(python::items(value)?.last().cloned().unwrap_or_default())
}

pub(super) fn reverse(state: &mut State, args: &Bound) -> Outcome<Value> {
    let value = args.need(0)?;
    if let Some(text) = value.as_str() {
        let reversed: String = text.chars().rev().collect();
        return Ok(if value.is_safe() { Value::from_safe_string(reversed) } else { Value::from(reversed) });
    }
    let mut items = python::items(value)?;
    state.consume_fuel(items.len() as u64 / 8)?;
    items.reverse();
    if is_reversible(value) { generator(items) } else { value::list(items) }
}

pub(super) fn list(state: &mut State, args: &Bound) -> Outcome<Value> {
    let items = python::items(args.need(0)?)?;
    state.consume_fuel(items.len() as u64 / 8)?;
    value::list(items)
}

pub(super) fn items(_: &mut State, args: &Bound) -> Outcome<Value> {
    let value = args.need(0)?;
    let Some(dict) = dict(value) else {
        return if value.is_undefined() {
            generator(Vec::new())
        } else {
            fail("can only get item pairs from a mapping")
        };
    };
    let pairs: Outcome<Vec<Value>> = dict.pairs().into_iter().map(|(key, value)| tuple(vec![key, value])).collect();
    generator(pairs?)
}

/// An attribute of Python's own; only the pairs of `groupby` have any that a template may see.
pub(super) fn attr(_: &mut State, args: &Bound) -> Outcome<Value> {
    let (value, name) = (args.need(0)?, args.str(1)?);
    if value.is_undefined() && !(name.starts_with("__") && name.ends_with("__")) {
        return Err(python::undefined());
    }
    let is_group = sequence(value).is_some_and(|sequence| sequence.shape == Shape::Group);
    if is_group { value.get_attr(name) } else { Ok(Value::UNDEFINED) }
}

pub(super) fn batch(state: &mut State, args: &Bound) -> Outcome<Value> {
    let size = args.need(1).and_then(|_| args.size(1, 1))?;
    if size == 0 {
        return fail("batches need at least one item");
    }
    let items = python::items(args.need(0)?)?;
    let mut batches = Vec::new();
    for batch in items.chunks(size) {
        let mut batch = batch.to_vec();
        if let Some(fill) = args.some(2) {
            batch.resize(size, fill.clone());
        }
        state.consume_fuel(batch.len() as u64 / 8 + 1)?;
        batches.push(value::list(batch)?);
    }
    generator(batches)
}

pub(super) fn slice(state: &mut State, args: &Bound) -> Outcome<Value> {
    let count = args.need(1).and_then(|_| args.size(1, 1))?;
    if count == 0 {
        return fail("division by zero");
    }
    let items = python::items(args.need(0)?)?;
    let (size, longer) = (items.len() / count, items.len() % count);
    let mut slices = Vec::new();
    let mut start = 0;
    for index in 0..count {
        let end = start + size + usize::from(index < longer);
        let mut slice = items[start..end].to_vec();
        if let Some(fill) = args.some(2).filter(|_| index >= longer) {
            slice.push(fill.clone());
        }
        state.consume_fuel(slice.len() as u64 / 8 + 1)?;
        slices.push(value::list(slice)?);
        start = end;
    }
    generator(slices)
}
