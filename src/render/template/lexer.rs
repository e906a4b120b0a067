//! The tokens of a Jinja2 template, whitespace control applied.
//!
//! # Source
//! Jinja2 3.1 `lexer.py`, default delimiters, `keep_trailing_newline` off.

use super::TemplateError;
use super::literal;

/// One token and the line it starts on, from 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub kind: Kind,
    pub line: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Text outside of tags.
    Data(String),
    /// `{{` and `}}`.
    PrintBegin,
    PrintEnd,
    /// `{%` and `%}`.
    BlockBegin,
    BlockEnd,
    Name(String),
    Text(String),
    Int(i128),
    Float(f64),
    Op(&'static str),
}

/// Longest first, so that `**` is not read as two `*`.
const OPERATORS: [&str; 27] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".",
    ":", "|", ",", ";", "!",
];

/// Reads a whole template. Line ends become `\n`; one at the very end is dropped.
///
/// # Errors
/// Unclosed tags, comments and strings, unbalanced brackets, characters Jinja2 does not know.
pub(super) fn tokens(source: &str) -> Result<Vec<Token>, TemplateError> {
    let mut text = source.replace("\r\n", "\n").replace('\r', "\n");
    if text.ends_with('\n') {
        text.pop();
    }
    let mut lexer = Lexer { rest: &text, line: 1, tokens: Vec::new() };
    while !lexer.rest.is_empty() {
        lexer.data()?;
    }
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    /// Text up to the next tag, and that tag.
    fn data(&mut self) -> Result<(), TemplateError> {
        let Some(start) = next_tag(self.rest) else {
            self.push_data(self.rest.len(), false);
            return Ok(());
        };
        let tag = &self.rest[start..];
        let marker = tag.as_bytes().get(2).copied();
        self.push_data(start, marker == Some(b'-'));
        let line = self.line;
        let kind = tag.as_bytes()[1];
        if kind == b'#' {
            return self.comment(line);
        }
        self.skip(if matches!(marker, Some(b'-' | b'+')) { 3 } else { 2 });
        if kind == b'%' && self.is_raw() {
            return self.raw(line);
        }
        let (begin, end, close) = match kind {
            b'{' => (Kind::PrintBegin, Kind::PrintEnd, "}}"),
            _ => (Kind::BlockBegin, Kind::BlockEnd, "%}"),
        };
        self.tokens.push(Token { kind: begin, line });
        self.tag(close, line)?;
        self.tokens.push(Token { kind: end, line: self.line });
        Ok(())
    }

    /// Takes `length` bytes as data; the tag after it may ask for its trailing whitespace to go.
    fn push_data(&mut self, length: usize, strip: bool) {
        let data = &self.rest[..length];
        let kept = if strip { data.trim_end_matches(literal::is_space) } else { data };
        if !kept.is_empty() {
            self.tokens.push(Token { kind: Kind::Data(kept.to_owned()), line: self.line });
        }
        self.skip(length);
    }

    fn skip(&mut self, bytes: usize) {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.line += skipped.matches('\n').count();
        self.rest = rest;
    }

    fn skip_space(&mut self) {
        self.skip(self.rest.len() - self.rest.trim_start_matches(literal::is_space).len());
    }

    fn comment(&mut self, line: usize) -> Result<(), TemplateError> {
        if self.rest.len() == 2 {
            // With nothing after it, Jinja2 does not miss the end.
            self.skip(2);
            return Ok(());
        }
        let Some(end) = self.rest[2..].find("#}") else {
            return Err(TemplateError::syntax(line, "the comment is not closed, \"#}\" is missing"));
        };
        let strip = end > 0 && self.rest.as_bytes()[end + 1] == b'-';
        self.skip(end + 4);
        if strip {
            self.skip_space();
        }
        Ok(())
    }

    fn is_raw(&self) -> bool {
        let rest = self.rest.trim_start_matches(literal::is_space);
        let Some(rest) = rest.strip_prefix("raw") else { return false };
        let rest = rest.trim_start_matches(literal::is_space);
        rest.starts_with("%}") || rest.starts_with("-%}")
    }

    /// `{% raw %}` to `{% endraw %}`; what stands between is data whatever it looks like.
    fn raw(&mut self, line: usize) -> Result<(), TemplateError> {
        self.close_raw();
        if self.rest.is_empty() {
            // As with comments.
            return Ok(());
        }
        let mut from = 0;
        while let Some(found) = self.rest[from..].find("{%") {
            let start = from + found;
            let marker = self.rest.as_bytes().get(start + 2).copied();
            let inside = start + if matches!(marker, Some(b'-' | b'+')) { 3 } else { 2 };
            let rest = self.rest[inside..].trim_start_matches(literal::is_space);
            let closes = rest.strip_prefix("endraw").map(|rest| rest.trim_start_matches(literal::is_space));
            if closes.is_some_and(|rest| ["%}", "-%}", "+%}"].iter().any(|end| rest.starts_with(end))) {
                self.push_data(start, marker == Some(b'-'));
                self.close_raw();
                return Ok(());
            }
            from = start + 2;
        }
        Err(TemplateError::syntax(line, "\"{% raw %}\" is not closed, \"{% endraw %}\" is missing"))
    }

    /// Skips the rest of a `raw` or `endraw` tag.
    fn close_raw(&mut self) {
        let end = self.rest.find("%}").unwrap_or_default();
        let strip = self.rest[..end].ends_with('-');
        self.skip(end + 2);
        if strip {
            self.skip_space();
        }
    }

    /// The tokens of a tag up to `close`, which is only looked for outside of brackets.
    fn tag(&mut self, close: &str, line: usize) -> Result<(), TemplateError> {
        let mut brackets: Vec<&'static str> = Vec::new();
        loop {
            self.skip_space();
            if brackets.is_empty() {
                if self.rest.starts_with(close) {
                    self.skip(close.len());
                    return Ok(());
                }
                let marked = self.rest.strip_prefix(['-', '+']).is_some_and(|rest| rest.starts_with(close));
                if marked && (self.rest.starts_with('-') || close == "%}") {
                    let strip = self.rest.starts_with('-');
                    self.skip(1 + close.len());
                    if strip {
                        self.skip_space();
                    }
                    return Ok(());
                }
            }
            if self.rest.is_empty() {
                return Err(TemplateError::syntax(line, format!("the tag is not closed, \"{close}\" is missing")));
            }
            self.token(&mut brackets)?;
        }
    }

    fn token(&mut self, brackets: &mut Vec<&'static str>) -> Result<(), TemplateError> {
        let line = self.line;
        let after_dot = matches!(self.tokens.last(), Some(Token { kind: Kind::Op("."), .. }));
        let scanned = match self.rest.chars().next() {
            Some('"' | '\'') => literal::text(self.rest),
            Some(c) if c.is_ascii_digit() => literal::number(self.rest, after_dot),
            Some(c) if c == '_' || c.is_alphanumeric() => Ok(literal::name(self.rest)),
            _ => self.operator(brackets),
        };
        let (kind, length) = scanned.map_err(|reason| TemplateError::syntax(line, reason))?;
        self.tokens.push(Token { kind, line });
        self.skip(length);
        Ok(())
    }

    fn operator(&self, brackets: &mut Vec<&'static str>) -> Result<(Kind, usize), String> {
        let Some(op) = OPERATORS.into_iter().find(|op| self.rest.starts_with(op) && *op != "!") else {
            let unexpected = self.rest.chars().next().unwrap_or_default();
            return Err(format!("unexpected character \"{unexpected}\""));
        };
        match op {
            "(" => brackets.push(")"),
            "[" => brackets.push("]"),
            "{" => brackets.push("}"),
            ")" | "]" | "}" if brackets.pop() != Some(op) => return Err(format!("unexpected \"{op}\"")),
            _ => {}
        }
        Ok((Kind::Op(op), op.len()))
    }
}

/// Where the next `{{`, `{%` or `{#` starts.
pub(super) fn next_tag(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..bytes.len().saturating_sub(1)).find(|&i| bytes[i] == b'{' && matches!(bytes[i + 1], b'{' | b'%' | b'#'))
}
