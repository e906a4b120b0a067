//! What follows a value: attributes, items, calls, filters and tests.

use super::TemplateError;
use super::emit::{Expr, Form, quoted};
use super::expression::Names;
use super::lexer::Kind;
use super::parser::Parser;

type Parsed<T> = Result<T, TemplateError>;

impl Parser {
    pub(super) fn postfix(&mut self, mut value: Expr) -> Parsed<Expr> {
        loop {
            value = if self.skip_op(".") {
                self.attribute(value)?
            } else if self.skip_op("[") {
                self.subscript(value)?
            } else if self.is_op("(") {
                self.call(value)?
            } else {
                return Ok(value);
            };
            self.link()?;
        }
    }

    fn call(&mut self, value: Expr) -> Parsed<Expr> {
        let arguments = if self.is_macro(&value.text) { self.call_arguments("__given")? } else { self.arguments()? };
        Ok(Expr { text: format!("{}({arguments})", value.tight()), form: Form::Call })
    }

    fn attribute(&mut self, value: Expr) -> Parsed<Expr> {
        match self.peek().cloned() {
            Some(Kind::Name(name)) => {
                self.advance();
                let value = value.tight();
                let plain = name.is_ascii();
                let text = if plain { format!("{value}.{name}") } else { format!("{value}[{}]", quoted(&name)) };
                Ok(Expr::primary(text))
            }
            Some(Kind::Int(index)) => {
                self.advance();
                Ok(Expr::primary(format!("{}[{index}]", value.tight())))
            }
            _ => self.fail(format!("expected a name or a number after \".\", found {}", self.shown())),
        }
    }

    fn subscript(&mut self, value: Expr) -> Parsed<Expr> {
        let literal = match (self.peek(), self.peek_after()) {
            (Some(Kind::Text(text)), Some(Kind::Op("]"))) => Some(quoted(text)),
            (Some(Kind::Int(index)), Some(Kind::Op("]"))) => Some(index.to_string()),
            _ => None,
        };
        if let Some(literal) = literal {
            self.advance();
            self.advance();
            return Ok(Expr::primary(format!("{}[{literal}]", value.tight())));
        }
        let mut parts = vec![self.subscript_part(&[":", "]", ","])?];
        while parts.len() < 3 && self.skip_op(":") {
            parts.push(self.subscript_part(&[":", "]"])?);
        }
        if parts.len() > 1 {
            self.expect_op("]")?;
            return Ok(value.filter("__slice", &parts.join(", ")));
        }
        let first = parts.remove(0);
        if first == "none" && !self.is_op("]") {
            return self.fail(format!("expected an expression, found {}", self.shown()));
        }
        let key = if self.skip_op(",") {
            let rest: Vec<String> = self.items("]")?.into_iter().map(Expr::tight).collect();
            format!("[{first}, {}]|__tuple", rest.join(", "))
        } else {
            self.expect_op("]")?;
            first
        };
        Ok(value.filter("__item", &key))
    }

    fn subscript_part(&mut self, ends: &[&str]) -> Parsed<String> {
        if ends.iter().any(|end| self.is_op(end)) { Ok("none".to_owned()) } else { Ok(self.expression(true)?.tight()) }
    }

    /// The arguments of a call, with their parentheses read but not written.
    fn arguments(&mut self) -> Parsed<String> {
        self.call_arguments("")
    }

    /// The same, each argument passed through a filter of ours.
    fn call_arguments(&mut self, through: &str) -> Parsed<String> {
        let passed = |value: Expr| if through.is_empty() { value.tight() } else { value.filter(through, "").tight() };
        self.expect_op("(")?;
        let mut arguments = Vec::new();
        let mut named = false;
        while !self.skip_op(")") {
            if !arguments.is_empty() {
                self.expect_op(",")?;
                if self.skip_op(")") {
                    break;
                }
            }
            let is_named = matches!((self.peek(), self.peek_after()), (Some(Kind::Name(_)), Some(Kind::Op("="))));
            if self.skip_op("**") {
                named = true;
                arguments.push(format!("**{}", self.expression(true)?.filter("__splat", "").text));
            } else if self.skip_op("*") {
                arguments.push(format!("*{}", self.expression(true)?.tight()));
            } else if is_named {
                named = true;
                let name = self.identifier()?;
                self.advance();
                arguments.push(format!("{name}={}", passed(self.expression(true)?)));
            } else if named {
                return self.fail("an argument without a name follows one with a name");
            } else {
                arguments.push(passed(self.expression(true)?));
            }
        }
        Ok(arguments.join(", "))
    }

    pub(super) fn filtered(&mut self, mut value: Expr) -> Parsed<Expr> {
        loop {
            value = if self.skip_op("|") {
                let call = self.filter_call()?;
                Expr { text: format!("{}|{call}", value.operand()), form: Form::Filtered }
            } else if self.skip_name("is") {
                self.test(value)?
            } else if self.is_op("(") {
                self.call(value)?
            } else {
                return Ok(value);
            };
            self.link()?;
        }
    }

    /// A filter's name and arguments, as the engine reads them.
    pub(super) fn filter_call(&mut self) -> Parsed<String> {
        let name = self.dotted_name()?;
        self.known(Names::Filters, &name)?;
        let arguments = if self.is_op("(") { self.arguments()? } else { String::new() };
        Ok(format!("f_{name}({arguments})"))
    }

    fn dotted_name(&mut self) -> Parsed<String> {
        let mut name = self.identifier()?;
        while self.skip_op(".") {
            name = format!("{name}.{}", self.identifier()?);
        }
        Ok(name)
    }

    fn test(&mut self, value: Expr) -> Parsed<Expr> {
        let negated = self.skip_name("not");
        let name = self.dotted_name()?;
        self.known(Names::Tests, &name)?;
        let arguments = if self.is_op("(") {
            self.arguments()?
        } else if self.is_name("is") {
            return self.fail("tests cannot be chained with \"is\"");
        } else if self.begins_argument() {
            let argument = self.primary()?;
            self.postfix(argument)?.tight()
        } else {
            String::new()
        };
        let test = format!("{} is t_{name}({arguments})", value.operand());
        Ok(Expr::loose(if negated { format!("not ({test})") } else { test }))
    }

    fn begins_argument(&self) -> bool {
        match self.peek() {
            Some(Kind::Name(name)) => !matches!(name.as_str(), "else" | "or" | "and"),
            Some(Kind::Text(_) | Kind::Int(_) | Kind::Float(_) | Kind::Op("[" | "{")) => true,
            _ => false,
        }
    }
}
