//! The outcome of a definition for one event, and why.

use std::fmt;

use super::excerpt;
use super::node::{Comparison, Condition, Evidence, Test};
use super::operator::Operator;
use super::walk::{Found, Lost};

/// Whether an event matches, with the reasons when it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Match,
    /// The conditions that were evaluated and did not hold, at most [`super::MAX_UNMET`].
    NoMatch(Vec<Unmet>),
    /// A condition could not be evaluated; the whole definition is no match then, as in NetBox since 4.3.
    Invalid(Fault),
}

impl Verdict {
    pub fn is_match(&self) -> bool {
        matches!(self, Verdict::Match)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Match => f.write_str("the conditions hold"),
            Verdict::NoMatch(unmet) => {
                for (index, reason) in unmet.iter().enumerate() {
                    if index > 0 {
                        f.write_str("; ")?;
                    }
                    reason.fmt(f)?;
                }
                Ok(())
            }
            Verdict::Invalid(fault) => fault.fmt(f),
        }
    }
}

/// A condition that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// The place in the definition, `and[0]`; empty for a condition without a set.
    pub place: String,
    pub reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    Compared(Compared),
    /// The event carried no data to read `attr` from.
    NoPayload {
        attr: String,
    },
    /// An `or` without alternatives.
    NoAlternative,
}

/// A comparison that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    pub attr: String,
    pub operator: Operator,
    pub negated: bool,
    /// The beginning of the definition's value, as JSON; `None` for operators without one.
    pub expected: Option<String>,
    pub actual: Actual,
}

/// What was there, each the beginning of a value, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actual {
    Value(String),
    /// The snapshot does not exist for this kind of event and reads `null`.
    AbsentSnapshot,
    /// `None` where the attribute is missing.
    Snapshots {
        before: Option<String>,
        after: Option<String>,
    },
}

impl Unmet {
    pub(super) fn new(place: &str, condition: &Condition, evidence: &Evidence<'_>) -> Unmet {
        let attr = excerpt::of_name(&condition.attr);
        let actual = match evidence {
            Evidence::NoPayload => return Unmet { place: place.to_owned(), reason: Reason::NoPayload { attr } },
            Evidence::Value(found) => Actual::Value(excerpt::of_found(found)),
            Evidence::NoSnapshot => Actual::AbsentSnapshot,
            Evidence::Snapshots(before, after) => {
                let shown = |side: &Option<Found<'_>>| side.as_ref().map(excerpt::of_found);
                Actual::Snapshots { before: shown(before), after: shown(after) }
            }
        };
        let compared = Compared {
            attr,
            operator: condition.operator(),
            negated: condition.negated,
            expected: expected(&condition.test),
            actual,
        };
        Unmet { place: place.to_owned(), reason: Reason::Compared(compared) }
    }

    pub(super) fn no_alternative(place: &str) -> Unmet {
        Unmet { place: place.to_owned(), reason: Reason::NoAlternative }
    }
}

fn expected(test: &Test) -> Option<String> {
    match test {
        Test::Value(Comparison::Eq(value) | Comparison::Contains(value) | Comparison::Order { bound: value, .. }) => {
            Some(excerpt::of_value(value))
        }
        Test::Value(Comparison::In(list)) => Some(excerpt::of_list(list)),
        Test::Value(Comparison::Regex(pattern)) => Some(excerpt::of_text(pattern.source())),
        Test::Snapshots { .. } => None,
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        match &self.reason {
            Reason::Compared(compared) => compared.fmt(f),
            Reason::NoPayload { attr } => write!(f, "{attr} cannot match, the event carries no data"),
            Reason::NoAlternative => f.write_str("no alternative is given"),
        }
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.attr)?;
        match &self.actual {
            Actual::Value(value) => write!(f, " is {value}")?,
            Actual::AbsentSnapshot => f.write_str(" is null, as there is no such snapshot")?,
            Actual::Snapshots { before, after } => {
                let (before, after) = (before.as_deref().unwrap_or("absent"), after.as_deref().unwrap_or("absent"));
                write!(f, " was {before} and is {after}")?;
            }
        }
        f.write_str(if self.negated { ", " } else { ", not " })?;
        f.write_str(phrase(self.operator))?;
        if let Some(expected) = &self.expected {
            write!(f, " {expected}")?;
        }
        f.write_str(if self.negated { ", but the condition is negated" } else { "" })
    }
}

/// Says what the operator found, or behind "not" what it did not.
fn phrase(operator: Operator) -> &'static str {
    match operator {
        Operator::Eq => "equal to",
        Operator::Gt => "greater than",
        Operator::Gte => "greater than or equal to",
        Operator::Lt => "less than",
        Operator::Lte => "less than or equal to",
        Operator::In => "one of",
        Operator::Contains => "containing",
        Operator::Regex => "matched at its start by",
        Operator::Changed => "changed",
        Operator::Unchanged => "unchanged",
    }
}

/// Why a condition could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The place in the definition, `or[1]`; empty for a condition without a set.
    pub place: String,
    pub attr: String,
    pub operator: Operator,
    pub reason: String,
}

impl Fault {
    pub(super) fn new(place: &str, condition: &Condition, problem: Problem<'_>) -> Fault {
        Fault {
            place: place.to_owned(),
            attr: excerpt::of_name(&condition.attr),
            operator: condition.operator(),
            reason: problem.to_string(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        write!(f, "{} {}", self.attr, self.reason)
    }
}

/// Why a condition could not be evaluated, before it is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem<'a> {
    Lost(Lost<'a>),
    WrongType { operator: Operator, kind: &'static str },
    NoSnapshots,
    InNeitherSnapshot,
    TextTooLong,
    TooManySteps,
}

impl<'a> From<Lost<'a>> for Problem<'a> {
    fn from(lost: Lost<'a>) -> Self {
        Problem::Lost(lost)
    }
}

/// Continues a sentence that begins with the attribute.
impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Lost(Lost::Missing { key }) => {
                write!(f, "cannot be read: `{}` is missing, or what should hold it is null", excerpt::of_name(key))
            }
            Problem::Lost(Lost::Keyless { key, kind }) => {
                write!(f, "cannot be read: `{}` is looked for in {kind}", excerpt::of_name(key))
            }
            Problem::WrongType { operator, kind } => write!(f, "is {kind}, which `{operator}` cannot evaluate"),
            Problem::NoSnapshots => f.write_str("cannot be compared: the event has no snapshots"),
            Problem::InNeitherSnapshot => f.write_str(
                "is in neither snapshot; snapshots hold raw values, so a choice is `status` there, not `status.value`",
            ),
            Problem::TextTooLong => write!(f, "is longer than the {} bytes a pattern is run on", super::MAX_TEXT),
            Problem::TooManySteps => f.write_str("takes the pattern too many steps to match"),
        }
    }
}
