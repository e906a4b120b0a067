//! From a webhook and an event to the body and headers of a request. Pure.

mod backend;
mod context;
mod headers;
mod netbox;
mod prepared;
mod snapshots;
pub mod template;

use bytes::Bytes;

use crate::config::NetboxVersion;
use crate::domain::coalesce::fold;
use crate::domain::event::{Event, EventType};
use crate::domain::webhook::{PayloadFormat, WebhookSpec};

pub use prepared::{Lazy, Prepared, UrlTemplate};

/// NetBox whose bodies are written when neither the configuration nor NetBox says which.
pub const DEFAULT_VERSION: NetboxVersion = NetboxVersion(4, 4);

/// Why no request can be made; becomes the attempt's `template` error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("additional header line {line}: {reason}")]
    Header { line: usize, reason: String },
    #[error("{name}: {reason}")]
    Template { name: &'static str, reason: String },
    #[error("payload_url: what it renders to is no payload URL: {0}")]
    Url(String),
    #[error(
        "payload_url: it renders to {0}, to which it has no endpoint: it was changed meanwhile, or it reaches more origins \
         than delivery.max_template_origins allows"
    )]
    Origin(String),
}

/// What a body is made of.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub event: &'a Event,
    /// The older event this one was folded with: its type and `snapshots.prechange` hold.
    pub folded_from: Option<&'a Event>,
    pub version: NetboxVersion,
}

impl Source<'_> {
    /// The type the receiver is told: that of both events together, if this one was folded.
    fn event_type(&self) -> EventType {
        let newer = self.event.event_type;
        self.folded_from.and_then(|older| fold(older.event_type, newer)).unwrap_or(newer)
    }
}

/// The body of the payload format.
///
/// `backend` follows the webhook's content type, form or JSON; `netbox` is JSON whatever the content type says, as
/// NetBox does it since 2.7.8.
fn plain_body(webhook: &WebhookSpec, source: Source<'_>) -> Bytes {
    let body = match webhook.payload_format {
        PayloadFormat::Backend if is_form(&webhook.http_content_type) => backend::form(source),
        PayloadFormat::Backend => backend::json(source),
        PayloadFormat::Netbox => netbox::json(source),
    };
    body.into()
}

/// Whether a content type, parameters aside, is that of an HTML form.
fn is_form(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// A JSON object written member by member, spaced as Python's `json.dumps` does it.
struct JsonObject {
    text: String,
}

impl JsonObject {
    fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push('{');
        Self { text }
    }

    /// `value` is JSON text and is written as it is; `name` needs no escaping.
    fn raw(&mut self, name: &str, value: &str) {
        if self.text.len() > 1 {
            self.text.push_str(", ");
        }
        self.text.push('"');
        self.text.push_str(name);
        self.text.push_str("\": ");
        self.text.push_str(value);
    }

    fn string(&mut self, name: &str, value: &str) {
        self.raw(name, &json_string(value));
    }

    fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always serialisable")
}

#[cfg(test)]
mod tests;
