//! NetBox's condition language: which events a webhook wants, by what the object is and what changed.
//!
//! A definition is `{"and": [...]}` or `{"or": [...]}`, nested at will, or one bare condition
//! `{"attr": "status.value", "value": "active"}` with an operator `op` (`eq` unless given) and `negate`. `attr` is a
//! dotted path into the event's data and, below `snapshots`, into the object before and after the change; through a
//! list it leads to the list of its elements' values.
//!
//! The semantics are those of NetBox 4.7 (`netbox/extras/conditions.py`), down to Python's: `1 == 1.0 == True`, a
//! pattern matches from the start of the text as `re.match` does, sets stop at the first member that decides, and a
//! condition that cannot be evaluated (a missing key, a null on the way, a type the operator does not take) makes the
//! whole definition no match. Where the two differ:
//!
//! - **Refused here at once, while NetBox fails when the first event comes:** `AND` and other spellings of the
//!   keys, unknown keys and members that are no objects below a set, an `attr` that is no string, patterns that do
//!   not compile.
//! - **Refused here, accepted by NetBox:** a string or object instead of the list of a set; `""`, `0` and `false`
//!   instead of a definition; numbers beyond 64 bits; more than [`MAX_CONDITIONS`] conditions, [`MAX_DEPTH`] levels,
//!   [`MAX_VALUE_PARTS`] elements of a value, [`MAX_ATTR`] bytes of a path, [`MAX_PATTERN`] characters of a pattern.
//! - **Patterns** are Python 3.12's. Refused are conditionals, `(?(1)...)`; `\N{...}`; surrogates; repeats of what takes
//!   no character, like a look-around; counts above 1,000; possessive counts of groups, `(a|ab){2,}+`; group names that
//!   are not ASCII; references to a group under `(?i)`, in a look-behind, or from outside the repeat or look-around the
//!   group is in; `{0}` in a look-behind; under `(?i)` letters with irregular cases (`ŉ`, `ΐ`), classes of more than
//!   2,048 characters and cased letters beyond U+FFFF in them; nesting above 23 groups; what compiles to more than some
//!   8 MiB, or 64 MiB for all patterns together. Letters and digits newer than Python's Unicode may be known here; `\B`
//!   does not match an empty text, as up to Python 3.13.
//! - **Runaway patterns** end after 100,000 steps back, and patterns are not run on texts above [`MAX_TEXT`] bytes; the
//!   definition is then invalid for this event, where Python would go on.
//! - **Integers beyond 64 bits in the data** arrive as doubles. Comparisons with a definition's value stay exact, but
//!   `changed` does not see a change within one double's precision.
//!
//! Evaluation costs no more than the data is large times the conditions; data is expected as `serde_json` parses it, at
//! most 128 levels deep.

mod definition;
mod error;
mod excerpt;
mod explain;
mod node;
mod operator;
mod pattern;
mod place;
mod python;
mod snapshot;
mod values;
mod verdict;
mod walk;

use std::sync::Arc;

use serde_json::{Map, Value};

pub use self::error::ConditionError;
pub use self::excerpt::MAX_EXCERPT;
pub use self::operator::Operator;
pub use self::pattern::{MAX_PATTERN, MAX_TEXT};
pub use self::verdict::{Actual, Compared, Fault, Reason, Unmet, Verdict};

use self::node::Node;
use self::walk::{EmptyList, Found, Lost, NULL};

/// How many levels sets may nest.
pub const MAX_DEPTH: usize = 32;
/// How many conditions a definition may hold, and how many sets.
pub const MAX_CONDITIONS: usize = 1_000;
/// The longest path, in bytes.
pub const MAX_ATTR: usize = 1_000;
/// How many elements the value of one condition may hold, nested ones counted.
pub const MAX_VALUE_PARTS: usize = 10_000;
/// How many unmet conditions a verdict names.
pub const MAX_UNMET: usize = 100;

/// A definition, checked and compiled. Cheap to clone; equal when the definitions are.
#[derive(Clone, Debug)]
pub struct Conditions {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    source: Value,
    /// `None`: no conditions, every event matches.
    root: Option<Node>,
}

/// What conditions are held against: an event's data and its snapshots.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    data: &'a Value,
    snapshots: &'a Value,
}

impl Conditions {
    /// Checks and compiles a definition.
    ///
    /// `null`, `{}` and `[]` hold no conditions, as in NetBox: every event matches. That is no `{"and": []}`, which also
    /// always matches, nor `{"or": []}`, which never does.
    ///
    /// # Errors
    ///
    /// Names the place inside the definition, what is wrong there and what is allowed.
    pub fn parse(definition: &Value) -> Result<Conditions, ConditionError> {
        let nothing = match definition {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        };
        let root = if nothing { None } else { Some(definition::Reader::default().node(definition, "", 0)?) };
        Ok(Conditions { inner: Arc::new(Inner { source: definition.clone(), root }) })
    }

    /// The definition as it was given.
    pub fn source(&self) -> &Value {
        &self.inner.source
    }

    /// Whether there are no conditions, so that every event matches.
    pub fn is_empty(&self) -> bool {
        self.inner.root.is_none()
    }

    /// Whether the event matches. The same as [`Conditions::verdict`] without the reasons, and cheaper.
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        match &self.inner.root {
            None => true,
            Some(root) => root.holds(subject).unwrap_or(false),
        }
    }

    /// Whether the event matches, and if not, which conditions were evaluated and did not hold.
    pub fn verdict(&self, subject: &Subject<'_>) -> Verdict {
        let Some(root) = &self.inner.root else { return Verdict::Match };
        let mut unmet = Vec::new();
        match root.explain(subject, "", &mut unmet) {
            Ok(true) => Verdict::Match,
            Ok(false) => Verdict::NoMatch(unmet),
            Err(fault) => Verdict::Invalid(fault),
        }
    }
}

impl PartialEq for Conditions {
    fn eq(&self, other: &Self) -> bool {
        self.inner.source == other.inner.source
    }
}

impl<'a> Subject<'a> {
    /// Takes an event's `data` and its `snapshots`, the object of `prechange` and `postchange`.
    ///
    /// Data that is no object (a job that recorded none) is no match for any path into it, as in NetBox. A key
    /// `snapshots` in the data itself is hidden by the event's.
    pub fn new(data: &'a Value, snapshots: Option<&'a Value>) -> Subject<'a> {
        Subject { data, snapshots: snapshots.unwrap_or(&NULL) }
    }

    fn snapshots(&self) -> Option<&'a Map<String, Value>> {
        self.snapshots.as_object()
    }

    fn lacks_payload_for(&self, keys: &[Box<str>]) -> bool {
        !self.data.is_object() && keys.first().is_none_or(|first| &**first != snapshot::SNAPSHOTS)
    }

    fn walk(&self, keys: &'a [Box<str>], empty: EmptyList) -> Result<Found<'a>, Lost<'a>> {
        match keys.split_first() {
            Some((first, rest)) if &**first == snapshot::SNAPSHOTS => Found::One(self.snapshots).walk(rest, empty),
            _ => Found::One(self.data).walk(keys, empty),
        }
    }
}

#[cfg(test)]
mod tests;
