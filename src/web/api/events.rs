//! Events: taken in, listed and in detail: `/api/events/`.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName};
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use serde::Serialize;
use serde_json::value::RawValue;

use super::delivery_view::{DeliveryView, EventView, Surroundings};
use crate::clock;
use crate::domain::event::Event;
use crate::domain::ids::{EventSeq, Named, PublicId};
use crate::intake;
use crate::store::Accepted;
use crate::store::archive::EventRow;
use crate::telemetry::{Refusal, metrics};
use crate::web::State;
use crate::web::auth::{Allowed, Ingest, Read};
use crate::web::body;
use crate::web::error::ApiError;
use crate::web::external::own_url;
use crate::web::filter::{EVENT_FILTERS, parse};
use crate::web::query::{Links, ListBody, Query};

/// When to ask again while `webhooks.enabled` is false.
const DISABLED_RETRY: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct AcceptedBody {
    accepted: usize,
    events: Vec<AcceptedEvent>,
}

#[derive(Serialize)]
struct AcceptedEvent {
    id: PublicId,
    deliveries: u32,
    duplicate: bool,
}

impl From<Accepted> for AcceptedEvent {
    fn from(a: Accepted) -> Self {
        Self { id: a.id, deliveries: a.deliveries, duplicate: a.duplicate }
    }
}

/// `POST /api/events/`: 202 once all of it is durable.
pub async fn accept(
    auth: Allowed<Ingest>,
    state: State,
    req: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let outcome = take_in(&auth, &state, &req, payload).await;
    if let Err(error) = &outcome {
        // How many events a refused body held is not looked up: it counts as one.
        metrics().events_refused(refusal(error.status_code(), state.config().webhooks.enabled), 1);
    }
    let events: Vec<_> = outcome?.into_iter().map(AcceptedEvent::from).collect();
    Ok(HttpResponse::Accepted().json(AcceptedBody { accepted: events.len(), events }))
}

async fn take_in(
    auth: &Allowed<Ingest>,
    state: &State,
    req: &HttpRequest,
    payload: web::Payload,
) -> Result<Vec<Accepted>, ApiError> {
    let config = state.config();
    if !config.webhooks.enabled {
        return Err(ApiError::unavailable("webhooks are disabled (webhooks.enabled)", DISABLED_RETRY));
    }
    let body = body::read(req.headers(), payload.into_inner(), config.server.max_body).await?;
    let read_at = clock::now();
    let request = intake::Request {
        body,
        content_type: text(req, &CONTENT_TYPE)?,
        idempotency_key: text(req, &HeaderName::from_static("idempotency-key"))?,
        token: &auth.token.id_text,
    };
    let accepted = intake::accept(&state.dispatcher, &state.models(), config.server.max_batch, request).await?;
    metrics().accept_seconds.observe(clock::now().since(read_at).as_secs_f64());
    Ok(accepted)
}

fn refusal(status: StatusCode, enabled: bool) -> Refusal {
    match status {
        _ if !enabled => Refusal::Disabled,
        StatusCode::CONFLICT => Refusal::Conflict,
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge,
        StatusCode::SERVICE_UNAVAILABLE => Refusal::Busy,
        _ => Refusal::Invalid,
    }
}

fn text<'a>(req: &'a HttpRequest, name: &HeaderName) -> Result<Option<&'a str>, ApiError> {
    let Some(value) = req.headers().get(name) else { return Ok(None) };
    let problem = |_| ApiError::bad_request(format!("the header {name} must be visible ASCII"));
    value.to_str().map(Some).map_err(problem)
}

/// `GET /api/events/`, newest first.
pub async fn list(_auth: Allowed<Read>, state: State, req: HttpRequest) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&req);
    let page = query.take_page()?;
    let filter = parse(query.into_pairs(), EVENT_FILTERS, &state.models())?;
    let listed = state.store.events(filter, page).await?;
    let links = Links::new(own_url(&req, &state.config()), req.query_string());
    Ok(HttpResponse::Ok().json(ListBody::new(listed, &links, EventView::from)))
}

/// An event with what it said, byte for byte.
#[derive(Serialize)]
pub struct EventDetail<'a> {
    #[serde(flatten)]
    row: EventView,
    /// The sender's own id of it.
    external_id: Option<&'a str>,
    username: Option<String>,
    timestamp: &'a str,
    signal_received_timestamp: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    snapshots: Option<&'a RawValue>,
}

impl<'a> EventDetail<'a> {
    pub fn new(row: EventRow, event: &'a Event) -> Self {
        Self {
            row: row.into(),
            external_id: event.external_id.as_deref(),
            username: event.username().map(std::borrow::Cow::into_owned),
            timestamp: &event.timestamp,
            signal_received_timestamp: raw(&event.signal_received_timestamp),
            data: event.member("data").and_then(raw),
            snapshots: event.member("snapshots").and_then(raw),
        }
    }
}

/// It was checked to be JSON when it came in.
fn raw(text: &str) -> Option<&RawValue> {
    serde_json::from_str(text).ok()
}

#[derive(Serialize)]
struct EventWithDeliveries<'a> {
    #[serde(flatten)]
    event: EventDetail<'a>,
    /// Its deliveries, in the order of the webhooks.
    matched: Vec<DeliveryView>,
}

/// `GET /api/events/{id}/`
pub async fn get(_auth: Allowed<Read>, state: State, id: web::Path<PublicId>) -> Result<HttpResponse, ApiError> {
    let seq = event_seq(*id)?;
    let Some((row, event)) = state.store.event(seq).await? else {
        return Err(ApiError::not_found(format!("event {id} does not exist")));
    };
    let rows = state.store.siblings(seq).await?;
    let around = Surroundings::of(&state, &rows).await;
    let matched = rows.into_iter().map(|row| around.view(row)).collect();
    Ok(HttpResponse::Ok().json(EventWithDeliveries { event: EventDetail::new(row, &event), matched }))
}

fn event_seq(id: PublicId) -> Result<EventSeq, ApiError> {
    match id.named() {
        Some(Named::Event(seq)) => Ok(seq),
        Some(Named::Delivery(_)) => Err(ApiError::not_found(format!("{id} is a delivery; see /api/deliveries/{id}/"))),
        None => Err(ApiError::not_found(format!("event {id} does not exist"))),
    }
}
