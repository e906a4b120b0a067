//! Reads Python's regular expression syntax (`re`, text patterns, Python 3.12).
//!
//! What Python refuses is refused, and so is what cannot be carried over exactly; nothing is guessed.

use super::PatternError;
use super::ast::{Anchor, CharSet, Greed, Node, Repeat};
use super::fold;

/// The most repetitions a counted repeat may ask for.
pub(super) const MAX_REPEAT: u32 = 1_000;
/// How deep groups may nest.
const MAX_NESTING: usize = 24;

/// Flags in force at a place of the pattern.
#[derive(Clone, Copy, Default)]
pub(super) struct Flags {
    pub ascii: bool,
    pub ignore_case: bool,
    pub multi_line: bool,
    pub dot_all: bool,
    pub verbose: bool,
}

/// A capturing group seen so far.
pub(super) struct Group {
    pub name: Option<String>,
    pub closed: bool,
}

pub(super) struct Parser {
    pub text: Vec<char>,
    pub at: usize,
    pub flags: Flags,
    pub groups: Vec<Group>,
    pub lookbehinds: usize,
    nesting: usize,
}

impl Parser {
    pub(super) fn parse(pattern: &str) -> Result<Node, PatternError> {
        let mut parser = Parser {
            text: pattern.chars().collect(),
            at: 0,
            flags: Flags::default(),
            groups: Vec::new(),
            lookbehinds: 0,
            nesting: 0,
        };
        parser.leading_flags()?;
        let node = parser.choice()?;
        if parser.at < parser.text.len() {
            return parser.fail("a `)` without its `(`");
        }
        Ok(node)
    }

