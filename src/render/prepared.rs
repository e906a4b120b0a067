//! A webhook's texts, read once per revision and rendered for each event.

use std::borrow::Cow;
use std::cell::OnceCell;

use bytes::Bytes;

use super::template::{Context, Template};
use super::{DEFAULT_VERSION, RenderError, Source, context, headers, plain_body};
use crate::domain::event::Event;
use crate::domain::payload_url::{Origin, PayloadUrl, is_template};
use crate::domain::webhook::WebhookSpec;

/// `Content-Type` and additional headers of a request.
pub type Headers = Vec<(String, String)>;

/// A text of a definition.
#[derive(Debug)]
enum Text {
    Plain,
    Template(Template),
    /// Not readable as a template; says why. NetBox lets such definitions be made.
    Broken(String),
}

impl Text {
    fn read(text: &str) -> Self {
        if is_template(text) { Self::template(text) } else { Self::Plain }
    }

    fn template(text: &str) -> Self {
        match Template::parse(text) {
            Ok(template) => Self::Template(template),
            Err(error) => Self::Broken(error.to_string()),
        }
    }

    fn render<'a>(&self, name: &'static str, plain: &'a str, lazy: &Lazy<'_>) -> Result<Cow<'a, str>, RenderError> {
        match self {
            Self::Plain => Ok(Cow::Borrowed(plain)),
            Self::Template(template) => match template.render(lazy.get()) {
                Ok(text) => Ok(Cow::Owned(text)),
                Err(error) => Err(RenderError::Template { name, reason: error.to_string() }),
            },
            Self::Broken(reason) => Err(RenderError::Template { name, reason: reason.clone() }),
        }
    }

    const fn is_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }
}

/// What is ready of a webhook before any event comes.
#[derive(Debug)]
pub struct Prepared {
    /// Rendered already where they are no template.
    headers: Option<Result<Headers, RenderError>>,
    url_text: Text,
    headers_text: Text,
    /// `None`: the body is the payload format's.
    body_text: Option<Text>,
}

/// A payload URL, without the webhook's other texts.
#[derive(Debug)]
pub struct UrlTemplate(Text, String);

impl UrlTemplate {
    pub fn new(spec: &WebhookSpec) -> Self {
        Self(Text::read(&spec.payload_url), spec.payload_url.clone())
    }

    /// Where an event goes; `None`: nowhere, it cannot be rendered for this event.
    pub fn origin(&self, event: &Event) -> Option<Origin> {
        let lazy = Lazy::new(Source { event, folded_from: None, version: DEFAULT_VERSION });
        let text = self.0.render("payload_url", &self.1, &lazy).ok()?;
        PayloadUrl::parse(&text).ok().map(|url| url.origin)
    }
}

/// The context of an event's templates, made when the first of them needs it.
pub struct Lazy<'a> {
    source: Source<'a>,
    context: OnceCell<Context>,
}

impl<'a> Lazy<'a> {
    pub const fn new(source: Source<'a>) -> Self {
        Self { source, context: OnceCell::new() }
    }

    fn get(&self) -> &Context {
        self.context.get_or_init(|| context::of(self.source))
    }
}

impl Prepared {
    pub fn new(spec: &WebhookSpec) -> Self {
        let headers_text = Text::read(&spec.additional_headers);
        let headers = headers_text.is_plain().then(|| headers::read(spec, &spec.additional_headers));
        // Also without any syntax: Jinja unifies ends of lines and takes the last one away.
        let body_text = (!spec.body_template.is_empty()).then(|| Text::template(&spec.body_template));
        Self { headers, url_text: Text::read(&spec.payload_url), headers_text, body_text }
    }

    /// Whether rendering may take long: a template may loop until its fuel is used up.
    pub fn is_templated(&self) -> bool {
        !(self.url_text.is_plain()
            && self.headers_text.is_plain()
            && self.body_text.as_ref().is_none_or(Text::is_plain))
    }

    /// Where the request goes.
    ///
    /// # Errors
    /// The template cannot be rendered for this event, or what it renders to is no payload URL.
    pub fn url(&self, spec: &WebhookSpec, lazy: &Lazy<'_>) -> Result<PayloadUrl, RenderError> {
        let text = self.url_text.render("payload_url", &spec.payload_url, lazy)?;
        PayloadUrl::parse(&text).map_err(|error| RenderError::Url(error.to_string()))
    }

    /// `Content-Type` and the additional headers.
    ///
    /// # Errors
    /// The template cannot be rendered for this event, or a line of it is a header that only this service may set.
    pub fn headers(&self, spec: &WebhookSpec, lazy: &Lazy<'_>) -> Result<Cow<'_, [(String, String)]>, RenderError> {
        match &self.headers {
            Some(Ok(read)) => Ok(Cow::Borrowed(read)),
            Some(Err(error)) => Err(error.clone()),
            None => {
                let text = self.headers_text.render("additional_headers", &spec.additional_headers, lazy)?;
                headers::read(spec, &text).map(Cow::Owned)
            }
        }
    }

    /// The body as it is sent and signed.
    ///
    /// # Errors
    /// The template cannot be rendered for this event.
    pub fn body(&self, spec: &WebhookSpec, lazy: &Lazy<'_>) -> Result<Bytes, RenderError> {
        match &self.body_text {
            None => Ok(plain_body(spec, lazy.source)),
            Some(text) => {
                let body = text.render("body_template", &spec.body_template, lazy)?;
                Ok(Bytes::from(body.into_owned()))
            }
        }
    }
}
