//! The service at a glance: `/api/status/`.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use serde::Serialize;
use serde_json::json;

use crate::clock;
use crate::config::NetboxVersion;
use crate::dispatch::Lag;
use crate::domain::delivery::DeliveryState;
use crate::domain::time::Timestamp;
use crate::intake::board::SourceStatus;
use crate::store::Health;
use crate::web::State;
use crate::web::auth::{Allowed, Read};
use crate::web::error::ApiError;
use crate::web::rates::Sample;

/// The whole answer.
#[derive(Serialize)]
pub struct Status {
    pub version: &'static str,
    pub started_at: Timestamp,
    pub uptime_seconds: u64,
    /// `webhooks.enabled`.
    pub enabled: bool,
    pub store: StoreView,
    pub events: u64,
    /// Deliveries by state, all states named.
    pub deliveries: BTreeMap<&'static str, u64>,
    pub webhooks: usize,
    pub endpoints: usize,
    /// Events in and deliveries out per second, over the last minute.
    pub intake_rate: f64,
    pub delivery_rate: f64,
    /// What happened in the last hour, or since the start.
    pub last_hour: Sample,
    /// From acceptance to delivery over the last hour; `null` when nothing was delivered.
    pub lag_seconds: Option<Lag>,
    pub oldest_pending_at: Option<Timestamp>,
    /// Age of the oldest undelivered delivery; 0 when there is none.
    pub backlog_age_seconds: f64,
    /// Sources of events other than requests: what keeps each from taking them, and how many it took.
    pub intake: BTreeMap<&'static str, SourceStatus>,
    /// Whose bodies `payload_format = "netbox"` writes.
    pub netbox_version: String,
    pub nodes: [Node; 1],
}

/// The store.
#[derive(Serialize)]
pub struct StoreView {
    pub backend: &'static str,
    pub health: &'static str,
    pub detail: Option<String>,
    pub size_bytes: u64,
}

/// One process; several come with the Redis store.
#[derive(Serialize)]
pub struct Node {
    pub id: u32,
    pub version: &'static str,
    pub state: &'static str,
    pub started_at: Timestamp,
}

/// `GET /api/status/`
pub async fn show(_auth: Allowed<Read>, state: State) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(now(&state)))
}

/// `GET /api/status/history/`: the last hour in steps of ten seconds, or since the start.
pub async fn history(_auth: Allowed<Read>, state: State) -> HttpResponse {
    let points = state.rates.hour();
    HttpResponse::Ok().json(json!({ "count": points.len(), "results": points }))
}

/// The service as it is now.
pub fn now(state: &State) -> Status {
    let now = clock::now();
    let counts = state.store.counts();
    let definitions = state.store.definitions();
    let (intake_rate, delivery_rate) = state.rates_at(now);
    let NetboxVersion(major, minor) = state.dispatcher.netbox_version();
    let uptime = clock::uptime();
    let (version, started_at) = (env!("CARGO_PKG_VERSION"), now - uptime);
    let number = |state: DeliveryState| counts.by_state.get(&state).copied().unwrap_or(0);
    Status {
        version,
        started_at,
        uptime_seconds: uptime.as_secs(),
        enabled: state.config().webhooks.enabled,
        store: store(state),
        events: counts.events,
        deliveries: DeliveryState::ALL.into_iter().map(|s| (s.as_str(), number(s))).collect(),
        webhooks: definitions.webhooks.len(),
        endpoints: definitions.endpoints.len(),
        intake_rate,
        delivery_rate,
        last_hour: state.rates.in_hour(Sample::now()),
        lag_seconds: state.dispatcher.lag(),
        oldest_pending_at: counts.oldest_pending_at,
        backlog_age_seconds: counts.oldest_pending_at.map_or(0.0, |at| now.since(at).as_secs_f64()),
        intake: state.sources.all(),
        netbox_version: format!("{major}.{minor}"),
        nodes: [Node { id: 0, version, state: "active", started_at }],
    }
}

fn store(state: &State) -> StoreView {
    let (health, detail) = match state.store.health() {
        Health::Ok => ("ok", None),
        Health::Full(reason) => ("full", Some(reason)),
        Health::Failed(reason) => ("failed", Some(reason)),
    };
    StoreView { backend: "embedded", health, detail, size_bytes: state.store.size_bytes() }
}