    /// Alternatives up to the `)` or the end; flags changed inside are the caller's to put back.
    pub(super) fn choice(&mut self) -> Result<Node, PatternError> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return self.fail(format!("groups are nested more than {} deep", MAX_NESTING - 1));
        }
        let mut branches = vec![self.sequence()?];
        while self.eat('|') {
            branches.push(self.sequence()?);
        }
        self.nesting -= 1;
        Ok(if branches.len() == 1 { branches.remove(0) } else { Node::Choice(branches) })
    }

    fn sequence(&mut self) -> Result<Node, PatternError> {
        let mut parts: Vec<Node> = Vec::new();
        while let Some(c) = self.peek() {
            if matches!(c, '|' | ')') {
                break;
            }
            if self.skip_insignificant() || self.skip_comment()? {
                continue;
            }
            if let Some((min, max)) = self.repeat_count()? {
                let body = parts.pop();
                parts.push(self.repeat(body, min, max)?);
            } else {
                parts.push(self.part(c)?);
            }
        }
        Ok(match parts.len() {
            0 => Node::Empty,
            1 => parts.remove(0),
            _ => Node::Sequence(parts),
        })
    }

    fn part(&mut self, c: char) -> Result<Node, PatternError> {
        self.at += 1;
        match c {
            '.' => Ok(Node::Any { newline: self.flags.dot_all }),
            '^' if self.flags.multi_line => Ok(Node::Anchor(Anchor::LineStart)),
            '^' => Ok(Node::Anchor(Anchor::TextStart)),
            '$' if self.flags.multi_line => Ok(Node::Anchor(Anchor::LineEnd)),
            '$' => Ok(Node::Anchor(Anchor::TextEndOrNewline)),
            '[' => self.class(),
            '(' => self.group(),
            '\\' => self.escape(),
            literal => self.literal(literal),
        }
    }

    /// A character, or all its cases under `(?i)`.
    pub(super) fn literal(&self, c: char) -> Result<Node, PatternError> {
        if !self.flags.ignore_case {
            return Ok(Node::Char(c));
        }
        match self.cases(c)?.as_slice() {
            [single] => Ok(Node::Char(*single)),
            several => {
                let ranges = several.iter().map(|case| (*case, *case)).collect();
                Ok(Node::Set(CharSet { ranges, ..CharSet::default() }))
            }
        }
    }

    pub(super) fn cases(&self, c: char) -> Result<Vec<char>, PatternError> {
        fold::cases(c, self.flags.ascii).ok_or_else(|| {
            self.error(format!("`{c}` under `(?i)` is not supported, its cases are irregular; list them, as in `[Ss]`"))
        })
    }

    /// Reads `*`, `+`, `?` or `{m,n}`; a `{` that begins no count is an ordinary character.
    fn repeat_count(&mut self) -> Result<Option<(u32, Option<u32>)>, PatternError> {
        let count = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => return self.braces(),
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(count))
    }

    fn braces(&mut self) -> Result<Option<(u32, Option<u32>)>, PatternError> {
        let start = self.at;
        self.at += 1;
        let min = self.digits();
        let max = if self.eat(',') { self.digits() } else { min.clone() };
        if self.at == start + 1 || !self.eat('}') {
            self.at = start;
            return Ok(None);
        }
        let min = self.bounded(&min)?.unwrap_or(0);
        let max = self.bounded(&max)?;
        if max.is_some_and(|max| max < min) {
            return self.fail("the least number of repetitions is greater than the most");
        }
        Ok(Some((min, max)))
    }

    fn digits(&mut self) -> String {
        let mut digits = String::new();
        while let Some(digit) = self.peek().filter(char::is_ascii_digit) {
            digits.push(digit);
            self.at += 1;
        }
        digits
    }

    fn bounded(&self, digits: &str) -> Result<Option<u32>, PatternError> {
        if digits.is_empty() {
            return Ok(None);
        }
        match digits.parse::<u32>() {
            Ok(count) if count <= MAX_REPEAT => Ok(Some(count)),
            _ => self.fail(format!("more than {MAX_REPEAT} repetitions are not supported")),
        }
    }

    fn repeat(&mut self, body: Option<Node>, min: u32, max: Option<u32>) -> Result<Node, PatternError> {
        let body = match body {
            None | Some(Node::Anchor(_)) => return self.fail("nothing to repeat"),
            Some(Node::Repeat(_)) => return self.fail("a repeat of a repeat; put the first into a group"),
            Some(body) if body.width() == (0, Some(0)) => {
                return self.fail("repeating what takes no character, like a look-around, is not supported");
            }
            Some(body) => Box::new(body),
        };
        let greed = if self.eat('?') {
            Greed::Lazy
        } else if self.eat('+') {
            Greed::Possessive
        } else {
            Greed::Greedy
        };
        let single = matches!(*body, Node::Char(_) | Node::Set(_) | Node::Any { .. });
        if greed == Greed::Possessive && min > 1 && !single {
            // Python does not go back into the first repetitions of one, against its documentation.
            return self.fail("a possessive count of a group is not supported; write `(?>(...){2})`");
        }
        Ok(Node::Repeat(Repeat { body, min, max, greed }))
    }

    /// Under `(?x)`, white space and comments between parts mean nothing.
    fn skip_insignificant(&mut self) -> bool {
        if !self.flags.verbose {
            return false;
        }
        match self.peek() {
            Some(' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}') => self.at += 1,
            Some('#') => {
                while self.peek().is_some_and(|c| c != '\n') {
                    self.at += 1;
                }
                self.eat('\n');
            }
            _ => return false,
        }
        true
    }

    /// Skips `(?#...)`, which is no part: a repeat behind it belongs to what stands before.
    pub(super) fn skip_comment(&mut self) -> Result<bool, PatternError> {
        if !self.eat_text("(?#") {
            return Ok(false);
        }
        while let Some(c) = self.peek() {
            self.at += 1;
            if c == ')' {
                return Ok(true);
            }
        }
        self.fail("a comment without its `)`")
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    pub(super) fn eat(&mut self, c: char) -> bool {
        let there = self.peek() == Some(c);
        self.at += usize::from(there);
        there
    }

    pub(super) fn eat_text(&mut self, expected: &str) -> bool {
        let there = expected.chars().enumerate().all(|(offset, c)| self.text.get(self.at + offset) == Some(&c));
        if there {
            self.at += expected.chars().count();
        }
        there
    }

    pub(super) fn error(&self, problem: impl Into<String>) -> PatternError {
        PatternError { at: self.at.min(self.text.len()), problem: problem.into() }
    }

    pub(super) fn fail<T>(&self, problem: impl Into<String>) -> Result<T, PatternError> {
        Err(self.error(problem))
    }
}
