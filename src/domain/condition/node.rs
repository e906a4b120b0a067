//! One condition, and sets of them, evaluated.

use std::cmp::Ordering;

use serde_json::Value;

use super::Subject;
use super::operator::Operator;
use super::pattern::{GivenUp, Pattern};
use super::python::{self, Num};
use super::snapshot;
use super::verdict::Problem;
use super::walk::{EmptyList, Found, NULL};

/// A definition, parsed.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// `and`: true when empty.
    All(Vec<Node>),
    /// `or`: false when empty.
    Any(Vec<Node>),
    One(Condition),
}

#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub attr: String,
    /// `attr` at its dots; never empty.
    pub keys: Box<[Box<str>]>,
    pub test: Test,
    pub negated: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Test {
    /// The value at the path, held against the expected one.
    Value(Comparison),
    /// The value before the change, held against the one after it.
    Snapshots { equal: bool },
}

/// An operator with what it needs.
#[derive(Clone, Debug)]
pub(super) enum Comparison {
    Eq(Value),
    Order { wanted: Order, bound: Value },
    In(Vec<Value>),
    Contains(Value),
    Regex(Pattern),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Gt,
    Gte,
    Lt,
    Lte,
}

/// What a condition was held against.
#[derive(Debug)]
pub(super) enum Evidence<'a> {
    Value(Found<'a>),
    /// The snapshot the path begins with does not exist for this kind of event; counts as `null`.
    NoSnapshot,
    /// The event carried no data: no match, whatever is asked and even negated.
    NoPayload,
    /// Before and after; `None` where the snapshot lacks the attribute.
    Snapshots(Option<Found<'a>>, Option<Found<'a>>),
}

impl Node {
    /// Whether the definition holds; alternatives that do not matter are not evaluated.
    pub(super) fn holds<'a>(&'a self, subject: &Subject<'a>) -> Result<bool, Problem<'a>> {
        match self {
            Node::One(condition) => condition.holds(subject).map(|(holds, _)| holds),
            Node::All(nodes) => {
                for node in nodes {
                    if !node.holds(subject)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Node::Any(nodes) => {
                for node in nodes {
                    if node.holds(subject)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
}

impl Condition {
    /// Whether this condition holds, and what it was held against.
    pub(super) fn holds<'a>(&'a self, subject: &Subject<'a>) -> Result<(bool, Evidence<'a>), Problem<'a>> {
        let (holds, evidence) = match &self.test {
            Test::Snapshots { equal } => self.compare_snapshots(subject, *equal)?,
            Test::Value(_) if subject.lacks_payload_for(&self.keys) => return Ok((false, Evidence::NoPayload)),
            Test::Value(comparison) if snapshot::is_absent(&self.keys, subject) => {
                // What Python cannot compare with None is no match here rather than invalid.
                (comparison.holds(&Found::One(&NULL)).unwrap_or(false), Evidence::NoSnapshot)
            }
            Test::Value(comparison) => {
                let found = subject.walk(&self.keys, EmptyList::Passes)?;
                (comparison.holds(&found)?, Evidence::Value(found))
            }
        };
        Ok((holds != self.negated, evidence))
    }

    pub(super) fn operator(&self) -> Operator {
        match &self.test {
            Test::Value(comparison) => comparison.operator(),
            Test::Snapshots { equal: false } => Operator::Changed,
            Test::Snapshots { equal: true } => Operator::Unchanged,
        }
    }

    fn compare_snapshots<'a>(
        &'a self,
        subject: &Subject<'a>,
        equal: bool,
    ) -> Result<(bool, Evidence<'a>), Problem<'a>> {
        let (before, after) = snapshot::both(&self.keys, subject)?;
        let same = match (&before, &after) {
            (Some(before), Some(after)) => before.equals(after),
            // At least one is there; what is missing equals nothing.
            _ => false,
        };
        Ok((same == equal, Evidence::Snapshots(before, after)))
    }
}

impl Comparison {
    fn operator(&self) -> Operator {
        match self {
            Comparison::Eq(_) => Operator::Eq,
            Comparison::Order { wanted: Order::Gt, .. } => Operator::Gt,
            Comparison::Order { wanted: Order::Gte, .. } => Operator::Gte,
            Comparison::Order { wanted: Order::Lt, .. } => Operator::Lt,
            Comparison::Order { wanted: Order::Lte, .. } => Operator::Lte,
            Comparison::In(_) => Operator::In,
            Comparison::Contains(_) => Operator::Contains,
            Comparison::Regex(_) => Operator::Regex,
        }
    }

    fn holds<'a>(&'a self, found: &Found<'a>) -> Result<bool, Problem<'a>> {
        match self {
            Comparison::Eq(expected) => Ok(found.equals(&Found::One(expected))),
            Comparison::Order { wanted, bound } => self.ordered(*wanted, bound, found),
            Comparison::In(list) => Ok(list.iter().any(|item| found.equals(&Found::One(item)))),
            Comparison::Contains(part) => self.contains(found, part),
            Comparison::Regex(pattern) => match found {
                Found::One(Value::String(text)) => pattern.matches(text).map_err(Problem::from),
                other => Err(self.wrong_type(other)),
            },
        }
    }

    fn ordered<'a>(&self, wanted: Order, bound: &Value, found: &Found<'a>) -> Result<bool, Problem<'a>> {
        let number = match found {
            Found::One(value) => Num::of(value),
            Found::Each(_) => None,
        };
        let (Some(number), Some(bound)) = (number, Num::of(bound)) else { return Err(self.wrong_type(found)) };
        let Some(order) = number.compare(bound) else { return Ok(false) };
        Ok(match wanted {
            Order::Gt => order == Ordering::Greater,
            Order::Gte => order != Ordering::Less,
            Order::Lt => order == Ordering::Less,
            Order::Lte => order != Ordering::Greater,
        })
    }

    /// `part in found`: a part of a string, an element of a list, a key of an object.
    fn contains<'a>(&self, found: &Found<'a>, part: &Value) -> Result<bool, Problem<'a>> {
        match (found, part) {
            (Found::One(Value::String(text)), Value::String(part)) => Ok(text.contains(part.as_str())),
            (Found::One(Value::Array(items)), _) => Ok(items.iter().any(|item| python::equal(item, part))),
            (Found::Each(items), _) => Ok(items.iter().any(|item| python::equal(item, part))),
            (Found::One(Value::Object(members)), Value::String(key)) => Ok(members.contains_key(key)),
            // Python asks a list for a hash it does not have; a number is just no key of a JSON object.
            (Found::One(Value::Object(_)), Value::Bool(_) | Value::Number(_) | Value::Null) => Ok(false),
            _ => Err(self.wrong_type(found)),
        }
    }

    fn wrong_type<'a>(&self, found: &Found<'a>) -> Problem<'a> {
        Problem::WrongType { operator: self.operator(), kind: found.kind() }
    }
}

impl From<GivenUp> for Problem<'_> {
    fn from(given_up: GivenUp) -> Self {
        match given_up {
            GivenUp::TextTooLong => Problem::TextTooLong,
            GivenUp::TooManySteps => Problem::TooManySteps,
        }
    }
}
