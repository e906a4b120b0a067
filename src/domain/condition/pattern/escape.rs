//! What a backslash means, outside of a class and inside.

use super::PatternError;
use super::ast::{Anchor, Category, CharSet, Kind, Node};
use super::parse::Parser;

/// A backslash sequence that means the same in and outside of a class.
pub(super) enum Escape {
    Char(char),
    Category(Category),
}

impl Parser {
    /// Reads what follows a backslash outside of a class.
    pub(super) fn escape(&mut self) -> Result<Node, PatternError> {
        let anchor = match self.peek() {
            Some('A') => Anchor::TextStart,
            Some('Z') => Anchor::TextEnd,
            Some('b') => Anchor::Word { inside: false, ascii: self.flags.ascii },
            Some('B') => Anchor::Word { inside: true, ascii: self.flags.ascii },
            Some('z') => return self.fail(r"Python 3.12 has no `\z`; the end of the text is `\Z`"),
            Some('1'..='9') => return self.reference_or_octal(),
            _ => {
                return match self.common_escape()? {
                    Escape::Char(c) => self.literal(c),
                    Escape::Category(category) => {
                        Ok(Node::Set(CharSet { categories: vec![category], ..CharSet::default() }))
                    }
                };
            }
        };
        self.at += 1;
        Ok(Node::Anchor(anchor))
    }

    /// Reads what follows a backslash anywhere.
    pub(super) fn common_escape(&mut self) -> Result<Escape, PatternError> {
        let Some(c) = self.peek() else { return self.fail("a backslash at the end") };
        self.at += 1;
        let category = |kind, negated| Ok(Escape::Category(Category { kind, negated, ascii: self.flags.ascii }));
        match c {
            'd' => category(Kind::Digit, false),
            'D' => category(Kind::Digit, true),
            'w' => category(Kind::Word, false),
            'W' => category(Kind::Word, true),
            's' => category(Kind::Space, false),
            'S' => category(Kind::Space, true),
            'a' => Ok(Escape::Char('\u{7}')),
            'f' => Ok(Escape::Char('\u{c}')),
            'n' => Ok(Escape::Char('\n')),
            'r' => Ok(Escape::Char('\r')),
            't' => Ok(Escape::Char('\t')),
            'v' => Ok(Escape::Char('\u{b}')),
            'x' => self.hex(2),
            'u' => self.hex(4),
            'U' => self.hex(8),
            '0' => self.octal('0'),
            'N' => {
                self.fail(r"`\N{...}` is not supported; write the character, or `\u` and its four hexadecimal digits")
            }
            c if c.is_ascii_alphanumeric() => self.fail(format!(r"`\{c}` has no meaning in Python's patterns")),
            c => Ok(Escape::Char(c)),
        }
    }

    fn hex(&mut self, digits: usize) -> Result<Escape, PatternError> {
        let mut code = 0_u32;
        for _ in 0..digits {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) else {
                return self.fail(format!("{digits} hexadecimal digits are needed here"));
            };
            // Eight digits at most: fits.
            code = code << 4 | digit;
            self.at += 1;
        }
        match char::from_u32(code) {
            Some(c) => Ok(Escape::Char(c)),
            None => self.fail("no character has this code (surrogates never occur in the data)"),
        }
    }

    /// Up to two more octal digits behind `first`.
    pub(super) fn octal(&mut self, first: char) -> Result<Escape, PatternError> {
        let mut code = first.to_digit(8).unwrap_or(0);
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else { break };
            code = code << 3 | digit;
            self.at += 1;
        }
        match u8::try_from(code) {
            Ok(code) => Ok(Escape::Char(char::from(code))),
            Err(_) => self.fail(r"an octal escape goes up to `\377`"),
        }
    }

    /// `\1` to `\99` refer to a group; three octal digits are a character.
    fn reference_or_octal(&mut self) -> Result<Node, PatternError> {
        let next = |offset| self.text.get(self.at + offset).copied();
        let octal = |digit: Option<char>| digit.is_some_and(|digit| digit.is_digit(8));
        let (first, second) = (next(0), next(1));
        if let Some(first) = first
            && octal(Some(first))
            && octal(second)
            && octal(next(2))
        {
            self.at += 1;
            return match self.octal(first)? {
                Escape::Char(c) => self.literal(c),
                Escape::Category(_) => self.fail("not an octal escape"),
            };
        }
        let mut number = 0;
        for digit in [first, second] {
            let Some(digit) = digit.and_then(|digit| digit.to_digit(10)) else { break };
            number = number * 10 + digit as usize;
            self.at += 1;
        }
        self.reference(number)
    }

    /// A reference to the group `number`, counted from 1.
    pub(super) fn reference(&self, number: usize) -> Result<Node, PatternError> {
        match number.checked_sub(1).and_then(|index| self.groups.get(index)) {
            None => self.fail(format!("there is no group {number} before this place")),
            Some(group) if !group.closed => self.fail(format!("group {number} is referred to from inside itself")),
            Some(_) if self.flags.ignore_case => self.fail("a reference to a group under `(?i)` is not supported"),
            Some(_) if self.lookbehinds > 0 => self.fail("a reference to a group in a look-behind is not supported"),
            Some(_) => Ok(Node::Reference(number)),
        }
    }
}
