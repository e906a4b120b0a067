//! Python's lists, tuples and dictionaries as values of the engine.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use super::python;

/// How deep lists and dictionaries may contain each other when a template builds them.
const MAX_DEPTH: usize = 60;

pub(super) type Outcome<T> = Result<T, Error>;

/// An error a template's author can act on.
pub(super) fn fail<T>(reason: impl Into<String>) -> Outcome<T> {
    Err(Error::new(ErrorKind::InvalidOperation, reason.into()))
}

/// Which of Python's sequences a [`Sequence`] is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    List,
    Tuple,
    Range {
        start: i128,
        stop: i128,
        step: i128,
    },
    /// `dict.keys()` and the like, by their type's name.
    View(&'static str),
    /// What `map`, `select` and other lazy filters return.
    Generator,
    /// A pair of `groupby`, with `grouper` and `list`.
    Group,
}

/// Anything with items in an order.
#[derive(Debug)]
pub(super) struct Sequence {
    pub shape: Shape,
    items: Mutex<Vec<Value>>,
    nesting: Nesting,
}

/// A dictionary, which keeps its order.
#[derive(Debug)]
pub(super) struct Dict {
    /// A map of the engine; replaced as a whole when the template changes it.
    entries: Mutex<Value>,
    nesting: Nesting,
}

/// What keeps containers from containing themselves and from getting too deep to be dropped or shown.
///
/// Containers that came with the event take values without items only. A container of the template takes anything until
/// it is part of another one; from then on, such values and containers that came with the event.
#[derive(Debug, Default)]
struct Nesting {
    depth: AtomicUsize,
    held: AtomicBool,
    given: bool,
}

impl Nesting {
    fn of_depth(depth: usize) -> Self {
        Self { depth: AtomicUsize::new(depth), ..Self::default() }
    }

    fn given() -> Self {
        Self { depth: AtomicUsize::new(1), held: AtomicBool::new(true), given: true }
    }

