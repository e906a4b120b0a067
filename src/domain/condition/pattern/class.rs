//! Character classes, `[...]`.

use super::PatternError;
use super::ast::{CharSet, Node};
use super::escape::Escape;
use super::parse::Parser;

/// How many characters a class may list under `(?i)`, where each becomes all its cases.
const MAX_CASED: u32 = 2_048;

impl Parser {
    /// Reads a class behind its `[`.
    pub(super) fn class(&mut self) -> Result<Node, PatternError> {
        let start = self.at - 1;
        let mut set = CharSet { negated: self.eat('^'), ..CharSet::default() };
        let first = self.at;
        loop {
            let Some(c) = self.peek() else {
                self.at = start;
                return self.fail("a `[` without its `]`");
            };
            // The first `]` is a member.
            if c == ']' && self.at > first {
                self.at += 1;
                break;
            }
            self.members(&mut set)?;
        }
        if self.flags.ignore_case {
            set.ranges = self.all_cases(&set.ranges)?;
        }
        Ok(Node::Set(set))
    }

    /// One character, category or range.
    fn members(&mut self, set: &mut CharSet) -> Result<(), PatternError> {
        let low = self.member()?;
        let is_range = self.peek() == Some('-') && self.text.get(self.at + 1).is_some_and(|c| *c != ']');
        if !is_range {
            match low {
                Escape::Char(c) => set.ranges.push((c, c)),
                Escape::Category(category) => set.categories.push(category),
            }
            return Ok(());
        }
        self.at += 1;
        match (low, self.member()?) {
            (Escape::Char(low), Escape::Char(high)) if low <= high => set.ranges.push((low, high)),
            (Escape::Char(low), Escape::Char(high)) => {
                return self.fail(format!("the range `{low}-{high}` runs backwards"));
            }
            _ => return self.fail(r"a range cannot begin or end with a category like `\d`"),
        }
        Ok(())
    }

    fn member(&mut self) -> Result<Escape, PatternError> {
        let Some(c) = self.peek() else { return self.fail("a `[` without its `]`") };
        self.at += 1;
        match (c, self.peek()) {
            // Inside a class it is the backspace character.
            ('\\', Some('b')) => {
                self.at += 1;
                Ok(Escape::Char('\u{8}'))
            }
            ('\\', Some(digit @ '1'..='7')) => {
                self.at += 1;
                self.octal(digit)
            }
            ('\\', _) => self.common_escape(),
            (c, _) => Ok(Escape::Char(c)),
        }
    }

    fn all_cases(&self, ranges: &[(char, char)]) -> Result<Vec<(char, char)>, PatternError> {
        let listed = ranges.iter().map(|(low, high)| u32::from(*high) - u32::from(*low) + 1);
        if listed.fold(0_u32, u32::saturating_add) > MAX_CASED {
            return self.fail(format!("a class of more than {MAX_CASED} characters under `(?i)` is not supported"));
        }
        let mut cased = Vec::new();
        for c in ranges.iter().flat_map(|(low, high)| *low..=*high) {
            let cases = self.cases(c)?;
            if cases.len() > 1 && u32::from(c) > 0xFFFF {
                return self.fail(format!("`{c}` in a class under `(?i)` is not supported; list its cases"));
            }
            cased.extend(cases);
        }
        cased.sort_unstable();
        cased.dedup();
        Ok(joined(&cased))
    }
}

/// Sorted characters as ranges.
fn joined(chars: &[char]) -> Vec<(char, char)> {
    let mut ranges: Vec<(char, char)> = Vec::new();
    for c in chars {
        match ranges.last_mut() {
            Some((_, last)) if u32::from(*last) + 1 == u32::from(*c) => *last = *c,
            _ => ranges.push((*c, *c)),
        }
    }
    ranges
}
