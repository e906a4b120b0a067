//! One HTTP request made for a delivery, and what came of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// Stable names of what can go wrong, for scripts and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    Dns,
    Connect,
    Tls,
    Timeout,
    Reset,
    HttpStatus,
    /// The egress guard refused the address.
    Blocked,
    TooLarge,
    Template,
    /// A fault of ours while rendering or sending.
    Internal,
    /// It waited longer than `max_age`.
    Expired,
}

impl ErrorKind {
    pub const ALL: [ErrorKind; 11] = [
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Reset,
        Self::HttpStatus,
        Self::Blocked,
        Self::TooLarge,
        Self::Template,
        Self::Internal,
        Self::Expired,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::HttpStatus => "http_status",
            Self::Blocked => "blocked",
            Self::TooLarge => "too_large",
            Self::Template => "template",
            Self::Internal => "internal",
            Self::Expired => "expired",
        }
    }
}

/// What a receiver did with a request, as data. Never an error of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An HTTP answer arrived in time, whatever its status.
    Answered { status: u16, retry_after: Option<Duration> },
    /// The request never reached the receiver: `Dns`, `Connect` or `Tls`.
    Unreached { kind: ErrorKind },
    /// The request was written, but no complete answer came: `Timeout` or `Reset`.
    Unanswered { kind: ErrorKind },
    /// It can never succeed as it is: `Blocked`, `Template`, `TooLarge`.
    Refused { kind: ErrorKind },
    /// A fault of ours (a panic while rendering or sending).
    Internal,
}

/// Where the time of one request went; `None` where the step did not happen (a reused connection dials nothing).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    pub dns: Option<Duration>,
    pub connect: Option<Duration>,
    pub tls: Option<Duration>,
    pub first_byte: Option<Duration>,
    pub total: Duration,
}

/// All that is kept of one attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub outcome: Outcome,
    pub started_at: Timestamp,
    pub timings: Timings,
    /// The webhook's revision it was rendered from.
    pub revision: u32,
    pub url: std::sync::Arc<str>,
    pub remote_address: Option<std::net::SocketAddr>,
    /// What went wrong, for people.
    pub detail: Option<String>,
    /// `Name: value` lines, bounded; empty for a first-attempt success.
    pub response_headers: Option<String>,
    /// Start of the response body: 256 bytes for a first-attempt success, else 4 KiB.
    pub response_excerpt: Vec<u8>,
    pub response_truncated: bool,
}

impl Attempt {
    pub fn status(&self) -> Option<u16> {
        match self.outcome {
            Outcome::Answered { status, .. } => Some(status),
            _ => None,
        }
    }

    pub fn succeeded(&self) -> bool {
        self.status().is_some_and(|s| (200..300).contains(&s))
    }

    pub fn error_kind(&self) -> Option<ErrorKind> {
        match self.outcome {
            Outcome::Answered { status, .. } if (200..300).contains(&status) => None,
            Outcome::Answered { .. } => Some(ErrorKind::HttpStatus),
            Outcome::Unreached { kind } | Outcome::Unanswered { kind } | Outcome::Refused { kind } => Some(kind),
            Outcome::Internal => Some(ErrorKind::Internal),
        }
    }
}
