//! Every answer that is not a success: one type, two shapes, `{"detail": "…"}` and `{"field": ["…"]}`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde_json::json;

use crate::intake::{IntakeError, Refused};
use crate::store::admin::Scope;
use crate::store::{AcceptError, StoreError};

/// What was wrong with each field of a body or parameter of a query.
pub type FieldErrors = BTreeMap<String, Vec<String>>;

/// An answer of 4xx or 5xx.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    body: Body,
    /// A header that the status asks for: `Retry-After`, `Allow`, `WWW-Authenticate`.
    header: Option<(header::HeaderName, String)>,
}

#[derive(Debug, PartialEq)]
enum Body {
    Detail(String),
    /// About the event at this place of a batch.
    Member(String, usize),
    Fields(FieldErrors),
}

impl ApiError {
    fn detail(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, body: Body::Detail(detail.into()), header: None }
    }

    fn with(self, name: header::HeaderName, value: impl Into<String>) -> Self {
        Self { header: Some((name, value.into())), ..self }
    }

    /// 400 that concerns the request as a whole.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::detail(StatusCode::BAD_REQUEST, detail)
    }

    /// 400 about one field.
    pub fn field(name: &str, problem: impl Into<String>) -> Self {
        Self::fields(FieldErrors::from([(name.to_owned(), vec![problem.into()])]))
    }

    /// 400 about several fields.
    pub fn fields(problems: FieldErrors) -> Self {
        Self { status: StatusCode::BAD_REQUEST, body: Body::Fields(problems), header: None }
    }

    /// An error about one event of a batch; `status` is 400 or 409.
    pub fn member(status: StatusCode, detail: impl Into<String>, index: usize) -> Self {
        Self { status, body: Body::Member(detail.into(), index), header: None }
    }

    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::detail(StatusCode::UNAUTHORIZED, detail)
            .with(header::WWW_AUTHENTICATE, "Token realm=\"netbox-webhookd\", Bearer realm=\"netbox-webhookd\"")
    }

    /// 403: the token is good, but does not reach this far.
    pub fn forbidden(missing: Scope) -> Self {
        let scope = missing.as_str();
        Self::detail(StatusCode::FORBIDDEN, format!("this token lacks the scope \"{scope}\""))
    }

    /// 403 for what nobody may do this way.
    pub fn refused(detail: impl Into<String>) -> Self {
        Self::detail(StatusCode::FORBIDDEN, detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::detail(StatusCode::NOT_FOUND, detail)
    }

    /// 405; `allowed` are the methods the URL knows, comma-separated.
    pub fn method_not_allowed(method: &str, allowed: String) -> Self {
        Self::detail(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not allowed here; use {allowed}"))
            .with(header::ALLOW, allowed)
    }

    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::detail(StatusCode::CONFLICT, detail)
    }

    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::detail(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 429.
    pub fn too_many(detail: impl Into<String>, after: Duration) -> Self {
        Self::detail(StatusCode::TOO_MANY_REQUESTS, detail).with(header::RETRY_AFTER, seconds(after))
    }

    pub fn unsupported_media_type(detail: impl Into<String>) -> Self {
        Self::detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    /// 503; `after` is rounded up to whole seconds, at least one.
    pub fn unavailable(detail: impl Into<String>, after: Duration) -> Self {
        Self::detail(StatusCode::SERVICE_UNAVAILABLE, detail).with(header::RETRY_AFTER, seconds(after))
    }
}

impl ApiError {
    /// What is wrong with each field, if that is what it says.
    pub fn of_fields(&self) -> Option<&FieldErrors> {
        match &self.body {
            Body::Fields(fields) => Some(fields),
            Body::Detail(_) | Body::Member(..) => None,
        }
    }

    /// When to try again, in seconds.
    pub fn retry_after(&self) -> Option<&str> {
        self.header.as_ref().filter(|(name, _)| *name == header::RETRY_AFTER).map(|(_, value)| value.as_str())
    }

    /// For a page: what went wrong, without the status.
    pub fn text(&self) -> String {
        match &self.body {
            Body::Detail(detail) | Body::Member(detail, _) => detail.clone(),
            Body::Fields(fields) => {
                let lines = fields.iter().map(|(name, problems)| format!("{name}: {}", problems.join(" ")));
                lines.collect::<Vec<_>>().join("; ")
            }
        }
    }
}

fn seconds(after: Duration) -> String {
    after.as_millis().div_ceil(1000).max(1).to_string()
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.body {
            Body::Detail(detail) | Body::Member(detail, _) => write!(f, "{}: {detail}", self.status.as_u16()),
            Body::Fields(fields) => write!(f, "{}: {fields:?}", self.status.as_u16()),
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some((name, value)) = &self.header {
            response.insert_header((name.clone(), value.as_str()));
        }
        match &self.body {
            Body::Detail(detail) => response.json(json!({ "detail": detail })),
            Body::Member(detail, index) => response.json(json!({ "detail": detail, "index": index })),
            Body::Fields(fields) => response.json(fields),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::Unavailable(_) => Self::unavailable(text, Duration::from_secs(1)),
            StoreError::Full(_) | StoreError::Corrupt(_) => Self::unavailable(text, Duration::from_secs(30)),
            StoreError::NotFound(_) => Self::not_found(text),
            StoreError::Conflict(_) | StoreError::Outdated(_) => Self::conflict(text),
        }
    }
}

impl From<IntakeError> for ApiError {
    fn from(error: IntakeError) -> Self {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
        match error.index() {
            Some(index) => Self::member(status, error.to_string(), index),
            None => Self::detail(status, error.to_string()),
        }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Intake(error) => error.into(),
            Refused::Accept(error) => error.into(),
            Refused::Repeated(detail) => Self::member(StatusCode::CONFLICT, detail, 0),
        }
    }
}

impl From<AcceptError> for ApiError {
    fn from(error: AcceptError) -> Self {
        let text = error.to_string();
        match error {
            AcceptError::Busy { retry_after, .. } => Self::unavailable(text, retry_after),
            AcceptError::Conflict { index, .. } => {
                Self::member(StatusCode::CONFLICT, format!("event {index}: {text}"), index)
            }
            // The dispatcher plans again by itself; this one lost the race too often.
            AcceptError::StalePlan => Self::unavailable(text, Duration::from_secs(1)),
            AcceptError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use serde_json::Value;

    use super::*;

    async fn answer(error: ApiError) -> (u16, Option<String>, Value) {
        let response = error.error_response();
        let status = response.status().as_u16();
        let retry = response.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let body = to_bytes(response.into_body()).await.expect("a small body");
        (status, retry, serde_json::from_slice(&body).expect("JSON"))
    }

    #[actix_rt::test]
    async fn errors_have_netbox_shapes() {
        assert_eq!(answer(ApiError::bad_request("no")).await, (400, None, json!({"detail": "no"})));
        assert_eq!(answer(ApiError::field("name", "taken")).await, (400, None, json!({"name": ["taken"]})));
        assert_eq!(
            answer(ApiError::forbidden(Scope::Operate)).await,
            (403, None, json!({"detail": "this token lacks the scope \"operate\""}))
        );
    }

    #[actix_rt::test]
    async fn a_full_backlog_says_when_to_come_back() {
        let busy = AcceptError::Busy { reason: "backlog is full".into(), retry_after: Duration::from_millis(1200) };
        assert_eq!(answer(busy.into()).await, (503, Some("2".into()), json!({"detail": "backlog is full"})));
        let (status, retry, _) = answer(StoreError::Unavailable("x".into()).into()).await;
        assert_eq!((status, retry.as_deref()), (503, Some("1")));
        let (status, retry, _) = answer(AcceptError::StalePlan.into()).await;
        assert_eq!((status, retry.as_deref()), (503, Some("1")));
        let (status, retry, body) = answer(AcceptError::Conflict { index: 1, key: "k".into() }.into()).await;
        assert_eq!((status, retry, &body["index"]), (409, None, &json!(1)));
    }

    #[test]
    fn a_401_names_the_schemes() {
        let response = ApiError::unauthorized("who?").error_response();
        let challenge = response.headers().get(header::WWW_AUTHENTICATE).expect("a challenge");
        assert!(challenge.to_str().expect("ASCII").starts_with("Token "));
    }
}
