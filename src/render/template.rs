//! Jinja2 templates as NetBox renders them: URL, headers and body of a webhook.
//!
//! A template is read by Jinja2's own grammar and written again in the dialect of the engine (`minijinja`): Python's
//! operators, filters, tests and methods become functions of ours, the engine gives scopes, loops, macros and the limits.
//!
//! # Differences
//! What is an error here and renders in NetBox's `SandboxedEnvironment` (Jinja2 3.1.6):
//! * unknown filters and tests, `include`, `extends` and `import` in a branch that is not reached: they are refused when
//!   the template is read;
//! * the filters `random`, `urlize` and `wordwrap`, NetBox's `env`, the functions `lipsum`, `cycler` and `joiner`, and in
//!   macros `varargs` and `kwargs`;
//! * putting a list or dictionary into one that is itself part of another (unless it came with the event), or a loop,
//!   macro or namespace into either;
//! * integers beyond 128 bits, complex numbers, `"\N{...}"`, names outside of ASCII or with two leading underscores;
//! * a step of work, a level of nesting or a byte more than the limits.
//!
//! What renders differently:
//! * macros, functions and lazy filters shown as such, where Python shows addresses;
//! * what lazy filters (`map`, `select`, ...) return can be looped over more than once, and they do their work, and fail,
//!   at once;
//! * attributes that Python gives its own values (`data.items` without a call, `1.real`) are undefined;
//! * `a < b < c` computes `c` even if `a < b` is false;
//! * `striptags` knows the common entities only.
//!
//! # Source
//! NetBox `utilities/jinja2.py` and `extras/webhooks.py`: autoescape off, undefined renders as nothing, no loader.

mod arithmetic;
mod call;
mod checks;
mod emit;
mod expression;
mod filters;
mod format;
mod html;
mod json;
mod lexer;
mod literal;
mod macros;
mod methods;
mod operators;
mod parser;
mod postfix;
mod python;
mod render;
mod spec;
mod text;
mod value;

use std::fmt;
use std::sync::Arc;

use minijinja::value::Value;

/// Why a template cannot be used or rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text is not a template.
    #[error("line {line}: {reason}")]
    Syntax { line: usize, reason: String },
    /// Rendering went wrong; the line is not always known.
    #[error("{}{reason}", line.map(|line| format!("line {line}: ")).unwrap_or_default())]
    Render { line: Option<usize>, reason: String },
    #[error("the output is longer than {limit} bytes")]
    TooLong { limit: usize },
    #[error("the template does more than {fuel} steps of work")]
    TooMuchWork { fuel: u64 },
    #[error("the template calls itself too deep")]
    TooDeep,
}

impl TemplateError {
    fn syntax(line: usize, reason: impl Into<String>) -> Self {
        Self::Syntax { line, reason: reason.into() }
    }
}

/// What one rendering may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the result.
    pub output: usize,
    /// Steps of work: about one per operation and per 64 bytes of text made.
    pub fuel: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { output: 16 << 20, fuel: 1_000_000 }
    }
}

/// A template that has been read. Cheap to clone.
#[derive(Clone)]
pub struct Template {
    inner: Arc<Inner>,
}

struct Inner {
    text: String,
    /// `None` if there is nothing to render.
    program: Option<render::Program>,
    /// What there is then: the text without comments.
    literal: String,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`]: what Jinja2 without extensions or loader refuses.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let tokens = lexer::tokens(text)?;
        let literal = literal_of(&tokens);
        let program = match &literal {
            Some(_) => None,
            None => Some(render::Program::new(parser::translate(tokens)?)?),
        };
        Ok(Self { inner: Arc::new(Inner { text: text.to_owned(), program, literal: literal.unwrap_or_default() }) })
    }

    /// The text as it was given.
    pub fn text(&self) -> &str {
        &self.inner.text
    }

    /// Whether the text holds no template syntax, so that it renders as itself.
    pub fn is_literal(&self) -> bool {
        lexer::next_tag(&self.inner.text).is_none()
    }

    /// Renders with the default [`Limits`].
    ///
    /// # Errors
    /// See [`Template::render_within`].
    pub fn render(&self, context: &Context) -> Result<String, TemplateError> {
        self.render_within(context, Limits::default())
    }

    /// Renders as NetBox does: line ends are `\n`, one at the very end is dropped.
    ///
    /// # Errors
    /// Whatever Jinja2 raises, and the limit that was exceeded.
    pub fn render_within(&self, context: &Context, limits: Limits) -> Result<String, TemplateError> {
        match &self.inner.program {
            Some(program) => program.render(&context.root, limits),
            None if self.inner.literal.len() > limits.output => Err(TemplateError::TooLong { limit: limits.output }),
            None => Ok(self.inner.literal.clone()),
        }
    }
}

/// The text of a template without tags and comments.
fn literal_of(tokens: &[lexer::Token]) -> Option<String> {
    let mut text = String::new();
    for token in tokens {
        let lexer::Kind::Data(data) = &token.kind else { return None };
        text.push_str(data);
    }
    Some(text)
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.inner.text == other.inner.text
    }
}

impl Eq for Template {}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.inner.text).finish()
    }
}

/// The variables of one delivery; made once, used for URL, headers and body.
#[derive(Clone, Debug)]
pub struct Context {
    root: Value,
}

impl Context {
    /// The members of a JSON object, in their order, as variables.
    ///
    /// # Errors
    /// `json` is not an object.
    pub fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        let variables: std::collections::HashMap<String, Value> = serde_json::from_str(json)?;
        Ok(Self::new(variables))
    }

    /// Variables by name. Objects of JSON text keep the order of their members, see [`variable`].
    pub fn new<N: Into<String>>(variables: impl IntoIterator<Item = (N, Value)>) -> Self {
        let pairs = variables.into_iter().map(|(name, value)| (name.into(), value::adopt(&value)));
        Self { root: Value::from_pairs(pairs) }
    }
}

/// A variable from JSON text, the order of members kept.
///
/// # Errors
/// `json` is not JSON.
pub fn variable(json: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(json)
}

/// Takes control characters out of a header's value, as NetBox's filter `header_safe` does.
///
/// # Source
/// NetBox 4.6.6: `[\x00-\x1f\x7f]` are removed.
pub fn header_safe(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '\0'..='\x1f' | '\x7f')).collect()
}

/// Renders additional headers: `Name: Value` a line, split at the first colon; lines without one are skipped.
///
/// # Errors
/// See [`Template::render_within`].
///
/// # Source
/// NetBox `extras/models/models.py`, `Webhook.render_headers`; the skipping since 4.6.6.
pub fn render_headers(template: &Template, context: &Context) -> Result<Vec<(String, String)>, TemplateError> {
    let text = template.render(context)?;
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    Ok(lines.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect())
}
