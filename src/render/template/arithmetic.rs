//! `+ - * / // % **` as Python computes them, integers up to 128 bits.

use minijinja::{State, Value};

use super::python::{as_float, as_int, int, type_name, undefined};
use super::value::{Outcome, Shape, fail, list, sequence, tuple};
use super::{format, html};

/// Longest repetition of a string or list, in bytes or items.
const MAX_REPEATED: usize = 16 << 20;

fn unsupported<T>(operator: &str, a: &Value, b: &Value) -> Outcome<T> {
    if a.is_undefined() || b.is_undefined() {
        return Err(undefined());
    }
    fail(format!("{operator} does not work with '{}' and '{}'", type_name(a), type_name(b)))
}

fn exact(number: Option<i128>) -> Outcome<Value> {
    number.map_or_else(|| fail("the number is too large"), |number| Ok(int(number)))
}

fn division_by_zero<T>() -> Outcome<T> {
    fail("division by zero")
}

pub(super) fn add(state: &State, a: &Value, b: &Value) -> Outcome<Value> {
    if let (Some(x), Some(y)) = (a.as_str(), b.as_str()) {
        if a.is_safe() || b.is_safe() {
            return Ok(Value::from_safe_string(html::escaped(a) + &html::escaped(b)));
        }
        state.consume_fuel((x.len() + y.len()) as u64 / 64)?;
        return Ok(Value::from([x, y].concat()));
    }
    if let (Some(a), Some(b)) = (as_int(a), as_int(b)) {
        return exact(a.checked_add(b));
    }
    if let (Some(a), Some(b)) = (as_float(a), as_float(b)) {
        return Ok(Value::from(a + b));
    }
    let (Some(x), Some(y)) = (sequence(a), sequence(b)) else { return unsupported("+", a, b) };
    state.consume_fuel((x.len() + y.len()) as u64 / 4)?;
    let items = || [x.items(), y.items()].concat();
    match (x.shape, y.shape) {
        (Shape::List, Shape::List) => list(items()),
        (Shape::Tuple | Shape::Group, Shape::Tuple | Shape::Group) => tuple(items()),
        _ => unsupported("+", a, b),
    }
}

pub(super) fn sub(a: &Value, b: &Value) -> Outcome<Value> {
    if let (Some(a), Some(b)) = (as_int(a), as_int(b)) {
        return exact(a.checked_sub(b));
    }
    match (as_float(a), as_float(b)) {
        (Some(a), Some(b)) => Ok(Value::from(a - b)),
        _ => unsupported("-", a, b),
    }
}

pub(super) fn mul(state: &State, a: &Value, b: &Value) -> Outcome<Value> {
    if let (Some(a), Some(b)) = (as_int(a), as_int(b)) {
        return exact(a.checked_mul(b));
    }
    if let (Some(a), Some(b)) = (as_float(a), as_float(b)) {
        return Ok(Value::from(a * b));
    }
    match (as_int(a), as_int(b)) {
        (None, Some(times)) => repeat(state, a, times),
        (Some(times), None) => repeat(state, b, times),
        _ => unsupported("*", a, b),
    }
}

fn repeat(state: &State, value: &Value, times: i128) -> Outcome<Value> {
    let shape = sequence(value).map(|sequence| sequence.shape);
    let length = match (value.as_str(), sequence(value)) {
        (Some(text), _) => text.len(),
        (None, Some(sequence)) if matches!(shape, Some(Shape::List | Shape::Tuple | Shape::Group)) => sequence.len(),
        _ => return unsupported("*", value, &int(times)),
    };
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    let total = length.saturating_mul(times);
    if total > MAX_REPEATED {
        return fail("the repetition is too long");
    }
    if let Some(text) = value.as_str() {
        state.consume_fuel(total as u64 / 64)?;
        let repeated = text.repeat(times);
        return Ok(if value.is_safe() { Value::from_safe_string(repeated) } else { Value::from(repeated) });
    }
    state.consume_fuel(total as u64 / 2)?;
    let items = sequence(value).map(|sequence| vec![sequence.items(); times].concat()).unwrap_or_default();
    if shape == Some(Shape::List) { list(items) } else { tuple(items) }
}

