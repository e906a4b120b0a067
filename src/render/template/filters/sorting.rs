//! Filters that compare items with each other.

use std::cmp::Ordering;

use minijinja::{State, Value};

use super::super::call::Bound;
use super::super::operators::{equal, order};
use super::super::python;
use super::super::value::{Outcome, Sequence, Shape, dict, fail, generator, list, tuple};
use super::select::Path;

/// A stable sort whose comparison may fail; at most one fuel a comparison.
///
/// The standard library's panics if an order is not one, as that of NaN.
///
/// # Errors
/// The comparison's.
pub(in super::super) fn try_sort<T>(
    state: &State,
    items: Vec<T>,
    compare: &dyn Fn(&T, &T) -> Outcome<Ordering>,
) -> Outcome<Vec<T>> {
    if items.len() < 2 {
        return Ok(items);
    }
    let mut left = items;
    let right = left.split_off(left.len() / 2);
    let mut left = try_sort(state, left, compare)?.into_iter().peekable();
    let mut right = try_sort(state, right, compare)?.into_iter().peekable();
    let mut sorted = Vec::with_capacity(left.len() + right.len());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        state.consume_fuel(1)?;
        let next = if compare(a, b)?.is_gt() { right.next() } else { left.next() };
        sorted.extend(next);
    }
    sorted.extend(left);
    sorted.extend(right);
    Ok(sorted)
}

/// What items are compared by: paths into them, strings in lower case unless case matters.
struct Key {
    paths: Vec<Path>,
    case_sensitive: bool,
    default: Option<Value>,
}

impl Key {
    /// `attribute` may name several, with commas.
    fn of_many(attribute: Option<&Value>, case_sensitive: bool) -> Outcome<Self> {
        let paths = match attribute.map(|attribute| (attribute, attribute.as_str())) {
            Some((_, Some(names))) => names.split(',').map(Path::parse).collect(),
            Some((attribute, None)) => vec![Path::new(attribute)?],
            None => Vec::new(),
        };
        Ok(Self { paths, case_sensitive, default: None })
    }

    fn of_one(attribute: Option<&Value>, case_sensitive: bool) -> Outcome<Self> {
        let paths = attribute.map(Path::new).transpose()?.into_iter().collect();
        Ok(Self { paths, case_sensitive, default: None })
    }

    fn keys(&self, item: &Value) -> Outcome<Vec<Value>> {
        let folded = |value: Value| match value.as_str() {
            Some(text) if !self.case_sensitive => Value::from(text.to_lowercase()),
            _ => value,
        };
        if self.paths.is_empty() {
            return Ok(vec![folded(item.clone())]);
        }
        self.paths.iter().map(|path| path.of(item, self.default.as_ref()).map(folded)).collect()
    }

    fn pairs(&self, items: Vec<Value>) -> Outcome<Vec<(Vec<Value>, Value)>> {
        items.into_iter().map(|item| Ok((self.keys(&item)?, item))).collect()
    }
}

/// Python's order of two lists of keys.
fn order_keys(state: &State, a: &[Value], b: &[Value]) -> Outcome<Ordering> {
    for (a, b) in a.iter().zip(b) {
        if a.is_undefined() && b.is_undefined() && a.is_true() {
            return Err(python::undefined());
        }
        if !equal(state, a, b)? {
            return Ok(order(state, a, b)?.unwrap_or(Ordering::Equal));
        }
    }
    Ok(Ordering::Equal)
}

fn sorted(state: &State, pairs: Vec<(Vec<Value>, Value)>, reverse: bool) -> Outcome<Vec<(Vec<Value>, Value)>> {
    try_sort(state, pairs, &|(a, _), (b, _)| {
        if reverse { order_keys(state, b, a) } else { order_keys(state, a, b) }
    })
}

fn values(pairs: Vec<(Vec<Value>, Value)>) -> Vec<Value> {
    pairs.into_iter().map(|(_, value)| value).collect()
}

