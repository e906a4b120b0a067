//! Jinja2's expressions but for what follows a value, read and written again in the engine's dialect.

use super::TemplateError;
use super::emit::{Expr, Form, quoted};
use super::lexer::Kind;
use super::parser::{MAX_LINKS, Parser};
use super::{checks, filters};

type Parsed<T> = Result<T, TemplateError>;

/// The filters or the tests.
#[derive(Clone, Copy, Debug)]
pub(super) enum Names {
    Filters,
    Tests,
}

impl Names {
    pub fn contains(self, name: &str) -> bool {
        match self {
            Self::Filters => filters::is_known(name),
            Self::Tests => checks::is_known(name),
        }
    }

    pub fn what(self) -> &'static str {
        match self {
            Self::Filters => "filter",
            Self::Tests => "test",
        }
    }
}

/// A comparison's operator and the filter that stands for it.
const COMPARISONS: [(&str, &str); 6] =
    [("==", "eq"), ("!=", "ne"), ("<", "lt"), ("<=", "le"), (">", "gt"), (">=", "ge")];

impl Parser {
    /// One more level in what the engine's code generator recurses over.
    pub(super) fn link(&mut self) -> Parsed<()> {
        self.links += 1;
        if self.links > MAX_LINKS {
            self.fail(format!("more than {MAX_LINKS} parts in one expression"))
        } else {
            Ok(())
        }
    }

    pub(super) fn whole_expression(&mut self) -> Parsed<Expr> {
        self.links = 0;
        self.expression(true)
    }

    pub(super) fn whole_tuple(&mut self, conditional: bool, ends: &[&str]) -> Parsed<Expr> {
        self.links = 0;
        self.tuple(conditional, ends, false)
    }

    /// One expression, or several with commas: a tuple.
    fn tuple(&mut self, conditional: bool, ends: &[&str], parentheses: bool) -> Parsed<Expr> {
        let mut items = Vec::new();
        let mut is_tuple = false;
        loop {
            let ended = matches!(self.peek(), None | Some(Kind::PrintEnd | Kind::BlockEnd)) || self.is_op(")");
            if ended || ends.iter().any(|end| self.is_name(end)) {
                break;
            }
            items.push(self.expression(conditional)?);
            if !self.skip_op(",") {
                break;
            }
            is_tuple = true;
        }
        if items.is_empty() && !parentheses {
            return self.fail(format!("expected an expression, found {}", self.shown()));
        }
        if is_tuple || items.is_empty() {
            return Ok(Expr::primary(listed(items)).filter("__tuple", ""));
        }
        items.pop().map_or_else(|| self.fail("expected an expression"), Ok)
    }

    pub(super) fn expression(&mut self, conditional: bool) -> Parsed<Expr> {
        self.nested(|parser| if conditional { parser.conditional() } else { parser.or() })
    }

    fn conditional(&mut self) -> Parsed<Expr> {
        let mut value = self.or()?;
        while self.skip_name("if") {
            self.link()?;
            let test = self.or()?.tight();
            let text = if self.skip_name("else") {
                let other = self.nested(Self::conditional)?.tight();
                format!("{} if {test} else {other}", value.tight())
            } else {
                format!("{} if {test}", value.tight())
            };
            value = Expr::loose(text);
        }
        Ok(value)
    }

    fn or(&mut self) -> Parsed<Expr> {
        let mut value = self.and()?;
        while self.skip_name("or") {
            self.link()?;
            let right = self.and()?.tight();
            let text = format!("{} or {right}", chained(value, Form::Or));
            value = Expr { text, form: Form::Or };
        }
        Ok(value)
    }

    fn and(&mut self) -> Parsed<Expr> {
        let mut value = self.not()?;
        while self.skip_name("and") {
            self.link()?;
            let right = self.not()?.tight();
            let text = format!("{} and {right}", chained(value, Form::And));
            value = Expr { text, form: Form::And };
        }
        Ok(value)
    }

    fn not(&mut self) -> Parsed<Expr> {
        if !self.skip_name("not") {
            return self.comparison();
        }
        let value = self.nested(Self::not)?;
        Ok(Expr::loose(format!("not {}", value.tight())))
    }

    fn comparison(&mut self) -> Parsed<Expr> {
        let value = self.sum()?;
        let mut compared = Vec::new();
        while let Some(name) = self.comparison_operator() {
            self.link()?;
            compared.push((name, self.sum()?));
        }
        if compared.len() > 1 {
            let arguments: Vec<String> =
                compared.into_iter().map(|(name, right)| format!("\"{name}\", {}", right.tight())).collect();
            return Ok(value.filter("__chain", &arguments.join(", ")));
        }
        Ok(match compared.pop() {
            Some((name, right)) => value.filter(&format!("__{name}"), &right.tight()),
            None => value,
        })
    }

