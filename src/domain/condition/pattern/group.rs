//! Everything that begins with `(`: groups, look-arounds, flags.

use super::PatternError;
use super::ast::Node;
use super::parse::{Flags, Group, Parser};

impl Parser {
    /// Reads `(?i)` and the like, which Python takes only at the very start, for the whole pattern.
    pub(super) fn leading_flags(&mut self) -> Result<(), PatternError> {
        loop {
            if self.skip_comment()? {
                continue;
            }
            let start = self.at;
            let is_flags = self.eat_text("(?") && self.peek().is_some_and(|c| c.is_ascii_alphabetic() && c != 'P');
            if !is_flags {
                self.at = start;
                return Ok(());
            }
            let mut flags = self.flags;
            self.letters(&mut flags, true)?;
            if !self.eat(')') {
                // Flags of a group; `group` reads them again.
                self.at = start;
                return Ok(());
            }
            self.flags = flags;
        }
    }

    /// Reads a group behind its `(`.
    pub(super) fn group(&mut self) -> Result<Node, PatternError> {
        if !self.eat('?') {
            return self.capture(None);
        }
        let Some(c) = self.peek() else { return self.fail("a group without its `)`") };
        self.at += 1;
        match c {
            ':' => self.plain(self.flags),
            '=' => self.look(false, false),
            '!' => self.look(false, true),
            '<' if self.eat('=') => self.look(true, false),
            '<' if self.eat('!') => self.look(true, true),
            '<' => self.fail("Python writes a named group `(?P<name>...)`"),
            '>' => Ok(Node::Atomic(Box::new(self.inside(self.flags)?))),
            'P' => self.named(),
            '(' => self.fail("a conditional, `(?(1)...)`, is not supported"),
            _ => {
                self.at -= 1;
                self.scoped()
            }
        }
    }

    fn capture(&mut self, name: Option<String>) -> Result<Node, PatternError> {
        self.groups.push(Group { name, closed: false });
        let number = self.groups.len();
        let body = Box::new(self.inside(self.flags)?);
        if let Some(group) = self.groups.get_mut(number - 1) {
            group.closed = true;
        }
        Ok(Node::Group { number: Some(number), body })
    }

    fn plain(&mut self, flags: Flags) -> Result<Node, PatternError> {
        Ok(Node::Group { number: None, body: Box::new(self.inside(flags)?) })
    }

    fn look(&mut self, behind: bool, negative: bool) -> Result<Node, PatternError> {
        self.lookbehinds += usize::from(behind);
        let body = Box::new(self.inside(self.flags)?);
        self.lookbehinds -= usize::from(behind);
        let (least, most) = body.width();
        if behind && most != Some(least) {
            return self.fail("a look-behind must have a fixed width, and `{0}` in it is not supported");
        }
        Ok(Node::Look { behind, negative, body })
    }

    /// `(?P<name>...)` and `(?P=name)`.
    fn named(&mut self) -> Result<Node, PatternError> {
        if self.eat('<') {
            let name = self.name('>')?;
            if self.groups.iter().any(|group| group.name.as_ref() == Some(&name)) {
                return self.fail(format!("two groups are named `{name}`"));
            }
            return self.capture(Some(name));
        }
        if self.eat('=') {
            let name = self.name(')')?;
            return match self.groups.iter().position(|group| group.name.as_ref() == Some(&name)) {
                Some(index) => self.reference(index + 1),
                None => self.fail(format!("there is no group `{name}` before this place")),
            };
        }
        self.fail("`(?P` begins `(?P<name>...)` or `(?P=name)`")
    }

    fn name(&mut self, end: char) -> Result<String, PatternError> {
        let mut name = String::new();
        while let Some(c) = self.peek().filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
            self.at += 1;
        }
        if !self.eat(end) || name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return self.fail("a group's name consists of ASCII letters, digits and `_`, and begins with no digit");
        }
        Ok(name)
    }

    /// `(?i:...)`, `(?s-i:...)`.
    fn scoped(&mut self) -> Result<Node, PatternError> {
        let mut flags = self.flags;
        self.letters(&mut flags, true)?;
        if self.eat('-') {
            let start = self.at;
            self.letters(&mut flags, false)?;
            if self.at == start {
                return self.fail("a flag is missing behind `-`");
            }
        }
        if self.eat(':') {
            return self.plain(flags);
        }
        if self.eat(')') {
            return self.fail("flags for the whole pattern stand at its very start; for a part write `(?i:...)`");
        }
        self.fail("this group is not supported")
    }

    /// Reads flag letters and sets or clears them.
    fn letters(&mut self, flags: &mut Flags, on: bool) -> Result<(), PatternError> {
        let start = self.at;
        while let Some(c) = self.peek().filter(char::is_ascii_alphabetic) {
            match c {
                'i' => flags.ignore_case = on,
                'm' => flags.multi_line = on,
                's' => flags.dot_all = on,
                'x' => flags.verbose = on,
                'a' if on => flags.ascii = true,
                'u' if on => flags.ascii = false,
                _ => return self.fail(format!("`{c}` is not supported as a flag here; allowed are a, i, m, s, u, x")),
            }
            self.at += 1;
        }
        let read = self.text.get(start..self.at).unwrap_or_default();
        if read.contains(&'a') && read.contains(&'u') {
            return self.fail("the flags a and u exclude each other");
        }
        Ok(())
    }

    /// The alternatives of a group and its `)`, under `flags`.
    fn inside(&mut self, flags: Flags) -> Result<Node, PatternError> {
        let outside = std::mem::replace(&mut self.flags, flags);
        let body = self.choice()?;
        self.flags = outside;
        if !self.eat(')') {
            return self.fail("a group without its `)`");
        }
        Ok(body)
    }
}
