//! Endpoints, their policy and live state: `/api/endpoints/`.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::{HttpResponse, web};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::clock;
use crate::config::policy::{parse_patch, to_json};
use crate::dispatch::{Inspection, Minute};
use crate::domain::breaker::Breaker;
use crate::domain::change::EndpointActivity;
use crate::domain::endpoint::{Control, Endpoint};
use crate::domain::ids::{EndpointId, WebhookId};
use crate::domain::time::Timestamp;
use crate::store::StoredEndpoint;
use crate::store::admin::{DefinitionSet, NewAudit};
use crate::web::State;
use crate::web::auth::{Admin, Allowed, Operate, Read};
use crate::web::body::JsonObject;
use crate::web::error::ApiError;

/// An endpoint with its policy and its live state.
#[derive(Serialize)]
pub struct EndpointView {
    pub id: EndpointId,
    pub url: Arc<str>,
    pub origin: Arc<str>,
    /// Webhooks that send here.
    pub webhook_ids: Vec<WebhookId>,
    pub state: EndpointActivity,
    pub paused_by: Option<String>,
    pub paused_since: Option<Timestamp>,
    pub pending: u64,
    pub in_flight: u64,
    pub retrying: u64,
    pub failed: u64,
    pub delivered: u64,
    pub oldest_pending_at: Option<Timestamp>,
    pub next_attempt_at: Option<Timestamp>,
    /// What keeps due deliveries from being sent now.
    pub waiting_for: Option<Blocked>,
    pub breaker: Breaker,
    pub consecutive_failures: u32,
    pub last_success_at: Option<Timestamp>,
    pub last_error: Option<String>,
    /// Deliveries per second over the last minute.
    pub rate: f64,
    /// What ended in the last hour, as far as this process saw it.
    pub last_hour: LastHour,
    pub latency_ms: Option<Latency>,
    pub policy: Map<String, Value>,
    /// Where each value comes from: `default`, `config:<line>` or `api`.
    pub policy_origin: BTreeMap<&'static str, String>,
}

/// How much ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LastHour {
    pub delivered: u64,
    pub failed: u64,
}

impl LastHour {
    fn of(minutes: &[Minute]) -> Self {
        Self {
            delivered: minutes.iter().map(|m| u64::from(m.delivered)).sum(),
            failed: minutes.iter().map(|m| u64::from(m.failed)).sum(),
        }
    }
}

/// What keeps an endpoint from sending.
#[derive(Serialize)]
pub struct Blocked {
    pub reason: &'static str,
    pub until: Option<Timestamp>,
}

/// Milliseconds, over recent attempts.
#[derive(Serialize)]
pub struct Latency {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
}

/// `GET /api/endpoints/{id}/`
pub async fn get(_auth: Allowed<Read>, state: State, id: web::Path<u32>) -> Result<HttpResponse, ApiError> {
    show(&state, EndpointId(*id)).await
}

/// `PATCH /api/endpoints/{id}/`: policy keys, flat or below `policy`; `null` resets one.
pub async fn change(
    auth: Allowed<Admin>,
    state: State,
    id: web::Path<u32>,
    body: JsonObject,
) -> Result<HttpResponse, ApiError> {
    change_one(&state, &auth.token.name, EndpointId(*id), flat(body.0)?).await?;
    show(&state, EndpointId(*id)).await
}

/// `patch`: policy keys; `null` resets one.
pub async fn change_one(state: &State, actor: &str, id: EndpointId, patch: Map<String, Value>) -> Result<(), ApiError> {
    let endpoint = find(state, id)?.endpoint.id;
    parse_patch(&patch).map_err(ApiError::fields)?;
    let audit = audit(actor, "endpoint.update", endpoint, Value::Object(patch.clone()));
    state.store.patch_endpoint(endpoint, patch, audit).await?;
    state.dispatcher.wake(&[endpoint]);
    Ok(())
}

/// The keys below `policy` and those beside it.
fn flat(mut body: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    let nested = match body.remove("policy") {
        None => return Ok(body),
        Some(Value::Object(nested)) => nested,
        Some(_) => return Err(ApiError::field("policy", "must be an object of policy keys")),
    };
    for (key, value) in nested {
        if body.insert(key.clone(), value).is_some() {
            return Err(ApiError::field(&key, "is given twice, below \"policy\" and beside it"));
        }
    }
    Ok(body)
}

