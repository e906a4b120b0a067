//! What is wrong with a configuration, all of it at once.

use std::fmt;
use std::path::PathBuf;

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Line of the file, from 1.
    Line(usize),
    /// Name of the environment variable.
    Environment(String),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub place: Place,
    /// `server.listen`; empty where no key is to blame.
    pub key: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl Problem {
    pub fn new(place: Place, key: &str, message: String) -> Self {
        Self { place, key: key.to_owned(), message }
    }
}

/// Why there is no configuration to run with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the configuration file {} cannot be read: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: std::io::Error },
    #[error("{}", listed(file.as_ref(), problems))]
    Invalid { file: Option<PathBuf>, problems: Vec<Problem> },
}

/// One line for each problem: `config.toml:12: server.listen: …`.
fn listed(file: Option<&PathBuf>, problems: &[Problem]) -> String {
    let mut text = match problems.len() {
        1 => "the configuration has a problem:".to_owned(),
        n => format!("the configuration has {n} problems:"),
    };
    for problem in problems {
        let place = match (&problem.place, file) {
            (Place::Line(line), Some(file)) => format!("{}:{line}", file.display()),
            (place, _) => place.to_string(),
        };
        let key = if problem.key.is_empty() { String::new() } else { format!("{}: ", problem.key) };
        text.push_str(&format!("\n  {place}: {key}{}", problem.message));
    }
    text
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Environment(name) => f.write_str(name),
        }
    }
}
