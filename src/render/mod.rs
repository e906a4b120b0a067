//! From a webhook and an event to the body and headers of a request. Pure.

mod backend;
mod headers;
mod netbox;
mod snapshots;

use bytes::Bytes;

use crate::config::NetboxVersion;
use crate::domain::coalesce::fold;
use crate::domain::event::{Event, EventType};
use crate::domain::webhook::{PayloadFormat, WebhookSpec};

pub use headers::headers;

/// Why no request can be made; becomes the attempt's `template` error.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("additional header line {line}: {reason}")]
    Header { line: usize, reason: String },
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

/// The body as it is sent and signed.
///
/// `backend` follows the webhook's content type, form or JSON; `netbox` is JSON whatever the content type says, as
/// NetBox does it since 2.7.8.
///
/// # Errors
/// None today; templates will have some.
pub fn body(webhook: &WebhookSpec, source: Source<'_>) -> Result<Bytes, RenderError> {
    let body = match webhook.payload_format {
        PayloadFormat::Backend if is_form(&webhook.http_content_type) => backend::form(source),
        PayloadFormat::Backend => backend::json(source),
        PayloadFormat::Netbox => netbox::json(source),
    };
    Ok(body.into())
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
