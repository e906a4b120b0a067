//! Python's regular expressions, run by `fancy-regex`: parsed here, written anew in its syntax, refused where the two
//! would differ.

mod ast;
mod class;
mod emit;
mod escape;
mod fold;
mod group;
mod parse;
mod scope;
mod weight;

use std::fmt;

use fancy_regex::{Regex, RegexBuilder};

/// The longest pattern, in characters.
pub const MAX_PATTERN: usize = 1_000;
/// The longest text a pattern is run on, in bytes.
pub const MAX_TEXT: usize = 64 * 1024;
/// How often a pattern may go back before its evaluation is given up.
const MAX_BACKTRACKS: usize = 100_000;
/// Bytes each part of a compiled pattern may take; twice what its weight allows.
const MAX_COMPILED: usize = 16 * 1024 * 1024;
/// Instructions of a pattern that needs backtracking.
const MAX_PROGRAM: usize = 20_000;

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PatternError {
    /// Characters before the place.
    at: usize,
    problem: String,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at character {})", self.problem, self.at)
    }
}

/// Why a text could not be matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GivenUp {
    TextTooLong,
    TooManySteps,
}

/// A compiled pattern.
#[derive(Clone)]
pub(super) struct Pattern {
    source: String,
    compiled: Regex,
    weight: u64,
}

impl Pattern {
    pub(super) fn new(source: &str) -> Result<Pattern, PatternError> {
        if source.chars().count() > MAX_PATTERN {
            return Err(PatternError {
                at: MAX_PATTERN,
                problem: format!("a pattern has at most {MAX_PATTERN} characters"),
            });
        }
        let tree = parse::Parser::parse(source)?;
        scope::check(&tree).map_err(|problem| PatternError { at: 0, problem })?;
        let weight = weight::of(&tree);
        if weight > weight::MAX_WEIGHT {
            let problem = "the pattern is too large, counts this high are not supported here".to_owned();
            return Err(PatternError { at: 0, problem });
        }
        let compiled = RegexBuilder::new(&emit::whole(&tree))
            .backtrack_limit(MAX_BACKTRACKS)
            .delegate_size_limit(MAX_COMPILED)
            .max_prog_size(MAX_PROGRAM)
            // Version 0.20.2 rewrites the lazy repeat in `(?>(b+?)*)` so that it stops too early.
            .optimize(false)
            .build()
            .map_err(|_| PatternError { at: 0, problem: "the pattern is too large or too deep to run".to_owned() })?;
        Ok(Pattern { source: source.to_owned(), compiled, weight })
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// About how many KiB it takes.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// Whether the pattern matches at the start of `text`, as `re.match` does.
    pub(super) fn matches(&self, text: &str) -> Result<bool, GivenUp> {
        if text.len() > MAX_TEXT {
            return Err(GivenUp::TextTooLong);
        }
        self.compiled.is_match(text).map_err(|_| GivenUp::TooManySteps)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.source).finish()
    }
}

#[cfg(test)]
mod tests;
