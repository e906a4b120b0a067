//! The names of the comparisons.

use std::fmt;

/// What a condition asks of the value at its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    Eq,
    Gt,
    Gte,
    Lt,
    Lte,
    In,
    Contains,
    Regex,
    Changed,
    Unchanged,
}

impl Operator {
    pub const ALL: [Operator; 10] = [
        Operator::Eq,
        Operator::Gt,
        Operator::Gte,
        Operator::Lt,
        Operator::Lte,
        Operator::In,
        Operator::Contains,
        Operator::Regex,
        Operator::Changed,
        Operator::Unchanged,
    ];

    /// As written in a definition.
    pub fn name(self) -> &'static str {
        match self {
            Operator::Eq => "eq",
            Operator::Gt => "gt",
            Operator::Gte => "gte",
            Operator::Lt => "lt",
            Operator::Lte => "lte",
            Operator::In => "in",
            Operator::Contains => "contains",
            Operator::Regex => "regex",
            Operator::Changed => "changed",
            Operator::Unchanged => "unchanged",
        }
    }

    pub(super) fn named(name: &str) -> Option<Operator> {
        Operator::ALL.into_iter().find(|operator| operator.name() == name)
    }

    /// Whether it compares the two snapshots and so takes no value.
    pub(super) fn compares_snapshots(self) -> bool {
        matches!(self, Operator::Changed | Operator::Unchanged)
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
