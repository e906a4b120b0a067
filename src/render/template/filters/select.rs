//! Filters that look into every item: `map`, `select`, `reject` and their `attr` forms.

use minijinja::value::Kwargs;
use minijinja::{State, Value};

use super::super::call::Args;
use super::super::value::{Outcome, fail, generator};
use super::super::{checks, operators, python};

/// Where in an item a value is: `a.b.0`.
#[derive(Debug)]
pub(super) struct Path(Vec<Value>);

impl Path {
    /// # Errors
    /// Neither a string nor a number.
    pub fn new(attribute: &Value) -> Outcome<Self> {
        match attribute.as_str() {
            Some(text) => Ok(Self::parse(text)),
            None if attribute.is_none() => Ok(Self(Vec::new())),
            None if python::as_int(attribute).is_some() => Ok(Self(vec![attribute.clone()])),
            None => fail("an attribute must be a string or a number"),
        }
    }

    pub fn parse(text: &str) -> Self {
        let is_index = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let part = |part: &str| match part.parse::<i64>() {
            Ok(index) if is_index(part) => Value::from(index),
            _ => Value::from(part),
        };
        Self(text.split('.').map(part).collect())
    }

    /// The value in `item`; `default` stands for what is undefined on the way.
    ///
    /// # Errors
    /// The way leads through something undefined.
    pub fn of(&self, item: &Value, default: Option<&Value>) -> Outcome<Value> {
        let mut value = item.clone();
        for part in &self.0 {
            value = operators::item(&value, part)?;
            if let (true, Some(default)) = (value.is_undefined(), default) {
                value = default.clone();
            }
        }
        Ok(value)
    }
}

/// The first argument: what is looked through. `None` if it is false, and then nothing else is looked at either.
fn subject(args: &mut Args) -> Outcome<Option<Vec<Value>>> {
    if args.positional.is_empty() {
        return fail("argument \"value\" is missing");
    }
    let value = args.positional.remove(0);
    if value.is_true() { python::items(&value).map(Some) } else { Ok(None) }
}

/// The arguments of a filter or test called by name, after the item they are called with.
fn arguments(item: Value, args: &Args) -> Vec<Value> {
    let mut values = vec![item];
    values.extend(args.positional.iter().cloned());
    if !args.named.is_empty() {
        values.push(Kwargs::from_iter(args.named.iter().map(|(name, value)| (name.clone(), value.clone()))).into());
    }
    values
}

pub(super) fn map(state: &mut State, mut args: Args) -> Outcome<Value> {
    let Some(items) = subject(&mut args)? else { return generator(Vec::new()) };
    let attribute = if args.positional.is_empty() { args.take("attribute") } else { None };
    let mut mapped = Vec::with_capacity(items.len());
    if let Some(attribute) = attribute {
        let default = args.take("default").filter(|default| !default.is_none());
        if let Some((name, _)) = args.named.first() {
            return fail(format!("unexpected keyword argument {}", python::quoted(name)));
        }
        let path = Path::new(&attribute)?;
        for item in &items {
            state.consume_fuel(1)?;
            mapped.push(path.of(item, default.as_ref())?);
        }
        return generator(mapped);
    }
    if args.positional.is_empty() {
        return fail("map requires a filter argument");
    }
    let name = python::text(&args.positional.remove(0));
    if !items.is_empty() && !super::is_known(&name) {
        return fail(format!("there is no filter \"{name}\""));
    }
    for item in items {
        state.consume_fuel(1)?;
        mapped.push(state.apply_filter(&format!("f_{name}"), &arguments(item, &args))?);
    }
    generator(mapped)
}

pub(super) fn select(state: &mut State, args: Args) -> Outcome<Value> {
    choose(state, args, true, false)
}

pub(super) fn reject(state: &mut State, args: Args) -> Outcome<Value> {
    choose(state, args, false, false)
}

pub(super) fn selectattr(state: &mut State, args: Args) -> Outcome<Value> {
    choose(state, args, true, true)
}

pub(super) fn rejectattr(state: &mut State, args: Args) -> Outcome<Value> {
    choose(state, args, false, true)
}

/// Keeps the items for which a test, or their truth, is `wanted`.
fn choose(state: &mut State, mut args: Args, wanted: bool, by_attribute: bool) -> Outcome<Value> {
    let Some(items) = subject(&mut args)? else { return generator(Vec::new()) };
    let path = match by_attribute {
        true if args.positional.is_empty() => return fail("the name of an attribute is missing"),
        true => Some(Path::new(&args.positional.remove(0))?),
        false => None,
    };
    let test = if args.positional.is_empty() { None } else { Some(python::text(&args.positional.remove(0))) };
    if let Some(name) = test.as_ref().filter(|name| !items.is_empty() && !checks::is_known(name)) {
        return fail(format!("there is no test \"{name}\""));
    }
    let mut chosen = Vec::new();
    for item in items {
        state.consume_fuel(1)?;
        let value = path.as_ref().map_or(Ok(item.clone()), |path| path.of(&item, None))?;
        let holds = match &test {
            Some(name) => state.perform_test(&format!("t_{name}"), &arguments(value, &args))?,
            None => value.is_true(),
        };
        if holds == wanted {
            chosen.push(item);
        }
    }
    generator(chosen)
}
