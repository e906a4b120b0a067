//! Trying webhooks out: `/api/webhooks/{id}/test/` and `/api/webhooks/match/`.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use super::delivery_view::AttemptView;
use super::events::event_seq;
use super::sent_request::{self, SentRequest};
use super::webhooks::find;
use crate::clock;
use crate::domain::event::{Event, EventType};
use crate::domain::ids::{EndpointId, PublicId, WebhookId};
use crate::domain::webhook::Webhook;
use crate::store::admin::NewAudit;
use crate::store::archive::Page;
use crate::store::{Filter, Planned};
use crate::web::State;
use crate::web::auth::{Allowed, Operate, Read};
use crate::web::body::JsonText;
use crate::web::error::ApiError;
use crate::web::query::Query;

/// When to try again while the node sends as much as it may.
const BUSY_RETRY: Duration = Duration::from_secs(1);

/// What came of a test.
#[derive(Serialize)]
pub struct Tested {
    /// Of the delivery it is kept as.
    pub delivery_id: PublicId,
    pub delivered: bool,
    #[serde(flatten)]
    pub attempt: AttemptView,
}

/// `POST /api/webhooks/{id}/test/`: sends now, beside queue, rate and breaker. The body is the event to send; without
/// one, a sample of the webhook's first model and event type.
pub async fn test(
    auth: Allowed<Operate>,
    state: State,
    id: web::Path<u32>,
    body: JsonText,
) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(test_one(&state, &auth.token.name, WebhookId(*id), body.0).await?))
}

/// Without a body a sample is sent.
pub async fn test_one(state: &State, actor: &str, id: WebhookId, body: Bytes) -> Result<Tested, ApiError> {
    let webhook = find(state, id)?;
    let given = body.as_ref().trim_ascii();
    let text = if given.is_empty() || given == b"{}" { sample(&webhook) } else { body };
    let event = Arc::new(parse(state, text)?);
    let slot = state.store.reserve_test().await?;
    let Some(attempt) = state.dispatcher.send_now(webhook.id, event.clone(), slot).await else {
        return Err(ApiError::unavailable("too many requests are in flight (delivery.max_in_flight)", BUSY_RETRY));
    };
    let planned = Planned { webhook: webhook.id, endpoint: webhook.endpoint };
    let delivery_id = slot.public_id();
    state.store.record_test(slot, event, planned, attempt.clone()).await?;
    let audit = NewAudit {
        actor: actor.to_owned(),
        action: "webhook.test",
        target: format!("webhook {}", webhook.id),
        detail: json!({ "delivery": delivery_id }),
    };
    state.store.audit(audit).await?;
    let delivered = attempt.succeeded();
    Ok(Tested { delivery_id, delivered, attempt: AttemptView::new(1, attempt) })
}

/// `GET /api/webhooks/{id}/preview/`: the request that a stored event would make now, `event_id` or its newest.
pub async fn preview(
    _auth: Allowed<Read>,
    state: State,
    id: web::Path<u32>,
    req: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let webhook = find(&state, WebhookId(*id))?;
    let mut query = Query::of(&req);
    let event = query.take("event_id")?;
    query.finish()?;
    let Some((event_id, request)) = preview_one(&state, &webhook, event.as_deref()).await? else {
        return Err(ApiError::not_found("no event of this webhook is kept; name one with event_id"));
    };
    let (request, error) = match request {
        Ok(request) => (Some(request), None),
        Err(error) => (None, Some(error)),
    };
    Ok(HttpResponse::Ok().json(json!({ "event_id": event_id, "request": request, "error": error })))
}

/// The same; `None`: nothing of it is kept. What cannot be rendered is an inner `Err`.
pub async fn preview_one(
    state: &State,
    webhook: &Webhook,
    event: Option<&str>,
) -> Result<Option<(PublicId, Result<SentRequest, String>)>, ApiError> {
    let seq = match event {
        Some(text) => {
            let id = text.parse().map_err(|_| ApiError::field("event_id", format!("\"{text}\" is not a UUID")))?;
            event_seq(id)?
        }
        None => {
            let filter = Filter { webhooks: vec![webhook.id], ..Filter::default() };
            let newest = state.store.deliveries(filter, Page::first(1)).await?.rows;
            let Some(row) = newest.first() else { return Ok(None) };
            row.event.seq
        }
    };
    match state.store.event(seq).await? {
        Some((row, Some(event))) => Ok(Some((row.id, sent_request::preview(state, &webhook.spec, &event)))),
        Some((_, None)) => Err(ApiError::not_found("the text of this event is not kept, for no webhook matched it")),
        None if event.is_some() => Err(ApiError::field("event_id", "there is no such event")),
        None => Ok(None),
    }
}

/// Whether a webhook would get an event.
#[derive(Serialize)]
pub struct MatchView {
    pub webhook_id: WebhookId,
    pub name: String,
    pub endpoint_id: Option<EndpointId>,
    pub matched: bool,
    pub reason: Option<String>,
}

/// `POST /api/webhooks/match/`: which webhooks the event in the body would reach, and why not the others.
pub async fn matches(_auth: Allowed<Read>, state: State, body: JsonText) -> Result<HttpResponse, ApiError> {
    let (event, results) = explained(&state, body.0)?;
    let matched = results.iter().filter(|r| r.matched).count();
    Ok(HttpResponse::Ok().json(json!({
        "event": event.event_type, "model": &*event.model.label, "matched": matched, "results": results,
    })))
}

/// The event in `body`, and what each webhook makes of it.
pub fn explained(state: &State, body: Bytes) -> Result<(Event, Vec<MatchView>), ApiError> {
    let event = parse(state, body)?;
    let results = explain(state, &event);
    Ok((event, results))
}

/// What each webhook makes of an event, as it is defined now.
pub fn explain(state: &State, event: &Event) -> Vec<MatchView> {
    let catalog = state.dispatcher.catalog();
    let show = |e: crate::catalog::Explanation| {
        let webhook = catalog.webhook(e.webhook);
        MatchView {
            webhook_id: e.webhook,
            name: webhook.map(|w| w.spec.name.clone()).unwrap_or_default(),
            endpoint_id: webhook.map(|w| w.endpoint),
            matched: e.matched,
            reason: e.reason,
        }
    };
    catalog.explain(event).into_iter().map(show).collect()
}

fn parse(state: &State, text: Bytes) -> Result<Event, ApiError> {
    if text.trim_ascii().is_empty() {
        return Err(ApiError::bad_request("the body must be an event: {\"event\": …, \"model\": …, \"data\": {…}}"));
    }
    Event::parse(text, &state.models(), clock::now()).map_err(|e| ApiError::bad_request(e.to_string()))
}

/// An event the webhook wants, about an object that does not exist.
fn sample(webhook: &Webhook) -> Bytes {
    let wanted = EventType::ALL.into_iter().find(|t| webhook.spec.wants(*t)).unwrap_or(EventType::Created);
    let model = webhook.spec.models.first().map_or("dcim.site", String::as_str);
    let data = json!({ "id": 0, "name": "netbox-webhookd test", "display": "netbox-webhookd test" });
    let (prechange, postchange) = match wanted {
        EventType::Created => (None, Some(&data)),
        EventType::Updated => (Some(&data), Some(&data)),
        EventType::Deleted => (Some(&data), None),
        EventType::JobStarted | EventType::JobEnded => (None, None),
    };
    let event = json!({
        "event": wanted,
        "timestamp": clock::now(),
        "model": model,
        "username": "netbox-webhookd",
        "request_id": null,
        "data": data,
        "snapshots": { "prechange": prechange, "postchange": postchange },
    });
    event.to_string().into()
}
