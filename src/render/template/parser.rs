//! Jinja2's statements, read and written again in the engine's dialect.
//!
//! Every operator whose meaning differs between Python and the engine becomes a filter of ours (`__add`, `__lt`, …), every
//! filter and test gets a prefix (`f_`, `t_`), so nothing of the engine's own library is reachable.
//!
//! # Source
//! Jinja2 3.1 `parser.py`, no extensions.

use super::TemplateError;
use super::emit::Output;
use super::expression::Names;
use super::lexer::{Kind, Token};

/// How deep statements and expressions may be nested; the engine's parser and code generator recurse.
const MAX_DEPTH: usize = 40;
/// Operators, filters and attributes of one expression, and `elif` of one `if`: each is a level of recursion.
pub(super) const MAX_LINKS: usize = 250;

type Parsed<T> = Result<T, TemplateError>;

pub(super) struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    pub(super) links: usize,
    pub(super) output: Output,
    /// Macros defined so far.
    pub(super) macros: Vec<String>,
}

/// The engine's text for `tokens`.
///
/// # Errors
/// Whatever Jinja2 would refuse, and templates nested too deep.
pub(super) fn translate(tokens: Vec<Token>) -> Parsed<String> {
    let mut parser = Parser { tokens, at: 0, depth: 0, links: 0, output: Output::new(), macros: Vec::new() };
    parser.body("template", &[])?;
    Ok(parser.output.text)
}

