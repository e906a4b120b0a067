use std::fmt;

/// Longest name shown, and most classes listed, so that a damaged job cannot fill the log.
const MAX_NAME: usize = 120;
const MAX_CLASSES: usize = 16;

/// Why a job cannot be taken. No text of it repeats a value of the job: jobs hold session cookies and password hashes.
/// Names of functions, classes and event types are shown if they look like names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    #[error("the job's data is over {limit} bytes when inflated")]
    TooLarge { limit: usize },
    #[error("the job's data is not a complete zlib stream")]
    NotZlib,
    #[error("the job's pickle is not one NetBox writes: byte {offset}: {what}")]
    BadPickle { offset: usize, what: &'static str },
    #[error("the job's pickle has more than {limit} {what}")]
    TooComplex { what: &'static str, limit: usize },
    #[error("the job's \"{field}\" holds values of classes whose JSON form is not known here: {}", Listed(.classes))]
    UnsupportedClass { field: &'static str, classes: Classes },
    #[error("the job calls {0}, not a webhook function of NetBox")]
    WrongFunction(Name),
    #[error("NetBox's event type {0} is not one that can be delivered here")]
    UnknownEvent(Name),
    #[error("the job has no \"{0}\"")]
    Missing(&'static str),
    #[error("the job's \"{field}\" is not {expected}")]
    Wrong { field: &'static str, expected: &'static str },
    #[error("the job's \"{field}\" has no JSON form: {what}")]
    NotJson { field: &'static str, what: &'static str },
}

/// A name out of a job that may be shown: made of letters, digits, `_`, `-` and dots, and short.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    pub(super) fn new(text: &str) -> Self {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '<' | '>');
        let shown = !text.is_empty() && text.len() <= MAX_NAME && text.chars().all(is_name);
        Self(if shown { text.to_owned() } else { "(something unreadable)".to_owned() })
    }

    /// `module.Class`
    pub(super) fn of_class(module: &str, name: &str) -> Self {
        Self::new(&format!("{module}.{name}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The classes that were met, each once, in the order they were met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classes {
    names: Vec<Name>,
    more: bool,
}

impl Classes {
    pub(super) fn add(&mut self, name: Name) {
        if self.names.contains(&name) {
            return;
        }
        if self.names.len() < MAX_CLASSES {
            self.names.push(name);
        } else {
            self.more = true;
        }
    }

    pub fn names(&self) -> &[Name] {
        &self.names
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

struct Listed<'a>(&'a Classes);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.0.names.iter().enumerate() {
            write!(f, "{}{name}", if i == 0 { "" } else { ", " })?;
        }
        if self.0.more { f.write_str(" and more") } else { Ok(()) }
    }
}
