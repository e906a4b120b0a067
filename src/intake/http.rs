//! `POST /api/events/`: from a request to accepted events. Whole or nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use super::split;
use crate::catalog::{Catalog, Plan};
use crate::clock;
use crate::dispatch::Dispatcher;
use crate::domain::event::{Event, EventError};
use crate::domain::models::Models;
use crate::domain::time::Timestamp;
use crate::store::{AcceptError, Accepted, Idempotency, NewEvent, Route};

/// Most deliveries that the events of one request may have: it is one commit.
const MAX_DELIVERIES: usize = 1_000_000;
const BUSY_RETRY: Duration = Duration::from_secs(5);
/// A body up to this may lie in one buffer with other requests of its connection, in bytes.
const READ_TOGETHER: usize = 64 << 10;
/// Longest `Idempotency-Key`, in bytes.
const MAX_KEY: usize = 255;

/// What came in.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub body: Bytes,
    /// The header's text; `None` is taken as JSON.
    pub content_type: Option<&'a str>,
    /// The `Idempotency-Key` header.
    pub idempotency_key: Option<&'a str>,
    /// Whose keys they are: the id of the token, as text.
    pub token: &'a str,
}

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    #[error("{0}")]
    Event(EventError),
    /// The event at `index` (from 0) of a batch.
    #[error("event {index}: {error}")]
    Member { index: usize, error: EventError },
    #[error("the body is empty; send an event as JSON")]
    Empty,
    #[error("not valid UTF-8 at byte {0}; JSON is UTF-8")]
    NotUtf8(usize),
    #[error("not valid JSON: {0}")]
    Json(String),
    #[error("Idempotency-Key has {0} bytes; give 1 to {MAX_KEY}")]
    Key(usize),
    #[error("more than {max} events in one request (server.max_batch); send several requests")]
    TooManyEvents { max: usize },
    #[error("its events would have more than {max} deliveries in all; send several requests")]
    TooManyDeliveries { max: usize },
    #[error("content type \"{0}\" is not taken; send application/json or application/x-ndjson")]
    ContentType(String),
    #[error(
        "this form holds no JSON, and a form loses the values of the object (as from NetBox before 2.7.8); let it \
         send application/json"
    )]
    Form,
}

impl IntakeError {
    /// The HTTP status it is answered with.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Event(_) | Self::Member { .. } | Self::Empty | Self::NotUtf8(_) | Self::Json(_) | Self::Key(_) => 400,
            Self::TooManyEvents { .. } | Self::TooManyDeliveries { .. } => 413,
            Self::ContentType(_) | Self::Form => 415,
        }
    }

    /// Which event of a batch it is about.
    pub const fn index(&self) -> Option<usize> {
        match self {
            Self::Member { index, .. } => Some(*index),
            _ => None,
        }
    }
}

/// Why nothing of a request was taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Intake(#[from] IntakeError),
    #[error(transparent)]
    Accept(#[from] AcceptError),
    /// The request's only event repeats an idempotency key with another body; says so.
    #[error("{0}")]
    Repeated(String),
}

impl Refused {
    /// The HTTP status it is answered with.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Intake(e) => e.status(),
            Self::Accept(AcceptError::Conflict { .. }) | Self::Repeated(_) => 409,
            Self::Accept(_) => 503,
        }
    }

    /// Value of the `Retry-After` of a 503.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Accept(AcceptError::Busy { retry_after, .. }) => Some(*retry_after),
            Self::Accept(AcceptError::StalePlan | AcceptError::Store(_)) => Some(BUSY_RETRY),
            Self::Accept(AcceptError::Conflict { .. }) | Self::Repeated(_) | Self::Intake(_) => None,
        }
    }
}

/// Reads and matches what came in, and returns what stores it: that resolves after the commit.
///
/// # Errors
/// Nothing was taken.
pub fn accept(
    dispatcher: &Dispatcher,
    models: &Models,
    max_batch: usize,
    request: Request<'_>,
) -> Result<impl Future<Output = Result<Vec<Accepted>, Refused>> + use<>, Refused> {
    let catalog = dispatcher.catalog();
    let events = read(&request, models, &catalog, max_batch, clock::now())?;
    let single = matches!(shape(&request.body, request.content_type)?, Shape::Object);
    let dispatcher = dispatcher.clone();
    Ok(async move {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        dispatcher.accept(events, catalog).await.map_err(|error| match error {
            AcceptError::Conflict { .. } if single => Refused::Repeated(error.to_string()),
            error => error.into(),
        })
    })
}

