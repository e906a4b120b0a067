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
use crate::intake::{self, Refused};
use crate::store::archive::EventRow;
use crate::store::{AcceptError, Accepted};
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
const GIVEN_UP_RETRY: Duration = Duration::from_secs(1);

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
    let accepted = outcome.map_err(|(refusal, error)| {
        // How many events a refused body held is not looked up: it counts as one.
        metrics().events_refused(refusal, 1);
        error
    })?;
    let events: Vec<_> = accepted.into_iter().map(AcceptedEvent::from).collect();
    Ok(HttpResponse::Accepted().json(AcceptedBody { accepted: events.len(), events }))
}

async fn take_in(
    auth: &Allowed<Ingest>,
    state: &State,
    req: &HttpRequest,
    payload: web::Payload,
) -> Result<Vec<Accepted>, (Refusal, ApiError)> {
    let config = state.config();
    if !config.webhooks.enabled {
        let error = ApiError::unavailable("webhooks are disabled (webhooks.enabled)", DISABLED_RETRY);
        return Err((Refusal::Disabled, error));
    }
    let mut room = state.room();
    let read = body::read(req.headers(), payload.into_inner(), config.server.max_body, &mut room);
    let body = read.await.map_err(of_request)?;
    let read_at = clock::now();
    let request = intake::Request {
        body,
        content_type: text(req, &CONTENT_TYPE).map_err(of_request)?,
        idempotency_key: text(req, &HeaderName::from_static("idempotency-key")).map_err(of_request)?,
        token: &auth.token.id_text,
    };
    let of_refusal = |refused| (refusal(&refused), ApiError::from(refused));
    let accepting = intake::accept(&state.dispatcher, &state.models(), config.server.max_batch, request);
    let accepting = accepting.map_err(of_refusal)?;
    // Goes on when the sender hangs up: what is on its way to the disk counts until it is there.
    let accepted = actix_web::rt::spawn(async move {
        let accepted = accepting.await;
        drop(room);
        accepted
    });
    let given_up = |_| (Refusal::Busy, ApiError::unavailable("the request was given up", GIVEN_UP_RETRY));
    let accepted = accepted.await.map_err(given_up)?.map_err(of_refusal)?;
    metrics().accept_seconds.observe(clock::now().since(read_at).as_secs_f64());
    Ok(accepted)
}

/// A request that could not be read.
fn of_request(error: ApiError) -> (Refusal, ApiError) {
    let refusal = match error.status_code() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge,
        StatusCode::SERVICE_UNAVAILABLE => Refusal::Busy,
        _ => Refusal::Invalid,
    };
    (refusal, error)
}

fn refusal(refused: &Refused) -> Refusal {
    match refused {
        Refused::Accept(AcceptError::Store(_)) => Refusal::Store,
        Refused::Accept(AcceptError::Busy { .. } | AcceptError::StalePlan) => Refusal::Busy,
        Refused::Accept(AcceptError::Conflict { .. }) | Refused::Repeated(_) => Refusal::Conflict,
        Refused::Intake(error) if error.status() == 413 => Refusal::TooLarge,
        Refused::Intake(_) => Refusal::Invalid,
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
    /// This and what follows is `null` of an event that no webhook matched: only that it came is kept.
    timestamp: Option<&'a str>,
    signal_received_timestamp: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    snapshots: Option<&'a RawValue>,
}

impl<'a> EventDetail<'a> {
    pub fn new(row: EventRow, event: Option<&'a Event>) -> Self {
        Self {
            row: row.into(),
            external_id: event.and_then(|e| e.external_id.as_deref()),
            username: event.and_then(Event::username).map(std::borrow::Cow::into_owned),
            timestamp: event.map(|e| &*e.timestamp),
            signal_received_timestamp: event.and_then(|e| raw(&e.signal_received_timestamp)),
            data: event.and_then(|e| e.member("data")).and_then(raw),
            snapshots: event.and_then(|e| e.member("snapshots")).and_then(raw),
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
    /// Its deliveries, in the order of the webhooks; of very many the first ones.
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
    Ok(HttpResponse::Ok().json(EventWithDeliveries { event: EventDetail::new(row, event.as_deref()), matched }))
}

pub fn event_seq(id: PublicId) -> Result<EventSeq, ApiError> {
    match id.named() {
        Some(Named::Event(seq)) => Ok(seq),
        Some(Named::Delivery(_)) => Err(ApiError::not_found(format!("{id} is a delivery; see /api/deliveries/{id}/"))),
        None => Err(ApiError::not_found(format!("event {id} does not exist"))),
    }
}
