//! Arguments as Python passes them, and the functions every template knows.

use minijinja::value::{Rest, ValueOrKwargs};
use minijinja::{Environment, State, Value};

use super::python;
use super::value::{Dict, Outcome, Sequence, Shape, fail, storable};

/// Most items of a `range`, as in Jinja2's sandbox.
const MAX_RANGE: i128 = 100_000;

/// What was passed to a call.
#[derive(Debug)]
pub(super) struct Args {
    pub positional: Vec<Value>,
    pub named: Vec<(String, Value)>,
}

/// What was passed to a call, by the position of its parameters.
#[derive(Debug)]
pub(super) struct Bound {
    values: Vec<Option<Value>>,
    parameters: &'static [&'static str],
}

/// A function of the library.
#[derive(Clone, Copy)]
pub(super) enum Callable {
    /// Takes these parameters.
    Fixed(&'static [&'static str], fn(&mut State, &Bound) -> Outcome<Value>),
    /// Takes anything.
    Free(fn(&mut State, Args) -> Outcome<Value>),
}

impl Callable {
    /// # Errors
    /// Arguments that do not fit, and the function's own.
    pub fn call(self, state: &mut State, arguments: &[Value]) -> Outcome<Value> {
        let args = Args::new(arguments);
        match self {
            Self::Fixed(parameters, function) => function(state, &args.bind(parameters)?),
            Self::Free(function) => function(state, args),
        }
    }

    /// As the engine calls it.
    pub fn boxed(self) -> impl Fn(&mut State, Rest<ValueOrKwargs>) -> Outcome<Value> + Send + Sync + 'static {
        move |state: &mut State, arguments: Rest<ValueOrKwargs>| self.call(state, &arguments.into_values())
    }
}

impl Args {
    pub fn new(arguments: &[Value]) -> Self {
        let mut args = Self { positional: Vec::with_capacity(arguments.len()), named: Vec::new() };
        for value in arguments {
            if value.is_kwargs() {
                let pairs = value.as_object().and_then(|object| object.try_iter_pairs()).into_iter().flatten();
                args.named.extend(pairs.map(|(name, value)| (python::text(&name), value)));
            } else {
                args.positional.push(value.clone());
            }
        }
        args
    }

    /// # Errors
    /// Too many arguments, unknown names, a parameter given twice.
    pub fn bind(self, parameters: &'static [&'static str]) -> Outcome<Bound> {
        if self.positional.len() > parameters.len() {
            return fail(format!("takes {} arguments, {} were given", parameters.len(), self.positional.len()));
        }
        let mut values: Vec<Option<Value>> = self.positional.into_iter().map(Some).collect();
        values.resize(parameters.len(), None);
        for (name, value) in self.named {
            match parameters.iter().position(|parameter| *parameter == name) {
                Some(index) if values[index].is_none() => values[index] = Some(value),
                Some(_) => return fail(format!("argument \"{name}\" is given twice")),
                None => return fail(format!("unknown argument \"{name}\"")),
            }
        }
        Ok(Bound { values, parameters })
    }

    /// Takes an argument that may only be given by name.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        let index = self.named.iter().position(|(given, _)| given == name)?;
        Some(self.named.remove(index).1)
    }
}

impl Bound {
    pub fn get(&self, index: usize) -> Option<&Value> {
        self.values.get(index).and_then(Option::as_ref)
    }

    /// The argument unless it is missing or `None`.
    pub fn some(&self, index: usize) -> Option<&Value> {
        self.get(index).filter(|value| !value.is_none())
    }

    /// # Errors
    /// The argument is missing.
    pub fn need(&self, index: usize) -> Outcome<&Value> {
        match self.get(index) {
            Some(value) => Ok(value),
            None => fail(format!("argument \"{}\" is missing", self.parameters.get(index).unwrap_or(&""))),
        }
    }

    pub fn flag(&self, index: usize) -> bool {
        self.get(index).is_some_and(Value::is_true)
    }

    /// # Errors
    /// The argument is not a whole number.
    pub fn int(&self, index: usize, default: i128) -> Outcome<i128> {
        let Some(value) = self.get(index) else { return Ok(default) };
        match python::as_int(value) {
            Some(int) => Ok(int),
            None => fail(format!("'{}' object cannot be interpreted as an integer", python::type_name(value))),
        }
    }

    /// A number of characters or items that is small enough to make.
    ///
    /// # Errors
    /// As [`Bound::int`], or beyond a million.
    pub fn size(&self, index: usize, default: i128) -> Outcome<usize> {
        let size = self.int(index, default)?;
        match usize::try_from(size.max(0)) {
            Ok(size) if size <= 1_000_000 => Ok(size),
            _ => fail("the width is too large"),
        }
    }

    /// # Errors
    /// The argument is missing or not a string.
    pub fn str(&self, index: usize) -> Outcome<&str> {
        let value = self.need(index)?;
        match value.as_str() {
            Some(text) => Ok(text),
            None => fail(format!("expected a string, found '{}'", python::type_name(value))),
        }
    }

    /// Python's `str()` of the argument.
    ///
    /// # Errors
    /// The argument is missing.
    pub fn text(&self, index: usize) -> Outcome<String> {
        self.need(index).map(python::text)
    }
}

/// `range`, `dict` and `namespace`; Jinja2's `cycler`, `joiner` and `lipsum` are not among them.
pub(super) fn register_globals(environment: &mut Environment<'static>) {
    environment.add_function("range", Callable::Free(range).boxed());
    environment.add_function("dict", Callable::Free(dictionary).boxed());
    environment.add_function("namespace", Callable::Free(namespace).boxed());
}

fn range(state: &mut State, args: Args) -> Outcome<Value> {
    let bound = args.bind(&["start", "stop", "step"])?;
    let first = bound.need(0).and_then(|_| bound.int(0, 0))?;
    let (start, stop) = if bound.get(1).is_some() { (first, bound.int(1, 0)?) } else { (0, first) };
    let step = bound.int(2, 1)?;
    if step == 0 {
        return fail("the step of a range must not be zero");
    }
    let distance = if step > 0 { stop.saturating_sub(start) } else { start.saturating_sub(stop) };
    let count = (distance.max(0) as u128).div_ceil(step.unsigned_abs());
    if count > MAX_RANGE as u128 {
        return fail(format!("a range may have at most {MAX_RANGE} items"));
    }
    state.consume_fuel(u64::try_from(count).unwrap_or(u64::MAX) / 8)?;
    let items = (0..count as i128).map(|index| python::int(start + index * step)).collect();
    Sequence::build(Shape::Range { start, stop, step }, items)
}

fn dictionary(_: &mut State, args: Args) -> Outcome<Value> {
    let mut pairs = match args.positional.as_slice() {
        [] => Vec::new(),
        [value] => super::operators::pairs(value)?,
        _ => return fail("dict takes one argument without a name"),
    };
    pairs.extend(args.named.into_iter().map(|(name, value)| (Value::from(name), value)));
    Dict::build(pairs)
}

fn namespace(_: &mut State, args: Args) -> Outcome<Value> {
    let mut pairs = match args.positional.as_slice() {
        [] => Vec::new(),
        [value] => super::operators::pairs(value)?,
        _ => return fail("namespace takes one argument without a name"),
    };
    pairs.extend(args.named.into_iter().map(|(name, value)| (Value::from(name), value)));
    for (_, value) in &pairs {
        storable(value)?;
    }
    minijinja::functions::namespace(Some(Value::from_pairs(pairs).into()))
}