    /// # Errors
    /// Values that may not become part of this container.
    fn gain(&self, values: &[Value]) -> Outcome<()> {
        for value in values.iter().filter(|value| value.as_object().is_some()) {
            // Marks `value` as held; if it is this container itself, that shows below.
            let depth = depth_of(value)?;
            let is_given = nesting(value).is_some_and(|nesting| nesting.given);
            if self.given || (self.held.load(Ordering::Relaxed) && !is_given) {
                return fail("a list or dictionary can be added only to one that is not part of another value");
            }
            self.depth.fetch_max(depth, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn nesting(value: &Value) -> Option<&Nesting> {
    sequence(value).map(|sequence| &sequence.nesting).or_else(|| dict(value).map(|dict| &dict.nesting))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How deep a container gets by taking `value`, which is marked as held.
///
/// # Errors
/// A value that cannot be part of another (what could smuggle containers past [`Nesting`]: loops, namespaces, macros),
/// or one too deep.
fn depth_of(value: &Value) -> Outcome<usize> {
    if value.as_object().is_none() {
        return Ok(0);
    }
    let Some(nesting) = nesting(value) else {
        return fail(format!("a {} cannot be stored in a list, dictionary or namespace", python::type_name(value)));
    };
    let depth = nesting.depth.load(Ordering::Relaxed);
    if depth >= MAX_DEPTH {
        return fail(format!("lists and dictionaries nested deeper than {MAX_DEPTH} levels"));
    }
    nesting.held.store(true, Ordering::Relaxed);
    Ok(depth + 1)
}

/// Refuses what must not be kept in a namespace.
pub(super) fn storable(value: &Value) -> Outcome<()> {
    depth_of(value).map(|_| ())
}

impl Sequence {
    /// # Errors
    /// Items that cannot be part of another value.
    pub fn build(shape: Shape, items: Vec<Value>) -> Outcome<Value> {
        let mut depth = 0;
        for item in &items {
            depth = depth.max(depth_of(item)?);
        }
        Ok(Self::nested(shape, items, Nesting::of_depth(depth)))
    }

    fn nested(shape: Shape, items: Vec<Value>, nesting: Nesting) -> Value {
        Value::from_object(Self { shape, items: Mutex::new(items), nesting })
    }

    pub fn items(&self) -> Vec<Value> {
        locked(&self.items).clone()
    }

    pub fn len(&self) -> usize {
        locked(&self.items).len()
    }

    /// Changes the items of a list, which may gain `gained`.
    ///
    /// # Errors
    /// A container to be put into a list that is itself part of another value.
    pub fn change<T>(&self, gained: &[Value], edit: impl FnOnce(&mut Vec<Value>) -> T) -> Outcome<T> {
        self.nesting.gain(gained)?;
        Ok(edit(&mut locked(&self.items)))
    }
}

impl Object for Sequence {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match (self.shape, key.as_str()) {
            (Shape::Group, Some("grouper")) => locked(&self.items).first().cloned(),
            (Shape::Group, Some("list")) => locked(&self.items).get(1).cloned(),
            (Shape::View(_) | Shape::Generator, _) => None,
            _ => locked(&self.items).get(key.as_usize()?).cloned(),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.shape {
            // These have no items by position.
            Shape::View(_) | Shape::Generator => Enumerator::Values(self.items()),
            _ => Enumerator::Seq(self.len()),
        }
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.shape == Shape::Generator || self.len() > 0
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&python::shown(&Value::from_dyn_object(self.clone())))
    }
}

impl Dict {
    /// # Errors
    /// Keys without a hash in Python, values that cannot be part of another.
    pub fn build(pairs: Vec<(Value, Value)>) -> Outcome<Value> {
        let mut depth = 0;
        for (key, value) in &pairs {
            python::hashable(key)?;
            depth = depth.max(depth_of(key)?).max(depth_of(value)?);
        }
        Ok(Self::nested(pairs, Nesting::of_depth(depth)))
    }

    fn nested(pairs: Vec<(Value, Value)>, nesting: Nesting) -> Value {
        let entries = Mutex::new(Value::from_pairs(pairs));
        Value::from_object(Self { entries, nesting })
    }

    pub fn get(&self, key: &Value) -> Option<Value> {
        locked(&self.entries).as_object().and_then(|entries| entries.get_value(key))
    }

    pub fn pairs(&self) -> Vec<(Value, Value)> {
        let entries = locked(&self.entries).clone();
        entries.as_object().and_then(|entries| entries.try_iter_pairs()).map(Iterator::collect).unwrap_or_default()
    }

    pub fn len(&self) -> usize {
        locked(&self.entries).len().unwrap_or_default()
    }

    /// Replaces the entries; `gained` are the values not in it before.
    ///
    /// # Errors
    /// As for [`Sequence::change`] and [`Dict::build`].
    pub fn replace(&self, pairs: Vec<(Value, Value)>, gained: &[Value]) -> Outcome<()> {
        for (key, _) in &pairs {
            python::hashable(key)?;
        }
        self.nesting.gain(gained)?;
        *locked(&self.entries) = Value::from_pairs(pairs);
        Ok(())
    }
}

impl Object for Dict {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get(key)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        locked(&self.entries).as_object().and_then(|entries| entries.get_value_by_str(key))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.pairs().into_iter().map(|(key, _)| key).collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&python::shown(&Value::from_dyn_object(self.clone())))
    }
}

pub(super) fn sequence(value: &Value) -> Option<&Sequence> {
    value.downcast_object_ref()
}

pub(super) fn dict(value: &Value) -> Option<&Dict> {
    value.downcast_object_ref()
}

/// Python's `is` for two containers.
pub(super) fn is_same(a: &Value, b: &Value) -> bool {
    match (sequence(a), sequence(b), dict(a), dict(b)) {
        (Some(a), Some(b), ..) => std::ptr::eq(a, b),
        (.., Some(a), Some(b)) => std::ptr::eq(a, b),
        _ => false,
    }
}

pub(super) fn list(items: Vec<Value>) -> Outcome<Value> {
    Sequence::build(Shape::List, items)
}

pub(super) fn tuple(items: Vec<Value>) -> Outcome<Value> {
    Sequence::build(Shape::Tuple, items)
}

pub(super) fn generator(items: Vec<Value>) -> Outcome<Value> {
    Sequence::build(Shape::Generator, items)
}

/// The engine's own maps and lists, as deserialised, as ours.
pub(super) fn adopt(value: &Value) -> Value {
    let Some(object) = value.as_object() else { return value.clone() };
    if value.kind() == ValueKind::Map {
        let pairs = object.try_iter_pairs().into_iter().flatten();
        return Dict::nested(pairs.map(|(key, value)| (key, adopt(&value))).collect(), Nesting::given());
    }
    let items = object.try_iter().into_iter().flatten();
    Sequence::nested(Shape::List, items.map(|item| adopt(&item)).collect(), Nesting::given())
}
