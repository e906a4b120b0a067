//! What an endpoint did, and what holds it up: `/api/endpoints/{id}/history/`, `…/attempts/` and `…/blocked/`.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use serde_json::json;

use super::delivery_view::{DeliveryView, Surroundings};
use super::endpoints::find;
use crate::dispatch::Minute;
use crate::domain::ids::EndpointId;
use crate::domain::time::Timestamp;
use crate::store::archive::BlockedKey;
use crate::web::State;
use crate::web::auth::{Allowed, Read};
use crate::web::error::ApiError;

/// Keys that are told at once.
const KEYS: usize = 100;

/// A minute.
#[derive(Serialize)]
struct MinuteView {
    since: Timestamp,
    attempts: u32,
    delivered: u32,
    failed: u32,
    /// Answers 429.
    limited: u32,
    /// Answers with `Retry-After`.
    retry_after: u32,
    breaker_opened: u32,
    in_flight_max: u32,
    latency_ms: Option<LatencyView>,
}

#[derive(Serialize)]
struct LatencyView {
    p50: f64,
    p95: f64,
}

impl From<Minute> for MinuteView {
    fn from(minute: Minute) -> Self {
        let ms = |micros: u32| f64::from(micros) / 1_000.0;
        Self {
            since: minute.since,
            attempts: minute.attempts,
            delivered: minute.delivered,
            failed: minute.failed,
            limited: minute.limited,
            retry_after: minute.retry_after,
            breaker_opened: minute.opened,
            in_flight_max: minute.in_flight,
            latency_ms: minute.latency_us.map(|[p50, p95]| LatencyView { p50: ms(p50), p95: ms(p95) }),
        }
    }
}

/// `GET /api/endpoints/{id}/history/`: the last hour, minute by minute, as far as this process saw it.
pub async fn history(_auth: Allowed<Read>, state: State, id: web::Path<u32>) -> Result<HttpResponse, ApiError> {
    let endpoint = find(&state, EndpointId(*id))?.endpoint.id;
    let minutes: Vec<_> = state.dispatcher.hour_of(endpoint).into_iter().map(MinuteView::from).collect();
    Ok(HttpResponse::Ok().json(json!({ "count": minutes.len(), "results": minutes })))
}

/// `GET /api/endpoints/{id}/attempts/`: the latest ones of all its deliveries, newest first, as far as this process made them.
pub async fn attempts(_auth: Allowed<Read>, state: State, id: web::Path<u32>) -> Result<HttpResponse, ApiError> {
    let endpoint = find(&state, EndpointId(*id))?.endpoint.id;
    let attempts = state.dispatcher.recent_attempts(endpoint);
    Ok(HttpResponse::Ok().json(json!({ "count": attempts.len(), "results": attempts })))
}

/// A delivery that holds up its key.
#[derive(Serialize)]
struct BlockedView {
    head: DeliveryView,
    /// How many wait behind it.
    behind: u64,
}

/// `GET /api/endpoints/{id}/blocked/`: ordering keys that an attempt holds up, those with most behind them first.
pub async fn blocked(_auth: Allowed<Read>, state: State, id: web::Path<u32>) -> Result<HttpResponse, ApiError> {
    let endpoint = find(&state, EndpointId(*id))?.endpoint.id;
    let keys = state.store.blocked(endpoint, KEYS).await?;
    let heads: Vec<_> = keys.iter().map(|key| key.head.clone()).collect();
    let around = Surroundings::of(&state, &heads).await;
    let view = |BlockedKey { head, behind }| BlockedView { head: around.view(head), behind };
    let results: Vec<_> = keys.into_iter().map(view).collect();
    Ok(HttpResponse::Ok().json(json!({ "count": results.len(), "results": results })))
}
