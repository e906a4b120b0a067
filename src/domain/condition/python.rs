//! How Python compares the values JSON can hold.
//!
//! `True == 1 == 1.0`, integers are exact however large, and what cannot be ordered or searched is a `TypeError`.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// 2^127, above which no integer of ours reaches.
const BEYOND_INTEGERS: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;

/// A number as Python sees it; booleans are 0 and 1.
#[derive(Clone, Copy, Debug)]
pub(super) enum Num {
    Int(i128),
    Float(f64),
}

impl Num {
    pub(super) fn of(value: &Value) -> Option<Num> {
        match value {
            Value::Bool(truth) => Some(Num::Int(i128::from(*truth))),
            Value::Number(number) => Num::of_number(number),
            Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    pub(super) fn of_number(number: &Number) -> Option<Num> {
        if let Some(int) = number.as_i64() {
            return Some(Num::Int(i128::from(int)));
        }
        if let Some(int) = number.as_u64() {
            return Some(Num::Int(i128::from(int)));
        }
        number.as_f64().map(Num::Float)
    }

    /// Compares without rounding either side; `None` only with a NaN, which JSON cannot hold.
    pub(super) fn compare(self, other: Num) -> Option<Ordering> {
        match (self, other) {
            (Num::Int(a), Num::Int(b)) => Some(a.cmp(&b)),
            (Num::Float(a), Num::Float(b)) => a.partial_cmp(&b),
            (Num::Int(a), Num::Float(b)) => compare_int(a, b),
            (Num::Float(a), Num::Int(b)) => compare_int(b, a).map(Ordering::reverse),
        }
    }
}

fn compare_int(int: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    if float >= BEYOND_INTEGERS {
        return Some(Ordering::Less);
    }
    if float < -BEYOND_INTEGERS {
        return Some(Ordering::Greater);
    }
    // Exact: a whole number within the range of i128.
    let whole = float.trunc();
    let order = int.cmp(&(whole as i128));
    Some(order.then(0.0_f64.partial_cmp(&(float - whole))?))
}

/// `a == b`.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| equal(value, other)))
        }
        _ => match (Num::of(a), Num::of(b)) {
            (Some(a), Some(b)) => a.compare(b) == Some(Ordering::Equal),
            _ => false,
        },
    }
}

/// `bool(value)`.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// The kind of a value, for a person.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
