//! What went wrong with a request, as an outcome and in words.

use actix_http::error::ParseError;
use awc::error::{ConnectError, SendRequestError};

use crate::domain::attempt::{ErrorKind, Outcome};

/// Why no answer can be reported.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub outcome: Outcome,
    pub detail: String,
}

impl Failure {
    pub(super) fn unreached(kind: ErrorKind, detail: String) -> Self {
        Self { outcome: Outcome::Unreached { kind }, detail }
    }

    pub(super) fn unanswered(kind: ErrorKind, detail: String) -> Self {
        Self { outcome: Outcome::Unanswered { kind }, detail }
    }

    pub(super) fn refused(kind: ErrorKind, detail: String) -> Self {
        Self { outcome: Outcome::Refused { kind }, detail }
    }
}

/// An error of awc from after a connection was had; what went wrong before is the connector's to say.
impl From<SendRequestError> for Failure {
    fn from(error: SendRequestError) -> Self {
        match error {
            SendRequestError::Response(ParseError::TooLarge) => {
                Self::refused(ErrorKind::TooLarge, "the head of the answer is too large".to_owned())
            }
            SendRequestError::Response(ParseError::Io(e)) | SendRequestError::Send(e) => {
                Self::unanswered(ErrorKind::Reset, format!("the connection broke before the answer: {e}"))
            }
            SendRequestError::Response(ParseError::Incomplete)
            | SendRequestError::Connect(ConnectError::Disconnected) => {
                Self::unanswered(ErrorKind::Reset, "the connection was closed before the answer".to_owned())
            }
            SendRequestError::Response(e) => {
                Self::unanswered(ErrorKind::Reset, format!("the answer is not HTTP/1.1: {e}"))
            }
            SendRequestError::Connect(e) => Self::unreached(ErrorKind::Connect, format!("no connection: {e}")),
            SendRequestError::Timeout => Self::unanswered(ErrorKind::Timeout, "no answer in time".to_owned()),
            // An address or headers that HTTP cannot express: no later attempt will do better.
            other => Self::refused(ErrorKind::Template, format!("the request cannot be made: {other}")),
        }
    }
}

/// Whether the peer hung up rather than answered wrongly.
pub(super) fn is_disconnect(error: &SendRequestError) -> bool {
    matches!(
        error,
        SendRequestError::Send(_)
            | SendRequestError::Response(ParseError::Io(_) | ParseError::Incomplete)
            | SendRequestError::Connect(ConnectError::Disconnected)
    )
}
