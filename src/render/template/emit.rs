//! Text of the engine's dialect, written so that every line keeps its number.

use std::fmt::Write;

/// An expression in the engine's dialect and what may follow it.
#[derive(Debug)]
pub(super) struct Expr {
    pub text: String,
    pub form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A name, literal, attribute or bracket: anything may follow.
    Primary,
    /// A call; anything may follow.
    Call,
    /// Ends in a filter: only another filter may follow.
    Filtered,
    /// Operands joined by `and` or by `or`.
    And,
    Or,
    /// Anything else: needs parentheses before something may follow.
    Loose,
}

impl Expr {
    pub fn primary(text: impl Into<String>) -> Self {
        Self { text: text.into(), form: Form::Primary }
    }

    pub fn loose(text: String) -> Self {
        Self { text, form: Form::Loose }
    }

    /// The expression as something that attributes, items and calls may follow.
    pub fn tight(self) -> String {
        match self.form {
            Form::Primary | Form::Call => self.text,
            Form::Filtered | Form::And | Form::Or | Form::Loose => format!("({})", self.text),
        }
    }

    /// The expression as something that filters and tests may follow.
    pub fn operand(self) -> String {
        if matches!(self.form, Form::Primary | Form::Call | Form::Filtered) {
            self.text
        } else {
            format!("({})", self.text)
        }
    }

    /// The expression with an engine filter applied; `arguments` is text between parentheses.
    pub fn filter(self, name: &str, arguments: &str) -> Self {
        let operand = self.operand();
        let text =
            if arguments.is_empty() { format!("{operand}|{name}") } else { format!("{operand}|{name}({arguments})") };
        Self { text, form: Form::Filtered }
    }
}

/// A string literal on one line.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Template text under construction.
#[derive(Debug)]
pub(super) struct Output {
    pub text: String,
    lines: usize,
}

impl Output {
    pub fn new() -> Self {
        Self { text: String::new(), lines: 1 }
    }

    /// Text outside of tags. What would read as a tag, alone or with what follows, is written as a literal.
    pub fn data(&mut self, data: &str, line: usize) {
        let like_a_tag = ["{{", "{%", "{#"].iter().any(|tag| data.contains(tag)) || data.ends_with('{');
        if like_a_tag {
            self.tag("{{", &format!("{}|f_safe", quoted(data)), "}}", line);
        } else {
            self.text.push_str(data);
            self.lines += data.matches('\n').count();
        }
    }

    pub fn print(&mut self, expression: &str, line: usize) {
        self.tag("{{", expression, "}}", line);
    }

    pub fn block(&mut self, statement: &str, line: usize) {
        self.tag("{%", statement, "%}", line);
    }

    /// A tag; line ends that tags and whitespace control took away are put back into it.
    fn tag(&mut self, open: &str, inside: &str, close: &str, line: usize) {
        let missing = line.saturating_sub(self.lines);
        self.text.push_str(open);
        self.text.extend(std::iter::repeat_n('\n', missing));
        self.lines += missing;
        let _ = write!(self.text, " {inside} {close}");
    }
}
