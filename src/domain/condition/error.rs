//! What is wrong with a definition.

use std::fmt;

/// Why a definition is refused: the place inside it, what is wrong there, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionError {
    path: String,
    problem: String,
}

impl ConditionError {
    pub(super) fn new(path: impl Into<String>, problem: impl Into<String>) -> ConditionError {
        ConditionError { path: path.into(), problem: problem.into() }
    }

    /// The place inside the definition, `and[1].op`; empty for the definition as a whole.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong, and what is allowed instead.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl fmt::Display for ConditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for ConditionError {}