pub(super) fn div(a: &Value, b: &Value) -> Outcome<Value> {
    match (as_float(a), as_float(b)) {
        (Some(_), Some(0.0)) => division_by_zero(),
        (Some(a), Some(b)) => Ok(Value::from(a / b)),
        _ => unsupported("/", a, b),
    }
}

pub(super) fn floor_div(a: &Value, b: &Value) -> Outcome<Value> {
    if let (Some(a), Some(b)) = (as_int(a), as_int(b)) {
        if b == 0 {
            return division_by_zero();
        }
        let quotient = a.checked_div(b);
        let inexact = a.checked_rem(b).is_some_and(|rest| rest != 0);
        return exact(quotient.map(|quotient| if inexact && (a < 0) != (b < 0) { quotient - 1 } else { quotient }));
    }
    match (as_float(a), as_float(b)) {
        (Some(_), Some(0.0)) => division_by_zero(),
        (Some(a), Some(b)) => Ok(Value::from(divided(a, b).0)),
        _ => unsupported("//", a, b),
    }
}

pub(super) fn modulo(state: &State, a: &Value, b: &Value) -> Outcome<Value> {
    if a.as_str().is_some() {
        return format::percent(state, a, b);
    }
    if let (Some(a), Some(b)) = (as_int(a), as_int(b)) {
        if b == 0 {
            return division_by_zero();
        }
        let rest = a.checked_rem(b);
        return exact(rest.map(|rest| if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }));
    }
    match (as_float(a), as_float(b)) {
        (Some(_), Some(0.0)) => division_by_zero(),
        (Some(a), Some(b)) => Ok(Value::from(divided(a, b).1)),
        _ => unsupported("%", a, b),
    }
}

/// Quotient rounded down and rest with the divisor's sign, as CPython's `float_divmod`.
fn divided(a: f64, b: f64) -> (f64, f64) {
    let mut rest = a % b;
    let mut quotient = (a - rest) / b;
    if rest == 0.0 {
        rest = 0.0_f64.copysign(b);
    } else if (rest < 0.0) != (b < 0.0) {
        rest += b;
        quotient -= 1.0;
    }
    let floor = quotient.floor();
    let floor = if quotient - floor > 0.5 { floor + 1.0 } else { floor };
    (if quotient == 0.0 { 0.0_f64.copysign(a / b) } else { floor }, rest)
}

pub(super) fn pow(a: &Value, b: &Value) -> Outcome<Value> {
    if let (Some(base), Some(exponent)) = (as_int(a), as_int(b))
        && exponent >= 0
    {
        return match u32::try_from(exponent) {
            Ok(exponent) => exact(base.checked_pow(exponent)),
            Err(_) if matches!(base, 0 | 1) => Ok(int(base)),
            Err(_) => fail("the number is too large"),
        };
    }
    let (Some(base), Some(exponent)) = (as_float(a), as_float(b)) else { return unsupported("**", a, b) };
    if base == 0.0 && exponent < 0.0 {
        return division_by_zero();
    }
    let power = base.powf(exponent);
    // Python answers with complex numbers and overflow errors here.
    if power.is_finite() { Ok(Value::from(power)) } else { fail("the power is not a finite number") }
}

pub(super) fn neg(a: &Value) -> Outcome<Value> {
    match (as_int(a), as_float(a)) {
        (Some(number), _) => exact(number.checked_neg()),
        (None, Some(number)) => Ok(Value::from(-number)),
        _ => unsupported("-", a, a),
    }
}

pub(super) fn pos(a: &Value) -> Outcome<Value> {
    match (as_int(a), as_float(a)) {
        (Some(number), _) => Ok(int(number)),
        (None, Some(number)) => Ok(Value::from(number)),
        _ => unsupported("+", a, a),
    }
}
