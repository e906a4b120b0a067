//! A receiver's answer, read within bounds.

use awc::ClientResponse;
use awc::http::StatusCode;
use awc::http::header::{CONTENT_LENGTH, LOCATION, RETRY_AFTER, TRANSFER_ENCODING};
use futures_util::StreamExt;

use super::failure::Failure;
use super::probe::Probe;
use super::retry_after;
use crate::domain::attempt::ErrorKind;
use crate::domain::time::Timestamp;

/// Bytes of a body that are read at all; then the connection is dropped.
const READ: usize = 64 * 1024;
/// Bytes of a body that are kept.
const EXCERPT: usize = 4 * 1024;
/// The same of a success at the first attempt, of which there are most.
const SHORT_EXCERPT: usize = 256;
/// Bytes of the headers that are kept.
const HEADERS: usize = 8 * 1024;

/// An answer whose head has arrived; filled while its body does, so a deadline leaves what came before it.
pub(super) struct Answer {
    response: ClientResponse,
    excerpt: Vec<u8>,
    received: usize,
    /// The body was read to its end.
    complete: bool,
}

impl Answer {
    pub(super) fn new(response: ClientResponse) -> Self {
        Self { response, excerpt: Vec::new(), received: 0, complete: false }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// An answer of the kind that needs no body to be understood.
    pub(super) fn is_refusal(&self) -> bool {
        !self.status().is_success() && !self.status().is_informational()
    }

    /// Whether the receiver may still send something, though awc takes the answer to be over: after an interim answer,
    /// and where a body's length is not announced, so that it ends with the connection (RFC 9112 §6.3).
    pub(super) fn leaves_more_to_come(&self) -> bool {
        let bodyless = matches!(self.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        self.status().is_informational() || !(bodyless || self.length_announced())
    }

    fn length_announced(&self) -> bool {
        let headers = self.response.headers();
        headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)
    }

    /// Reads the body to its end or to the bound, whichever comes first.
    pub(super) async fn read_body(&mut self, probe: &Probe) -> Result<(), Failure> {
        if self.status().is_informational() {
            let detail = "that is no final answer, and none was asked for before it";
            return Err(Failure::unanswered(ErrorKind::Reset, detail.to_owned()));
        }
        while let Some(chunk) = self.response.next().await {
            let chunk = chunk.map_err(|e| cut_off(&format!(": {e}")))?;
            let room = EXCERPT - self.excerpt.len();
            self.excerpt.extend_from_slice(&chunk[..chunk.len().min(room)]);
            self.received += chunk.len();
            if self.received > READ {
                return Ok(());
            }
        }
        // awc takes a connection that ends early for the end of the body.
        if self.length_announced() && probe.peer_ended() {
            return Err(cut_off(""));
        }
        self.complete = true;
        Ok(())
    }

    pub(super) fn retry_after(&self, now: Timestamp) -> Option<std::time::Duration> {
        retry_after::parse(self.response.headers().get(RETRY_AFTER)?.as_bytes(), now)
    }

    /// What a status that is no success means, for people.
    pub(super) fn complaint(&self) -> Option<String> {
        let status = self.status();
        if status.is_success() {
            return None;
        }
        let reason = status.canonical_reason().map_or_else(String::new, |reason| format!(" {reason}"));
        let location = self.response.headers().get(LOCATION).filter(|_| status.is_redirection());
        let to = location.map_or_else(String::new, |to| {
            let to: String = text(to.as_bytes()).chars().take(200).collect();
            format!(" to {to}; redirects are not followed")
        });
        Some(format!("HTTP {}{reason}{to}", status.as_u16()))
    }

    /// `Name: value` lines, as many whole ones as fit.
    pub(super) fn header_lines(&self) -> String {
        let mut lines = String::new();
        for (name, value) in self.response.headers() {
            let value = text(value.as_bytes());
            if lines.len() + name.as_str().len() + value.len() + 3 > HEADERS {
                break;
            }
            lines.extend([name.as_str(), ": ", &value, "\n"]);
        }
        lines
    }

    /// The start of the body, and whether it is less than all of it.
    pub(super) fn into_excerpt(mut self, short: bool) -> (Vec<u8>, bool) {
        self.excerpt.truncate(if short { SHORT_EXCERPT } else { EXCERPT });
        // The excerpt is kept as long as the attempt is; spare room would be too.
        self.excerpt.shrink_to_fit();
        let truncated = !self.complete || self.received > self.excerpt.len();
        (self.excerpt, truncated)
    }
}

/// One line of text, whatever the receiver sent.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn cut_off(why: &str) -> Failure {
    Failure::unanswered(ErrorKind::Reset, format!("the connection broke in the middle of the answer{why}"))
}