pub(super) fn sort(state: &mut State, args: &Bound) -> Outcome<Value> {
    let key = Key::of_many(args.some(3), args.flag(2))?;
    let pairs = key.pairs(python::items(args.need(0)?)?)?;
    list(values(sorted(state, pairs, args.int(1, 0)? != 0)?))
}

pub(super) fn dictsort(state: &mut State, args: &Bound) -> Outcome<Value> {
    let by = if args.get(2).is_some() { args.str(2)? } else { "key" };
    let by_value = match by {
        "key" => false,
        "value" => true,
        _ => return fail("you can only sort by either \"key\" or \"value\""),
    };
    let Some(dict) = dict(args.need(0)?) else {
        return fail(format!("'{}' object has no items", python::type_name(args.need(0)?)));
    };
    let key = Key::of_one(None, args.flag(1))?;
    let mut pairs = Vec::new();
    for (name, value) in dict.pairs() {
        let keys = key.keys(if by_value { &value } else { &name })?;
        pairs.push((keys, tuple(vec![name, value])?));
    }
    list(values(sorted(state, pairs, args.int(3, 0)? != 0)?))
}

pub(super) fn unique(state: &mut State, args: &Bound) -> Outcome<Value> {
    let key = Key::of_one(args.some(2), args.flag(1))?;
    let mut seen: Vec<Vec<Value>> = Vec::new();
    let mut found = Vec::new();
    for (keys, item) in key.pairs(python::items(args.need(0)?)?)? {
        keys.iter().try_for_each(python::hashable)?;
        let mut known = false;
        for other in &seen {
            state.consume_fuel(1)?;
            known = known || order_free_equal(state, other, &keys)?;
        }
        if !known {
            seen.push(keys);
            found.push(item);
        }
    }
    generator(found)
}

fn order_free_equal(state: &State, a: &[Value], b: &[Value]) -> Outcome<bool> {
    for (a, b) in a.iter().zip(b) {
        if !equal(state, a, b)? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn min(state: &mut State, args: &Bound) -> Outcome<Value> {
    extreme(state, args, Ordering::Less)
}

pub(super) fn max(state: &mut State, args: &Bound) -> Outcome<Value> {
    extreme(state, args, Ordering::Greater)
}

/// The first item that every other one is not before (or after); undefined if there is none.
fn extreme(state: &State, args: &Bound, wanted: Ordering) -> Outcome<Value> {
    let key = Key::of_one(args.some(2), args.flag(1))?;
    let mut pairs = key.pairs(python::items(args.need(0)?)?)?.into_iter();
    let Some(mut best) = pairs.next() else { return Ok(Value::UNDEFINED) };
    for pair in pairs {
        state.consume_fuel(1)?;
        // Unlike sorting, Python asks for the order even if both are equal.
        if order(state, &pair.0[0], &best.0[0])? == Some(wanted) {
            best = pair;
        }
    }
    Ok(best.1)
}

pub(super) fn groupby(state: &mut State, args: &Bound) -> Outcome<Value> {
    let mut key = Key::of_one(Some(args.need(1)?), args.flag(3))?;
    key.default = args.some(2).cloned();
    let pairs = key.pairs(python::items(args.need(0)?)?)?;
    let pairs = try_sort(state, pairs, &|(a, _), (b, _)| {
        // The key is one value here, not a list: two undefined ones have no order.
        Ok(order(state, &a[0], &b[0])?.unwrap_or(Ordering::Equal))
    })?;
    let mut groups: Vec<(Vec<Value>, Vec<Value>)> = Vec::new();
    for (keys, item) in pairs {
        match groups.last_mut() {
            Some((group, items)) if order_free_equal(state, group, &keys)? => items.push(item),
            _ => groups.push((keys, vec![item])),
        }
    }
    let mut out = Vec::new();
    for (keys, items) in groups {
        let shown = if args.flag(3) { keys[0].clone() } else { key.paths[0].of(&items[0], key.default.as_ref())? };
        out.push(Sequence::build(Shape::Group, vec![shown, list(items)?])?);
    }
    list(out)
}