/// `POST /api/endpoints/{id}/pause/`: holds the backlog; what is in flight ends.
pub async fn pause(auth: Allowed<Operate>, state: State, id: web::Path<u32>) -> Result<HttpResponse, ApiError> {
    pause_one(&state, &auth.token.name, EndpointId(*id)).await?;
    show(&state, EndpointId(*id)).await
}

pub async fn pause_one(state: &State, actor: &str, id: EndpointId) -> Result<(), ApiError> {
    let stored = find(state, id)?;
    // A second pause keeps who paused first, and since when.
    if !matches!(stored.control, Control::Paused { .. }) {
        let control = Control::Paused { by: actor.to_owned(), since: clock::now() };
        order(state, stored.endpoint.id, control).await?;
    }
    Ok(state.store.audit(audit(actor, "endpoint.pause", stored.endpoint.id, Value::Null)).await?)
}

/// `POST /api/endpoints/{id}/resume/`: also closes the breaker now.
pub async fn resume(auth: Allowed<Operate>, state: State, id: web::Path<u32>) -> Result<HttpResponse, ApiError> {
    resume_one(&state, &auth.token.name, EndpointId(*id)).await?;
    show(&state, EndpointId(*id)).await
}

pub async fn resume_one(state: &State, actor: &str, id: EndpointId) -> Result<(), ApiError> {
    let endpoint = find(state, id)?.endpoint.id;
    order(state, endpoint, Control::Active).await?;
    Ok(state.store.audit(audit(actor, "endpoint.resume", endpoint, Value::Null)).await?)
}

async fn order(state: &State, endpoint: EndpointId, control: Control) -> Result<(), ApiError> {
    state.store.set_control(endpoint, control).await?;
    state.dispatcher.wake(&[endpoint]);
    Ok(())
}

pub fn find(state: &State, id: EndpointId) -> Result<Arc<StoredEndpoint>, ApiError> {
    let set = state.store.definitions();
    let found = set.endpoints.iter().find(|e| e.endpoint.id == id).cloned();
    found.ok_or_else(|| ApiError::not_found(format!("endpoint {id} does not exist")))
}

async fn show(state: &State, id: EndpointId) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(one(state, id).await?))
}

/// The endpoint as it is now.
pub async fn one(state: &State, id: EndpointId) -> Result<EndpointView, ApiError> {
    let stored = find(state, id)?;
    let inspection = state.dispatcher.inspect(id).await;
    Ok(view(state, &state.store.definitions(), &stored, inspection))
}

pub fn webhooks_of(set: &DefinitionSet, endpoint: &Endpoint) -> Vec<WebhookId> {
    set.webhooks.iter().filter(|w| *w.target.endpoint_key() == endpoint.url).map(|w| w.id).collect()
}

pub fn view(state: &State, set: &DefinitionSet, stored: &StoredEndpoint, live: Inspection) -> EndpointView {
    let endpoint = &stored.endpoint;
    let counts = state.store.endpoint_counts(endpoint.id);
    let (paused_by, paused_since) = match &stored.control {
        Control::Active => (None, None),
        Control::Paused { by, since } => (Some(by.clone()), Some(*since)),
        Control::Quarantined { since } => (None, Some(*since)),
    };
    EndpointView {
        id: endpoint.id,
        url: endpoint.url.clone(),
        origin: endpoint.origin.0.clone(),
        webhook_ids: webhooks_of(set, endpoint),
        state: live.activity,
        paused_by,
        paused_since,
        pending: counts.pending,
        in_flight: counts.in_flight,
        retrying: counts.retrying,
        failed: counts.failed,
        delivered: counts.delivered,
        oldest_pending_at: counts.oldest_pending_at,
        next_attempt_at: counts.next_attempt_at,
        waiting_for: live.blocked_by.map(|w| Blocked { reason: w.reason, until: w.until }),
        breaker: stored.live.breaker,
        consecutive_failures: live.consecutive_failures,
        last_success_at: live.last_success_at,
        last_error: live.last_error,
        rate: live.rate,
        last_hour: LastHour::of(&state.dispatcher.hour_of(endpoint.id)),
        latency_ms: live.latency_ms.map(|[p50, p95, p99]| Latency { p50, p95, p99 }),
        policy: to_json(&live.policy),
        policy_origin: live.policy.origins,
    }
}

fn audit(actor: &str, action: &'static str, endpoint: EndpointId, detail: Value) -> NewAudit {
    NewAudit { actor: actor.to_owned(), action, target: format!("endpoint {endpoint}"), detail }
}