    fn comparison_operator(&mut self) -> Option<&'static str> {
        let found = match self.peek()? {
            Kind::Op(op) => COMPARISONS.iter().find(|(symbol, _)| symbol == op)?.1,
            Kind::Name(name) if name == "in" => "in",
            Kind::Name(name)
                if name == "not" && matches!(self.peek_after(), Some(Kind::Name(after)) if after == "in") =>
            {
                self.advance();
                "notin"
            }
            _ => return None,
        };
        self.advance();
        Some(found)
    }

    /// Operands of equal rank from left to right, each operator as the filter that stands for it.
    fn chain(&mut self, operators: &[(&str, &str)], operand: fn(&mut Self) -> Parsed<Expr>) -> Parsed<Expr> {
        let mut value = operand(self)?;
        while let Some((_, name)) = operators.iter().find(|(symbol, _)| self.is_op(symbol)) {
            self.advance();
            self.link()?;
            let right = operand(self)?;
            value = value.filter(name, &right.tight());
        }
        Ok(value)
    }

    fn sum(&mut self) -> Parsed<Expr> {
        self.chain(&[("+", "__add"), ("-", "__sub")], Self::concatenation)
    }

    fn concatenation(&mut self) -> Parsed<Expr> {
        self.chain(&[("~", "__concat")], Self::product)
    }

    fn product(&mut self) -> Parsed<Expr> {
        self.chain(&[("*", "__mul"), ("//", "__floordiv"), ("/", "__div"), ("%", "__mod")], Self::power)
    }

    fn power(&mut self) -> Parsed<Expr> {
        self.chain(&[("**", "__pow")], Self::unary)
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let value = self.signed()?;
        self.filtered(value)
    }

    fn signed(&mut self) -> Parsed<Expr> {
        for (sign, name) in [("-", "__neg"), ("+", "__pos")] {
            if self.skip_op(sign) {
                return Ok(self.nested(Self::signed)?.filter(name, ""));
            }
        }
        let value = self.primary()?;
        self.postfix(value)
    }

    pub(super) fn primary(&mut self) -> Parsed<Expr> {
        let Some(kind) = self.peek().cloned() else { return self.fail("unexpected end of the template") };
        match kind {
            Kind::Name(name) => match name.as_str() {
                "true" | "True" => self.constant("true"),
                "false" | "False" => self.constant("false"),
                "none" | "None" => self.constant("none"),
                _ => Ok(Expr::primary(self.identifier()?)),
            },
            Kind::Text(_) => Ok(Expr::primary(quoted(&self.texts()))),
            Kind::Int(number) => self.constant(&number.to_string()),
            Kind::Float(number) => self.constant(&format!("{number:?}")),
            Kind::Op("(") => {
                self.advance();
                let inner = self.tuple(true, &[], true)?;
                self.expect_op(")")?;
                Ok(if inner.form == Form::Call { Expr { form: Form::Primary, ..inner } } else { inner })
            }
            Kind::Op("[") => {
                self.advance();
                let items = self.items("]")?;
                Ok(Expr::primary(listed(items)).filter("__list", ""))
            }
            Kind::Op("{") => self.dictionary(),
            _ => self.fail(format!("unexpected {}", self.shown())),
        }
    }

    fn constant(&mut self, text: &str) -> Parsed<Expr> {
        self.advance();
        Ok(Expr::primary(text))
    }

    /// Strings that follow each other are one.
    fn texts(&mut self) -> String {
        let mut joined = String::new();
        while let Some(Kind::Text(text)) = self.peek() {
            joined.push_str(text);
            self.advance();
        }
        joined
    }

    pub(super) fn items(&mut self, close: &str) -> Parsed<Vec<Expr>> {
        let mut items = Vec::new();
        while !self.skip_op(close) {
            if !items.is_empty() {
                self.expect_op(",")?;
                if self.skip_op(close) {
                    break;
                }
            }
            items.push(self.expression(true)?);
        }
        Ok(items)
    }

    fn dictionary(&mut self) -> Parsed<Expr> {
        self.advance();
        let mut pairs = Vec::new();
        while !self.skip_op("}") {
            if !pairs.is_empty() {
                self.expect_op(",")?;
                if self.skip_op("}") {
                    break;
                }
            }
            pairs.push(self.expression(true)?);
            self.expect_op(":")?;
            pairs.push(self.expression(true)?);
        }
        Ok(Expr::primary(listed(pairs)).filter("__dict", ""))
    }
}

fn listed(items: Vec<Expr>) -> String {
    let items: Vec<String> = items.into_iter().map(Expr::tight).collect();
    format!("[{}]", items.join(", "))
}

/// The left side of `and` or `or`: without parentheses if it is made of the same operator.
fn chained(value: Expr, operator: Form) -> String {
    if value.form == operator { value.text } else { value.tight() }
}