/// The events of a request, planned.
///
/// # Errors
/// The first thing that is wrong; nothing of the request may be taken.
pub fn read(
    request: &Request<'_>,
    models: &Models,
    catalog: &Catalog,
    max_batch: usize,
    received: Timestamp,
) -> Result<Vec<NewEvent>, IntakeError> {
    if let Some(key) = request.idempotency_key.filter(|key| key.is_empty() || key.len() > MAX_KEY) {
        return Err(IntakeError::Key(key.len()));
    }
    let (members, single) = match shape(&request.body, request.content_type)? {
        Shape::Object => (vec![request.body.clone()], true),
        Shape::Array => (split::array(&request.body, max_batch)?, false),
        Shape::Lines => (split::lines(&request.body, max_batch)?, false),
    };
    let mut events = Vec::with_capacity(members.len());
    let mut deliveries = 0;
    for (index, member) in members.into_iter().enumerate() {
        let event = Event::parse(own(member, &request.body), models, received).map_err(|error| match single {
            true => IntakeError::Event(error),
            false => IntakeError::Member { index, error },
        })?;
        let Plan { deliveries: plan, missing } = catalog.plan(&event, Route::Match);
        deliveries += plan.len();
        if deliveries > MAX_DELIVERIES {
            return Err(IntakeError::TooManyDeliveries { max: MAX_DELIVERIES });
        }
        let idempotency = idempotency(&event, request, (!single).then_some(index));
        events.push(NewEvent { event: Arc::new(event), route: Route::Match, plan, missing, idempotency });
    }
    Ok(events)
}

/// A copy of its own where it is a piece of something larger: an event that waits must not keep its whole batch, nor what
/// else the connection read with it.
fn own(member: Bytes, whole: &Bytes) -> Bytes {
    let alone = member.len() == whole.len() && member.len() > READ_TOGETHER;
    if alone { member } else { Bytes::copy_from_slice(&member) }
}

/// The sender's own id of the event, else the header's key, which in a batch needs the place as well.
fn idempotency(event: &Event, request: &Request<'_>, index: Option<usize>) -> Option<Idempotency> {
    let token = request.token;
    let key = match (event.external_id.as_deref(), request.idempotency_key, index) {
        (Some(id), _, _) => format!("{token}/{id}"),
        (None, Some(key), None) => format!("{token}/{key}"),
        (None, Some(key), Some(index)) => format!("{token}/{key}/{index}"),
        (None, None, _) => return None,
    };
    Some(Idempotency { key, body: xxh3_128(event.raw()) })
}

/// How the events lie in a body.
#[derive(Debug, PartialEq, Eq)]
enum Shape {
    Object,
    Array,
    Lines,
}

fn shape(body: &[u8], content_type: Option<&str>) -> Result<Shape, IntakeError> {
    let essence = content_type.unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let first = body.trim_ascii_start().first();
    let json = match first {
        Some(b'[') => Shape::Array,
        _ => Shape::Object,
    };
    match essence.as_str() {
        "application/x-ndjson" | "application/ndjson" | "" | "application/json" | "text/json" if first.is_none() => {
            Err(IntakeError::Empty)
        }
        "application/x-ndjson" | "application/ndjson" => Ok(Shape::Lines),
        "" | "application/json" | "text/json" => Ok(json),
        other if other.ends_with("+json") => Ok(json),
        // NetBox sends JSON under whatever type its webhook names.
        "application/x-www-form-urlencoded" | "text/plain" if matches!(first, Some(b'{' | b'[')) => Ok(json),
        "application/x-www-form-urlencoded" => Err(IntakeError::Form),
        _ => Err(IntakeError::ContentType(essence.chars().take(100).collect())),
    }
}

#[cfg(test)]
mod tests;
