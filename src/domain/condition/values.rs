//! Bounds of the values in a definition.

use serde_json::Value;

use super::error::ConditionError;
use super::python::Num;
use super::{MAX_DEPTH, MAX_VALUE_PARTS};

/// 2^64: from here on `serde_json` rounds an integer to the nearest double.
const TOO_GREAT: f64 = 18_446_744_073_709_551_616.0;
/// -2^63; an integer below becomes at most this double.
const TOO_SMALL: f64 = -9_223_372_036_854_775_808.0;

/// Refuses a value that is too large, or whose numbers could not be compared exactly.
pub(super) fn check(value: &Value, here: &str) -> Result<(), ConditionError> {
    let mut left = MAX_VALUE_PARTS;
    check_part(value, &mut left, 0).map_err(|problem| ConditionError::new(here, problem))
}

fn check_part(value: &Value, left: &mut usize, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("a value nests at most {MAX_DEPTH} deep"));
    }
    *left = left.checked_sub(1).ok_or_else(|| format!("a value has at most {MAX_VALUE_PARTS} elements"))?;
    match value {
        Value::Number(_) => check_number(value),
        Value::Array(items) => items.iter().try_for_each(|item| check_part(item, left, depth + 1)),
        Value::Object(members) => members.values().try_for_each(|member| check_part(member, left, depth + 1)),
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
    }
}

/// Within these bounds every comparison is exact, even with larger integers in the data: rounding keeps those outside.
fn check_number(value: &Value) -> Result<(), String> {
    let exact = match Num::of(value) {
        Some(Num::Int(int)) => int > i128::from(i64::MIN),
        Some(Num::Float(float)) => float > TOO_SMALL && float < TOO_GREAT,
        None => false,
    };
    if exact {
        Ok(())
    } else {
        Err(format!("{value} cannot be compared exactly; allowed is what lies between -2^63 and 2^64"))
    }
}
