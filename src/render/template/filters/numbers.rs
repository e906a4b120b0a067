//! Filters that make numbers, or show them.

use minijinja::value::ValueKind;
use minijinja::{State, Value};

use super::super::arithmetic;
use super::super::call::Bound;
use super::super::python::{self, as_float, as_int, type_name};
use super::super::value::{Outcome, fail};
use super::select::Path;

fn number(args: &Bound) -> Outcome<&Value> {
    let value = args.need(0)?;
    if value.is_undefined() {
        return Err(python::undefined());
    }
    if as_float(value).is_some() { Ok(value) } else { fail(format!("a number is needed, not '{}'", type_name(value))) }
}

pub(super) fn abs(_: &mut State, args: &Bound) -> Outcome<Value> {
    let value = number(args)?;
    match as_int(value) {
        Some(int) => int.checked_abs().map_or_else(|| fail("the number is too large"), |int| Ok(python::int(int))),
        None => Ok(Value::from(as_float(value).unwrap_or_default().abs())),
    }
}

/// Whole numbers stay whole with the method `common`; everything else becomes a float.
pub(super) fn round(_: &mut State, args: &Bound) -> Outcome<Value> {
    let precision = args.int(1, 0)?;
    let method = if args.get(2).is_some() { args.str(2)? } else { "common" };
    if !matches!(method, "common" | "ceil" | "floor") {
        return fail("method must be common, ceil or floor");
    }
    let value = number(args)?;
    let Some(precision) = i32::try_from(precision).ok().filter(|precision| (-300..=300).contains(precision)) else {
        return fail("the precision is out of range");
    };
    let float = as_float(value).unwrap_or_default();
    match (method, as_int(value)) {
        ("common", Some(int)) if precision >= 0 => Ok(python::int(int)),
        ("common", Some(int)) => Ok(python::int(round_int(int, precision.unsigned_abs()))),
        ("common", None) => Ok(Value::from(round_float(float, precision))),
        _ if precision > 0 && !float.is_finite() => fail("cannot convert float infinity to integer"),
        _ => {
            let scale = 10_f64.powi(precision);
            let scaled = float * scale;
            if !scaled.is_finite() {
                return fail("cannot convert float to integer");
            }
            let whole = if method == "ceil" { scaled.ceil() } else { scaled.floor() };
            // Python divides whole numbers, which have no negative zero.
            Ok(Value::from((whole + 0.0) / scale))
        }
    }
}

/// To a multiple of a power of ten, halves to the even one.
fn round_int(int: i128, digits: u32) -> i128 {
    let Some(unit) = 10_i128.checked_pow(digits) else { return 0 };
    let (quotient, rest) = (int.div_euclid(unit), int.rem_euclid(unit));
    let up = rest > unit - rest || (rest == unit - rest && quotient % 2 != 0);
    (quotient + i128::from(up)).saturating_mul(unit)
}

fn round_float(float: f64, precision: i32) -> f64 {
    if !float.is_finite() {
        return float;
    }
    match usize::try_from(precision) {
        // Formatting rounds the exact value, halves to even, as Python does.
        Ok(digits) => format!("{float:.digits$}").parse().unwrap_or(float),
        Err(_) => {
            let unit = 10_f64.powi(-precision);
            (float / unit).round_ties_even() * unit
        }
    }
}

pub(super) fn int(_: &mut State, args: &Bound) -> Outcome<Value> {
    let value = args.need(0)?;
    let default = args.get(1).cloned().unwrap_or_else(|| Value::from(0));
    if value.is_undefined() {
        return Err(python::undefined());
    }
    if let Some(text) = value.as_str() {
        let base = u32::try_from(args.int(2, 10)?).unwrap_or_default();
        let parsed = parse_int(text, base).or_else(|| parse_float(text).and_then(whole));
        return Ok(parsed.map_or(default, python::int));
    }
    if let Some(int) = as_int(value) {
        return Ok(python::int(int));
    }
    match as_float(value) {
        Some(float) if float.is_infinite() => fail("cannot convert float infinity to integer"),
        Some(float) => Ok(whole(float).map_or(default, python::int)),
        None => Ok(default),
    }
}

fn whole(float: f64) -> Option<i128> {
    // Beyond this the integer does not fit 128 bits.
    #[allow(clippy::cast_possible_truncation)]
    (float.abs() < 1e38).then(|| float.trunc() as i128)
}

/// Digits with single underscores between them, whitespace around, a prefix for bases 2, 8 and 16.
fn parse_int(text: &str, base: u32) -> Option<i128> {
    let text = text.trim_matches(super::super::literal::is_space);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let prefix = match base {
        2 => "0b",
        8 => "0o",
        16 => "0x",
        _ => "",
    };
    let digits = if prefix.is_empty() { &lower } else { lower.strip_prefix(prefix).unwrap_or(&lower) };
    let misplaced = digits.starts_with('_') || digits.ends_with('_') || digits.contains("__");
    if !(2..=36).contains(&base) || misplaced || digits.starts_with(['+', '-']) {
        return None;
    }
    let number = i128::from_str_radix(&digits.replace('_', ""), base).ok()?;
    Some(if negative { -number } else { number })
}

fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim_matches(super::super::literal::is_space);
    let misplaced = text.starts_with('_') || text.ends_with('_') || text.contains("__");
    if misplaced { None } else { text.replace('_', "").parse().ok() }
}

pub(super) fn float(_: &mut State, args: &Bound) -> Outcome<Value> {
    let value = args.need(0)?;
    if value.is_undefined() {
        return Err(python::undefined());
    }
    let parsed = match value.as_str() {
        Some(text) => parse_float(text),
        None => as_float(value),
    };
    Ok(parsed.map_or_else(|| args.get(1).cloned().unwrap_or_else(|| Value::from(0.0)), Value::from))
}

pub(super) fn sum(state: &mut State, args: &Bound) -> Outcome<Value> {
    let path = args.some(1).map(Path::new).transpose()?;
    let mut total = args.get(2).cloned().unwrap_or_else(|| Value::from(0));
    if total.kind() == ValueKind::String {
        return fail("sum() can't sum strings");
    }
    for item in python::items(args.need(0)?)? {
        let item = path.as_ref().map_or(Ok(item.clone()), |path| path.of(&item, None))?;
        total = arithmetic::add(state, &total, &item)?;
    }
    Ok(total)
}

pub(super) fn filesizeformat(_: &mut State, args: &Bound) -> Outcome<Value> {
    let value = args.need(0)?;
    let bytes = match value.as_str() {
        Some(text) => parse_float(text),
        None => as_float(value),
    };
    let Some(bytes) = bytes else { return fail(format!("a size is needed, not '{}'", type_name(value))) };
    let (base, prefixes) = if args.flag(1) {
        (1024_f64, ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"])
    } else {
        (1000_f64, ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"])
    };
    if (bytes - 1.0).abs() < f64::EPSILON {
        return Ok(Value::from("1 Byte"));
    }
    if bytes < base {
        return Ok(Value::from(format!("{} Bytes", bytes.trunc() + 0.0)));
    }
    let mut unit = base;
    for prefix in prefixes {
        unit *= base;
        if bytes < unit || prefix == prefixes[7] {
            return Ok(Value::from(format!("{:.1} {prefix}", base * bytes / unit)));
        }
    }
    fail("a size is needed")
}