impl Parser {
    pub(super) fn line(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |token| token.line)
    }

    pub(super) fn fail<T>(&self, reason: impl Into<String>) -> Parsed<T> {
        Err(TemplateError::syntax(self.line(), reason))
    }

    pub(super) fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    pub(super) fn peek_after(&self) -> Option<&Kind> {
        self.tokens.get(self.at + 1).map(|token| &token.kind)
    }

    pub(super) fn advance(&mut self) {
        self.at += 1;
    }

    pub(super) fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Some(Kind::Op(found)) if *found == op)
    }

    pub(super) fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Some(Kind::Name(found)) if found == name)
    }

    pub(super) fn skip_op(&mut self, op: &str) -> bool {
        let found = self.is_op(op);
        self.at += usize::from(found);
        found
    }

    pub(super) fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        self.at += usize::from(found);
        found
    }

    /// What the current token looks like to a person.
    pub(super) fn shown(&self) -> String {
        match self.peek() {
            None | Some(Kind::Data(_) | Kind::PrintBegin | Kind::BlockBegin) => "the end".to_owned(),
            Some(Kind::PrintEnd) => "\"}}\"".to_owned(),
            Some(Kind::BlockEnd) => "\"%}\"".to_owned(),
            Some(Kind::Name(name)) => format!("\"{name}\""),
            Some(Kind::Text(text)) => format!("the string \"{text}\""),
            Some(Kind::Int(number)) => number.to_string(),
            Some(Kind::Float(number)) => number.to_string(),
            Some(Kind::Op(op)) => format!("\"{op}\""),
        }
    }

    pub(super) fn expect_op(&mut self, op: &str) -> Parsed<()> {
        if self.skip_op(op) { Ok(()) } else { self.fail(format!("expected \"{op}\", found {}", self.shown())) }
    }

    fn expect_name(&mut self, name: &str) -> Parsed<()> {
        if self.skip_name(name) { Ok(()) } else { self.fail(format!("expected \"{name}\", found {}", self.shown())) }
    }

    /// A name, as the engine can read it.
    pub(super) fn identifier(&mut self) -> Parsed<String> {
        let Some(Kind::Name(name)) = self.peek() else {
            return self.fail(format!("expected a name, found {}", self.shown()));
        };
        let name = name.clone();
        if !name.is_ascii() || name.starts_with("__") {
            return self.fail(format!("the name \"{name}\" cannot be used: letters a to z, digits and \"_\" can"));
        }
        self.advance();
        Ok(name)
    }

    /// A name that a value can be given to.
    pub(super) fn target_name(&mut self) -> Parsed<String> {
        let name = self.identifier()?;
        if matches!(name.as_str(), "true" | "True" | "false" | "False" | "none" | "None" | "loop" | "self") {
            return self.fail(format!("\"{name}\" cannot be given a value"));
        }
        Ok(name)
    }

    pub(super) fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            return self.fail(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    pub(super) fn end_block(&mut self) -> Parsed<()> {
        if self.peek() != Some(&Kind::BlockEnd) {
            return self.fail(format!("expected \"%}}\", found {}", self.shown()));
        }
        self.advance();
        Ok(())
    }

    /// Everything up to one of the tags `ends`, whose name is returned and whose rest is still to be read.
    pub(super) fn body(&mut self, of: &str, ends: &[&'static str]) -> Parsed<&'static str> {
        let opened = self.line();
        while let Some(Token { kind, line }) = self.tokens.get(self.at).cloned() {
            self.advance();
            match kind {
                Kind::Data(data) => self.output.data(&data, line),
                Kind::PrintBegin => self.print(line)?,
                _ => {
                    if let Some(end) = ends.iter().find(|end| self.is_name(end)) {
                        self.advance();
                        return Ok(end);
                    }
                    self.nested(|parser| parser.statement(line))?;
                }
            }
        }
        if ends.is_empty() {
            return Ok("");
        }
        Err(TemplateError::syntax(opened, format!("\"{of}\" is not closed, \"{}\" is missing", ends[ends.len() - 1])))
    }

    fn print(&mut self, line: usize) -> Parsed<()> {
        let value = self.whole_tuple(true, &[])?;
        if self.peek() != Some(&Kind::PrintEnd) {
            return self.fail(format!("expected \"}}}}\", found {}", self.shown()));
        }
        self.advance();
        self.output.print(&value.text, line);
        Ok(())
    }

    fn statement(&mut self, line: usize) -> Parsed<()> {
        let Some(Kind::Name(name)) = self.peek().cloned() else {
            return self.fail(format!("expected the name of a tag, found {}", self.shown()));
        };
        self.advance();
        match name.as_str() {
            "for" => self.for_loop(line),
            "if" => self.condition(line),
            "set" => self.set(line),
            "with" => self.with(line),
            "macro" => self.macro_definition(line),
            "call" => self.call_block(line),
            "filter" => self.filter_block(line),
            "autoescape" => self.autoescape(line),
            "block" => self.block(line),
            "include" | "extends" | "import" | "from" => {
                self.at -= 1;
                self.fail(format!("\"{name}\" needs other templates, which a webhook does not have"))
            }
            _ => {
                self.at -= 1;
                self.fail(format!("unknown or misplaced tag \"{name}\""))
            }
        }
    }

    fn for_loop(&mut self, line: usize) -> Parsed<()> {
        let target = self.targets("in")?;
        self.expect_name("in")?;
        let over = self.whole_tuple(false, &["recursive"])?.filter("__iter", "").text;
        let mut statement = format!("for {target} in {over}");
        if self.skip_name("if") {
            statement += &format!(" if {}", self.whole_expression()?.tight());
        }
        if self.skip_name("recursive") {
            statement += " recursive";
        }
        self.end_block()?;
        self.output.block(&statement, line);
        if self.body("for", &["else", "endfor"])? == "else" {
            self.output.block("else", self.line());
            self.end_block()?;
            self.body("for", &["endfor"])?;
        }
        self.close("endfor")
    }

    fn condition(&mut self, line: usize) -> Parsed<()> {
        let mut keyword = "if";
        let mut line = line;
        for _ in 0..MAX_LINKS {
            let test = self.whole_tuple(false, &[])?;
            self.end_block()?;
            self.output.block(&format!("{keyword} {}", test.tight()), line);
            match self.body("if", &["elif", "else", "endif"])? {
                "elif" => (keyword, line) = ("elif", self.line()),
                "else" => {
                    self.output.block("else", self.line());
                    self.end_block()?;
                    self.body("if", &["endif"])?;
                    return self.close("endif");
                }
                _ => return self.close("endif"),
            }
        }
        self.fail(format!("more than {MAX_LINKS} \"elif\""))
    }

    /// The rest of a closing tag.
    pub(super) fn close(&mut self, end: &str) -> Parsed<()> {
        self.output.block(end, self.line());
        self.end_block()
    }

    /// Names, bracketed or not, that the items of a value are given to.
    fn targets(&mut self, end: &str) -> Parsed<String> {
        let mut targets = Vec::new();
        loop {
            if self.skip_op("(") {
                let inner = self.nested(|parser| parser.targets(end))?;
                self.expect_op(")")?;
                targets.push(format!("({inner})"));
            } else {
                targets.push(self.target_name()?);
            }
            let tuple = self.skip_op(",");
            if !tuple || self.is_name(end) || self.is_op(")") || self.is_op("=") {
                let single = tuple && targets.len() == 1;
                return Ok(if single { format!("({},)", targets[0]) } else { targets.join(", ") });
            }
        }
    }

    fn set(&mut self, line: usize) -> Parsed<()> {
        let dotted = matches!(self.peek_after(), Some(Kind::Op(".")));
        let target = if dotted {
            let name = self.identifier()?;
            self.expect_op(".")?;
            format!("{name}.{}", self.identifier()?)
        } else {
            self.targets("=")?
        };
        if self.skip_op("=") {
            let value = self.whole_tuple(true, &[])?;
            self.end_block()?;
            let value = if dotted { value.filter("__stored", "") } else { value };
            self.output.block(&format!("set {target} = {}", value.tight()), line);
            return Ok(());
        }
        let mut statement = format!("set {target}");
        if self.skip_op("|") {
            statement += &format!(" | {}", self.filter_chain()?);
        }
        self.end_block()?;
        self.output.block(&statement, line);
        self.body("set", &["endset"])?;
        self.close("endset")
    }

    /// Filters without a value before them.
    fn filter_chain(&mut self) -> Parsed<String> {
        self.links = 0;
        let mut chain = self.filter_call()?;
        while self.skip_op("|") {
            self.link()?;
            chain = format!("{chain}|{}", self.filter_call()?);
        }
        Ok(chain)
    }

    /// Values are computed before any of the names is known, so each passes through a name of our own.
    fn with(&mut self, line: usize) -> Parsed<()> {
        let mut values = Vec::new();
        let mut names = Vec::new();
        while self.peek() != Some(&Kind::BlockEnd) {
            if !names.is_empty() {
                self.expect_op(",")?;
            }
            let target = self.targets("=")?;
            self.expect_op("=")?;
            let value = self.whole_expression()?;
            let passed = format!("__with{}", names.len());
            values.push(format!("{passed} = {}", value.tight()));
            let target = if target.contains(',') && !target.starts_with('(') { format!("({target})") } else { target };
            names.push(format!("{target} = {passed}"));
        }
        self.end_block()?;
        values.extend(names);
        self.output.block(&format!("with {}", values.join(", ")), line);
        self.body("with", &["endwith"])?;
        self.close("endwith")
    }

    fn filter_block(&mut self, line: usize) -> Parsed<()> {
        let chain = self.filter_chain()?;
        self.end_block()?;
        self.output.block(&format!("filter {chain}"), line);
        self.body("filter", &["endfilter"])?;
        self.close("endfilter")
    }

    fn autoescape(&mut self, line: usize) -> Parsed<()> {
        let enabled = self.whole_expression()?.filter("__truth", "");
        self.end_block()?;
        self.output.block(&format!("autoescape {}", enabled.text), line);
        self.body("autoescape", &["endautoescape"])?;
        self.close("endautoescape")
    }

    fn block(&mut self, line: usize) -> Parsed<()> {
        let name = self.identifier()?;
        while self.skip_name("scoped") || self.skip_name("required") {}
        self.end_block()?;
        self.output.block(&format!("block {name}"), line);
        self.body("block", &["endblock"])?;
        self.skip_name(&name);
        self.close("endblock")
    }

    /// A name of the library that the engine will look up, or an error that says what it is not.
    pub(super) fn known(&self, names: Names, name: &str) -> Parsed<()> {
        if names.contains(name) { Ok(()) } else { self.fail(format!("there is no {} \"{name}\"", names.what())) }
    }
}
