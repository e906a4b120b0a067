//! Python's operators on the values of a template.

use std::cmp::Ordering;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, ValueKind};
use minijinja::{AutoEscape, Environment, State, Value};

use super::python::{as_float, as_int, int, text, type_name, undefined};
use super::value::{Dict, Outcome, Sequence, Shape, dict, fail, is_same, list, sequence, storable, tuple};
use super::{arithmetic, html, python};

pub(super) fn register(environment: &mut Environment<'static>) {
    environment.add_filter("__add", arithmetic::add);
    environment.add_filter("__sub", |a: &Value, b: &Value| arithmetic::sub(a, b));
    environment.add_filter("__mul", arithmetic::mul);
    environment.add_filter("__div", |a: &Value, b: &Value| arithmetic::div(a, b));
    environment.add_filter("__floordiv", |a: &Value, b: &Value| arithmetic::floor_div(a, b));
    environment.add_filter("__mod", arithmetic::modulo);
    environment.add_filter("__pow", |a: &Value, b: &Value| arithmetic::pow(a, b));
    environment.add_filter("__neg", |a: &Value| arithmetic::neg(a));
    environment.add_filter("__pos", |a: &Value| arithmetic::pos(a));
    environment.add_filter("__concat", concat);
    for name in ["eq", "ne", "lt", "le", "gt", "ge", "in", "notin"] {
        let compare = move |state: &State, a: &Value, b: &Value| compare(state, name, a, b);
        environment.add_filter(format!("__{name}"), compare);
    }
    environment.add_filter("__chain", |state: &State, first: &Value, rest: minijinja::value::Rest<Value>| {
        chain(state, first, &rest)
    });
    environment.add_filter("__item", |value: &Value, key: &Value| item(value, key));
    environment.add_filter("__slice", slice);
    environment.add_filter("__iter", iterable);
    environment.add_filter("__truth", |value: &Value| value.is_true());
    environment.add_filter("__given", |value: &Value| if value.is_undefined() { given() } else { value.clone() });
    environment.add_filter("__received", |value: &Value| {
        if value.downcast_object_ref::<GivenUndefined>().is_some() { Value::UNDEFINED } else { value.clone() }
    });
    environment.add_filter("__stored", |value: &Value| storable(value).map(|()| value.clone()));
    environment.add_filter("__splat", |value: &Value| match dict(value) {
        Some(dict) => Ok(Value::from_pairs(dict.pairs())),
        None => fail("an argument after ** must be a mapping"),
    });
    environment.add_filter("__list", |value: &Value| list(value.try_iter()?.collect()));
    environment.add_filter("__tuple", |value: &Value| tuple(value.try_iter()?.collect()));
    environment.add_filter("__dict", |value: &Value| {
        let flat: Vec<Value> = value.try_iter()?.collect();
        Dict::build(flat.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
    });
}

/// An undefined argument on its way into a macro, where the engine would take it for a missing one.
#[derive(Debug)]
struct GivenUndefined;

impl Object for GivenUndefined {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

fn given() -> Value {
    Value::from_object(GivenUndefined)
}

fn concat(state: &State, a: &Value, b: &Value) -> Value {
    let escaping = !matches!(state.auto_escape(), AutoEscape::None);
    if escaping && (a.is_safe() || b.is_safe()) {
        return Value::from_safe_string(html::escaped(a) + &html::escaped(b));
    }
    Value::from(text(a) + &text(b))
}

/// A comparison by name.
///
/// # Errors
/// Types that Python does not compare.
pub(super) fn compare(state: &State, name: &str, a: &Value, b: &Value) -> Outcome<bool> {
    match name {
        "eq" => equal(state, a, b),
        "ne" => equal(state, a, b).map(|equal| !equal),
        "in" => contains(state, b, a),
        "notin" => contains(state, b, a).map(|found| !found),
        _ => {
            // Without an order (NaN) every comparison is false.
            let Some(order) = order(state, a, b)? else { return Ok(false) };
            Ok(match name {
                "lt" => order.is_lt(),
                "le" => order.is_le(),
                "gt" => order.is_gt(),
                _ => order.is_ge(),
            })
        }
    }
}

/// `first` compared with the next, that with the one after it; names and operands alternate.
fn chain(state: &State, first: &Value, rest: &[Value]) -> Outcome<bool> {
    let mut left = first;
    for step in rest.chunks_exact(2) {
        if !compare(state, step[0].as_str().unwrap_or_default(), left, &step[1])? {
            return Ok(false);
        }
        left = &step[1];
    }
    Ok(true)
}

/// Python's `==`.
///
/// # Errors
/// Out of fuel only.
pub(super) fn equal(state: &State, a: &Value, b: &Value) -> Outcome<bool> {
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        return Ok(a == b);
    }
    if let (Some(a), Some(b)) = (as_int(a), as_int(b)) {
        return Ok(a == b);
    }
    if let (Some(a), Some(b)) = (as_float(a), as_float(b)) {
        return Ok(a == b);
    }
    if let (Some(a), Some(b)) = (dict(a), dict(b)) {
        return equal_dicts(state, a, b);
    }
    if let (Some(x), Some(y)) = (sequence(a), sequence(b)) {
        let same_type = type_name(a) == type_name(b);
        let comparable = same_type && !matches!(x.shape, Shape::Generator | Shape::View("dict_values"));
        return if comparable { equal_items(state, &x.items(), &y.items()) } else { Ok(std::ptr::eq(x, y)) };
    }
    Ok(match (a.kind(), b.kind()) {
        (ValueKind::None, ValueKind::None) | (ValueKind::Undefined, ValueKind::Undefined) => true,
        _ => is_same(a, b),
    })
}

fn equal_items(state: &State, a: &[Value], b: &[Value]) -> Outcome<bool> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (a, b) in a.iter().zip(b) {
        state.consume_fuel(1)?;
        if !equal(state, a, b)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal_dicts(state: &State, a: &Dict, b: &Dict) -> Outcome<bool> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (key, value) in a.pairs() {
        state.consume_fuel(1)?;
        match b.get(&key) {
            Some(other) if equal(state, &value, &other)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Python's order of two values; `None` is what NaN has.
///
/// # Errors
/// Types that have no order between them.
pub(super) fn order(state: &State, a: &Value, b: &Value) -> Outcome<Option<Ordering>> {
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        return Ok(Some(a.cmp(b)));
    }
    if let (Some(a), Some(b)) = (as_int(a), as_int(b)) {
        return Ok(Some(a.cmp(&b)));
    }
    if let (Some(a), Some(b)) = (as_float(a), as_float(b)) {
        return Ok(a.partial_cmp(&b));
    }
    if a.is_undefined() || b.is_undefined() {
        return Err(undefined());
    }
    let (Some(x), Some(y)) = (sequence(a), sequence(b)) else { return no_order(a, b) };
    if type_name(a) != type_name(b) || !matches!(x.shape, Shape::List | Shape::Tuple | Shape::Group) {
        return no_order(a, b);
    }
    for (x, y) in x.items().iter().zip(&y.items()) {
        state.consume_fuel(1)?;
        if !equal(state, x, y)? {
            return order(state, x, y);
        }
    }
    Ok(Some(x.len().cmp(&y.len())))
}

fn no_order<T>(a: &Value, b: &Value) -> Outcome<T> {
    fail(format!("'{}' and '{}' cannot be compared by order", type_name(a), type_name(b)))
}

/// Python's `item in container`.
///
/// # Errors
/// A container that holds nothing, or only strings and `item` is none.
pub(super) fn contains(state: &State, container: &Value, item: &Value) -> Outcome<bool> {
    if let Some(text) = container.as_str() {
        let Some(part) = item.as_str() else {
            return fail(format!("'in <string>' requires a string on its left, not {}", type_name(item)));
        };
        return Ok(text.contains(part));
    }
    if let Some(dict) = dict(container) {
        python::hashable(item)?;
        return Ok(dict.get(item).is_some());
    }
    for candidate in python::items(container)? {
        state.consume_fuel(1)?;
        if equal(state, &candidate, item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `value[key]`; undefined if there is no such item.
///
/// # Errors
/// `value` is undefined.
pub(super) fn item(value: &Value, key: &Value) -> Outcome<Value> {
    if value.is_undefined() {
        return Err(undefined());
    }
    if let Some(dict) = dict(value) {
        return Ok(python::hashable(key).ok().and_then(|()| dict.get(key)).unwrap_or_default());
    }
    let key = if key.kind() == ValueKind::Bool { int(i128::from(key.is_true())) } else { key.clone() };
    let is_index = key.is_integer() || key.as_str().is_some();
    let has_items = sequence(value).is_none_or(|sequence| sequence.shape != Shape::Generator);
    if is_index && has_items { value.get_item(&key) } else { Ok(Value::UNDEFINED) }
}

/// `value[start:stop:step]`.
fn slice(state: &State, value: &Value, start: &Value, stop: &Value, step: Option<&Value>) -> Outcome<Value> {
    if value.is_undefined() {
        return Err(undefined());
    }
    let bound = |value: &Value| match as_int(value) {
        Some(int) => Some(Some(int)),
        None => value.is_none().then_some(None),
    };
    let none = Value::from(());
    let bounds = (bound(start), bound(stop), bound(step.unwrap_or(&none)));
    let (Some(start), Some(stop), Some(step)) = bounds else { return fail("slice indices must be integers or none") };
    let shape = sequence(value).map(|sequence| sequence.shape);
    let is_text = value.as_str().is_some();
    if !is_text && !matches!(shape, Some(Shape::List | Shape::Tuple | Shape::Group | Shape::Range { .. })) {
        return fail(format!("'{}' object cannot be sliced", type_name(value)));
    }
    let step = step.unwrap_or(1);
    if step == 0 {
        return fail("the step of a slice must not be zero");
    }
    let items = python::items(value)?;
    state.consume_fuel(items.len() as u64 / 16)?;
    let picked: Vec<Value> = indices(items.len(), start, stop, step).map(|index| items[index].clone()).collect();
    match shape {
        Some(Shape::List) => list(picked),
        Some(Shape::Range { .. }) => {
            let first = picked.first().and_then(as_int).unwrap_or_default();
            let distance = picked.get(1).and_then(as_int).map_or(1, |second| second.saturating_sub(first));
            let stop = first.saturating_add(distance.saturating_mul(picked.len() as i128));
            Sequence::build(Shape::Range { start: first, stop, step: distance }, picked)
        }
        Some(_) => tuple(picked),
        None => {
            let picked: String = picked.iter().filter_map(Value::as_str).collect();
            Ok(if value.is_safe() { Value::from_safe_string(picked) } else { Value::from(picked) })
        }
    }
}

/// The positions a slice picks, as Python's `slice.indices`.
fn indices(length: usize, start: Option<i128>, stop: Option<i128>, step: i128) -> impl Iterator<Item = usize> {
    let length = length as i128;
    let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let clamp = |index: i128| (if index < 0 { index.saturating_add(length) } else { index }).clamp(lowest, highest);
    let start = start.map_or(if step > 0 { lowest } else { highest }, clamp);
    let stop = stop.map_or(if step > 0 { highest } else { lowest }, clamp);
    let mut next = start;
    std::iter::from_fn(move || {
        let more = if step > 0 { next < stop } else { next > stop };
        let index = usize::try_from(next).ok().filter(|_| more)?;
        next = next.saturating_add(step);
        Some(index)
    })
}

/// What a loop goes over.
fn iterable(value: &Value) -> Outcome<Value> {
    let iterates = value.as_str().is_some() || sequence(value).is_some() || dict(value).is_some();
    if iterates {
        return Ok(value.clone());
    }
    if value.is_undefined() { list(Vec::new()) } else { fail(format!("'{}' object is not iterable", type_name(value))) }
}

/// The pairs that `dict(value)` is made of.
///
/// # Errors
/// Neither a dictionary nor a sequence of pairs.
pub(super) fn pairs(value: &Value) -> Outcome<Vec<(Value, Value)>> {
    if let Some(dict) = dict(value) {
        return Ok(dict.pairs());
    }
    if value.is_undefined() || value.is_none() {
        return fail("expected a dictionary or pairs");
    }
    let pair = |item: &Value| match python::items(item)?.as_slice() {
        [key, value] => Ok((key.clone(), value.clone())),
        _ => fail("expected pairs of a key and a value"),
    };
    python::items(value)?.iter().map(pair).collect()
}
