//! Jinja2's tests, what follows `is`.
//!
//! # Source
//! Jinja2 3.1 `tests.py`.

use minijinja::value::ValueKind;
use minijinja::{Environment, State, Value};

use super::call::{Bound, Callable};
use super::python::{as_float, as_int, text, undefined};
use super::value::{Outcome, Shape, dict, is_same, sequence};
use super::{arithmetic, filters, operators, python, text as strings};
use Callable::Fixed;

const ONE: &[&str] = &["value"];
const TWO: &[&str] = &["value", "other"];

const TESTS: &[(&str, Callable)] = &[
    ("odd", Fixed(ONE, |state, args| remainder(state, args.need(0)?, &Value::from(2), 1))),
    ("even", Fixed(ONE, |state, args| remainder(state, args.need(0)?, &Value::from(2), 0))),
    ("divisibleby", Fixed(&["value", "num"], |state, args| remainder(state, args.need(0)?, args.need(1)?, 0))),
    ("defined", Fixed(ONE, |_, args| answer(!args.need(0)?.is_undefined()))),
    ("undefined", Fixed(ONE, |_, args| answer(args.need(0)?.is_undefined()))),
    ("filter", Fixed(ONE, |_, args| answer(is_name(args.need(0)?, filters::is_known)?))),
    ("test", Fixed(ONE, |_, args| answer(is_name(args.need(0)?, is_known)?))),
    ("none", Fixed(ONE, |_, args| answer(args.need(0)?.is_none()))),
    ("boolean", Fixed(ONE, |_, args| answer(args.need(0)?.kind() == ValueKind::Bool))),
    ("false", Fixed(ONE, |_, args| answer(is_bool(args.need(0)?, false)))),
    ("true", Fixed(ONE, |_, args| answer(is_bool(args.need(0)?, true)))),
    ("integer", Fixed(ONE, |_, args| answer(args.need(0)?.is_integer()))),
    ("float", Fixed(ONE, |_, args| answer(args.need(0)?.is_number() && !args.need(0)?.is_integer()))),
    ("lower", Fixed(ONE, |_, args| answer(strings::is(&text(args.need(0)?), "islower") == Some(true)))),
    ("upper", Fixed(ONE, |_, args| answer(strings::is(&text(args.need(0)?), "isupper") == Some(true)))),
    ("string", Fixed(ONE, |_, args| answer(args.need(0)?.as_str().is_some()))),
    ("mapping", Fixed(ONE, |_, args| answer(dict(args.need(0)?).is_some()))),
    ("number", Fixed(ONE, |_, args| answer(as_float(args.need(0)?).is_some()))),
    ("sequence", Fixed(ONE, |_, args| answer(is_sequence(args.need(0)?)))),
    ("iterable", Fixed(ONE, |_, args| answer(is_iterable(args.need(0)?)))),
    ("callable", Fixed(ONE, |_, args| answer(is_callable(args.need(0)?)))),
    ("sameas", Fixed(TWO, |_, args| answer(is_identical(args.need(0)?, args.need(1)?)))),
    ("escaped", Fixed(ONE, |_, args| answer(args.need(0)?.is_safe()))),
    ("in", Fixed(&["value", "seq"], |state, args| compare(state, args, "in"))),
    ("==", Fixed(TWO, |state, args| compare(state, args, "eq"))),
    ("eq", Fixed(TWO, |state, args| compare(state, args, "eq"))),
    ("equalto", Fixed(TWO, |state, args| compare(state, args, "eq"))),
    ("!=", Fixed(TWO, |state, args| compare(state, args, "ne"))),
    ("ne", Fixed(TWO, |state, args| compare(state, args, "ne"))),
    (">", Fixed(TWO, |state, args| compare(state, args, "gt"))),
    ("gt", Fixed(TWO, |state, args| compare(state, args, "gt"))),
    ("greaterthan", Fixed(TWO, |state, args| compare(state, args, "gt"))),
    (">=", Fixed(TWO, |state, args| compare(state, args, "ge"))),
    ("ge", Fixed(TWO, |state, args| compare(state, args, "ge"))),
    ("<", Fixed(TWO, |state, args| compare(state, args, "lt"))),
    ("lt", Fixed(TWO, |state, args| compare(state, args, "lt"))),
    ("lessthan", Fixed(TWO, |state, args| compare(state, args, "lt"))),
    ("<=", Fixed(TWO, |state, args| compare(state, args, "le"))),
    ("le", Fixed(TWO, |state, args| compare(state, args, "le"))),
];

pub(super) fn is_known(name: &str) -> bool {
    TESTS.iter().any(|(known, _)| *known == name)
}

pub(super) fn register(environment: &mut Environment<'static>) {
    for (name, test) in TESTS {
        environment.add_test(format!("t_{name}"), test.boxed());
    }
}

#[allow(clippy::unnecessary_wraps)]
fn answer(holds: bool) -> Outcome<Value> {
    Ok(Value::from(holds))
}

fn remainder(state: &mut State, value: &Value, divisor: &Value, wanted: i64) -> Outcome<Value> {
    if value.is_undefined() {
        return Err(undefined());
    }
    let rest = arithmetic::modulo(state, value, divisor)?;
    operators::equal(state, &rest, &Value::from(wanted)).map(Value::from)
}

fn compare(state: &mut State, args: &Bound, name: &str) -> Outcome<Value> {
    operators::compare(state, name, args.need(0)?, args.need(1)?).map(Value::from)
}

fn is_bool(value: &Value, wanted: bool) -> bool {
    value.kind() == ValueKind::Bool && value.is_true() == wanted
}

fn is_name(value: &Value, is_known: fn(&str) -> bool) -> Outcome<bool> {
    python::hashable(value)?;
    Ok(value.as_str().is_some_and(is_known))
}

/// Functions and macros, and Jinja2's undefined, which has a `__call__` that fails.
fn is_callable(value: &Value) -> bool {
    value.is_undefined() || value.kind() == ValueKind::Plain
}

/// Has a length and items by position or key.
fn is_sequence(value: &Value) -> bool {
    let is_dict_or_text = dict(value).is_some() || value.as_str().is_some() || value.is_undefined();
    is_dict_or_text || sequence(value).is_some_and(|s| !matches!(s.shape, Shape::Generator | Shape::View(_)))
}

fn is_iterable(value: &Value) -> bool {
    value.as_str().is_some() || value.is_undefined() || sequence(value).is_some() || dict(value).is_some()
}

/// Identity; equal numbers and strings of one type are held to be the same.
fn is_identical(a: &Value, b: &Value) -> bool {
    if a.as_object().is_some() || a.kind() != b.kind() {
        return is_same(a, b);
    }
    let same_number = a.is_integer() == b.is_integer() && as_int(a) == as_int(b) && as_float(a) == as_float(b);
    same_number && a.as_str() == b.as_str()
}
