//! A webhook definition: which events, sent where, in which form.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::event::EventType;
use super::ids::{EndpointId, WebhookId};
use super::payload_url::Target;
use super::time::Timestamp;

/// What an administrator defines: the fields of the REST API, as stored. Validated by [`crate::catalog`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WebhookSpec {
    /// Unique, 1 to 150 characters, as in NetBox.
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default = "yes")]
    pub enabled: bool,
    /// As labels, `dcim.site`.
    pub models: Vec<String>,
    #[serde(default)]
    pub type_create: bool,
    #[serde(default)]
    pub type_update: bool,
    #[serde(default)]
    pub type_delete: bool,
    #[serde(default)]
    pub type_job_start: bool,
    #[serde(default)]
    pub type_job_end: bool,
    /// NetBox's condition language; `null` is "always".
    #[serde(default)]
    pub conditions: Option<serde_json::Value>,
    pub payload_url: String,
    #[serde(default)]
    pub http_method: HttpMethod,
    #[serde(default = "json")]
    pub http_content_type: String,
    /// One `Name: value` per line.
    #[serde(default)]
    pub additional_headers: String,
    #[serde(default)]
    pub body_template: String,
    #[serde(default)]
    pub payload_format: PayloadFormat,
    /// Key of `X-Hook-Signature`; empty: unsigned. Never shown again once set.
    #[serde(default)]
    pub secret: String,
    #[serde(default)]
    pub signing: Signing,
    #[serde(default = "yes")]
    pub ssl_verification: bool,
    #[serde(default)]
    pub ca_file_path: String,
    /// Seconds, 1 to 3600; `null` is the endpoint's policy (NetBox 4.7's field).
    #[serde(default)]
    pub timeout: Option<u32>,
}

fn yes() -> bool {
    true
}

fn json() -> String {
    "application/json".to_owned()
}

impl WebhookSpec {
    pub fn wants(&self, event: EventType) -> bool {
        match event {
            EventType::Created => self.type_create,
            EventType::Updated => self.type_update,
            EventType::Deleted => self.type_delete,
            EventType::JobStarted => self.type_job_start,
            EventType::JobEnded => self.type_job_end,
        }
    }
}

/// The headers of an `additional_headers` text, one `Name: value` per line, blank lines skipped; a line that is none is
/// an `Err` with its number (from 1) and the reason.
pub fn header_lines(text: &str) -> impl Iterator<Item = Result<(&str, &str), (usize, String)>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(index, line)| header_line(line).map_err(|reason| (index + 1, reason)))
}

/// Headers that frame the request: another value would break it.
const FRAMING: [&str; 7] =
    ["connection", "content-length", "expect", "keep-alive", "te", "transfer-encoding", "upgrade"];
/// Headers that every request carries with values of our own.
const OURS: [&str; 5] =
    ["webhook-id", "webhook-timestamp", "webhook-signature", "x-hook-signature", "x-webhook-attempt"];

fn header_line(line: &str) -> Result<(&str, &str), String> {
    let (name, value) = line.split_once(':').ok_or("has no \":\"; write \"Name: value\"")?;
    let (name, value) = (name.trim(), value.trim());
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(format!("\"{name}\" is not a header name; letters, digits and hyphens are"));
    }
    if !is_header_value(value) {
        return Err(format!("the value of \"{name}\" may hold printable ASCII characters only"));
    }
    if [&FRAMING[..], &OURS[..]].concat().iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
        return Err(format!("\"{name}\" is set by netbox-webhookd itself"));
    }
    Ok((name, value))
}

/// Whether a text can be sent as the value of a header: printable ASCII and tabs.
pub fn is_header_value(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t'))
}

/// Where a definition comes from; only [`Source::Api`] is edited here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Api,
    /// A `[[webhook]]` of the configuration file.
    File,
    /// NetBox's own definition, by its id there.
    Netbox(u64),
}

/// A stored definition with what the store adds.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    pub id: WebhookId,
    /// Rises with every change; an attempt remembers the revision it was rendered from.
    pub revision: u32,
    pub spec: Arc<WebhookSpec>,
    /// Read from `spec.payload_url`.
    pub target: Target,
    /// The target's own: of a template the one without an origin, its events go to one endpoint per origin.
    pub endpoint: EndpointId,
    pub source: Source,
    /// Its source no longer names it: disabled, its deliveries held (never cancelled by a typo in a file).
    pub orphaned: bool,
    /// Its deliveries are on their way to another endpoint and are no heads meanwhile.
    pub moving: bool,
    pub created: Timestamp,
    pub last_updated: Timestamp,
}

impl Webhook {
    /// Whether events are matched to it and its deliveries are sent.
    pub fn active(&self) -> bool {
        self.spec.enabled && !self.orphaned
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    Get,
    #[default]
    Post,
    Put,
    Patch,
    Delete,
}

impl HttpMethod {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadFormat {
    /// `event`, `signal_received_timestamp`, `model`, `data`: NetBox's original webhook backend.
    #[default]
    Backend,
    /// The body NetBox itself sends, in the version of `netbox.version`.
    Netbox,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signing {
    /// Nothing besides `X-Hook-Signature`.
    #[default]
    None,
    /// Standard Webhooks' `webhook-signature` as well.
    Standard,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_line_by_line() {
        let text = "X-Site: ams: 1\n\r\nAuthorization:Bearer x\r\n";
        let read: Vec<_> = header_lines(text).collect();
        assert_eq!(read, [Ok(("X-Site", "ams: 1")), Ok(("Authorization", "Bearer x"))]);
    }

    #[test]
    fn a_bad_line_is_named() {
        let text = "Good: 1\n\nno colon\nbad name: x\nX-Umlaut: ü\ncontent-length: 3\nWebhook-Id: 4";
        let lines: Vec<_> = header_lines(text).filter_map(Result::err).map(|(line, _)| line).collect();
        assert_eq!(lines, [3, 4, 5, 6, 7]);
    }
}
