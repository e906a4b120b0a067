//! `macro` and `call`.

use super::TemplateError;
use super::emit::Form;
use super::parser::Parser;

type Parsed<T> = Result<T, TemplateError>;

/// What a macro takes; defaults are those of the last names.
struct Parameters {
    names: Vec<String>,
    defaults: Vec<String>,
}

impl Parameters {
    fn declared(&self) -> String {
        let plain = self.names.len() - self.defaults.len();
        let with_default =
            self.names[plain..].iter().zip(&self.defaults).map(|(name, value)| format!("{name}={value}"));
        self.names[..plain].iter().cloned().chain(with_default).collect::<Vec<_>>().join(", ")
    }
}

impl Parser {
    pub(super) fn is_macro(&self, name: &str) -> bool {
        self.macros.iter().any(|known| known == name)
    }

    /// Parameters of a macro or of a call block.
    fn parameters(&mut self) -> Parsed<Parameters> {
        self.expect_op("(")?;
        let mut parameters = Parameters { names: Vec::new(), defaults: Vec::new() };
        while !self.skip_op(")") {
            if !parameters.names.is_empty() {
                self.expect_op(",")?;
            }
            parameters.names.push(self.target_name()?);
            if self.skip_op("=") {
                parameters.defaults.push(self.whole_expression()?.tight());
            } else if !parameters.defaults.is_empty() {
                return self.fail("a parameter without a default follows one with a default");
            }
        }
        Ok(parameters)
    }

    pub(super) fn macro_definition(&mut self, line: usize) -> Parsed<()> {
        let name = self.target_name()?;
        let parameters = self.parameters()?;
        self.end_block()?;
        self.output.block(&format!("macro {name}({})", parameters.declared()), line);
        self.macros.push(name);
        for name in &parameters.names {
            // An argument that was given but is undefined has not taken the default; from here on it is undefined.
            self.output.block(&format!("set {name} = {name}|__received"), line);
        }
        self.body("macro", &["endmacro"])?;
        self.close("endmacro")
    }

    pub(super) fn call_block(&mut self, line: usize) -> Parsed<()> {
        let parameters = if self.is_op("(") { format!("({})", self.parameters()?.declared()) } else { String::new() };
        let call = self.whole_expression()?;
        if call.form != Form::Call {
            return self.fail("\"call\" needs the call of a macro");
        }
        self.end_block()?;
        self.output.block(&format!("call{parameters} {}", call.text), line);
        self.body("call", &["endcall"])?;
        self.close("endcall")
    }
}
