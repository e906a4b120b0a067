//! The engine: one environment for all templates, one program per template.

use std::io::{self, Write};
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};

use super::{Limits, TemplateError};
use super::{call, checks, filters, html, methods, operators, python};

/// Levels of loops and macros; a macro call counts as four. Native recursion, so it has to fit a worker's stack.
const MAX_RECURSION: usize = 200;
const NAME: &str = "webhook";

/// Everything but the template itself.
static LIBRARY: LazyLock<Environment<'static>> = LazyLock::new(library);

fn library() -> Environment<'static> {
    let mut environment = Environment::empty();
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the default delimiters are valid"));
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_recursion_limit(MAX_RECURSION);
    // Errors then name what is undefined.
    environment.set_debug(true);
    environment.set_formatter(write_value);
    environment.set_unknown_method_callback(methods::call);
    operators::register(&mut environment);
    filters::register(&mut environment);
    checks::register(&mut environment);
    call::register_globals(&mut environment);
    environment
}

fn write_value(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let escape = !matches!(state.auto_escape(), AutoEscape::None) && !value.is_safe();
    match value.as_str() {
        Some(text) if !escape => out.write_str(text)?,
        _ if escape => out.write_str(&html::escape(&python::text(value)))?,
        _ => out.write_str(&python::text(value))?,
    }
    Ok(())
}

/// A compiled template.
pub(super) struct Program {
    environment: Environment<'static>,
}

impl Program {
    /// # Errors
    /// What our grammar lets pass and the engine's does not.
    pub fn new(text: String) -> Result<Self, TemplateError> {
        let mut environment = LIBRARY.clone();
        environment.add_template_owned(NAME, text).map_err(|error| {
            let reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
            TemplateError::syntax(error.line().unwrap_or(1), reason)
        })?;
        Ok(Self { environment })
    }

    /// # Errors
    /// As [`super::Template::render_within`].
    pub fn render(&self, root: &Value, limits: Limits) -> Result<String, TemplateError> {
        // A copy shares everything but the limits.
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(limits.fuel));
        let mut writer = Limited { bytes: Vec::new(), limit: limits.output, exceeded: false };
        let template = environment.get_template(NAME).map_err(|error| explained(&error, limits))?;
        let rendered = template.render_captured_to(root.clone(), &mut writer).map(drop);
        drop(template);
        if writer.exceeded {
            return Err(TemplateError::TooLong { limit: limits.output });
        }
        rendered.map_err(|error| explained(&error, limits))?;
        String::from_utf8(writer.bytes)
            .map_err(|_| TemplateError::Render { line: None, reason: "the output is not text".to_owned() })
    }
}

/// The innermost cause, with the line nearest to it.
fn explained(error: &Error, limits: Limits) -> TemplateError {
    let mut line = error.line();
    let mut cause = error;
    while let Some(source) = std::error::Error::source(cause).and_then(|source| source.downcast_ref::<Error>()) {
        cause = source;
        line = cause.line().or(line);
    }
    let reason = cause.detail().map_or_else(|| cause.kind().to_string(), str::to_owned);
    match cause.kind() {
        ErrorKind::OutOfFuel => TemplateError::TooMuchWork { fuel: limits.fuel },
        _ if reason.contains("recursion limit") => TemplateError::TooDeep,
        _ => TemplateError::Render { line, reason },
    }
}

/// Collects output up to a limit.
struct Limited {
    bytes: Vec<u8>,
    limit: usize,
    exceeded: bool,
}

impl Write for Limited {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + text.len() > self.limit {
            self.exceeded = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
