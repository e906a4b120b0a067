//! Deliveries, attempts and events as JSON.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::waiting::{Circumstances, WaitingFor, waiting_for};
use crate::clock;
use crate::dispatch::Inspection;
use crate::domain::attempt::{Attempt, ErrorKind};
use crate::domain::delivery::DeliveryState;
use crate::domain::endpoint::Control;
use crate::domain::event::EventType;
use crate::domain::ids::{EndpointId, PublicId, WebhookId};
use crate::domain::time::Timestamp;
use crate::domain::webhook::Webhook;
use crate::store::Health;
use crate::store::archive::{AttemptRow, DeliveryRow, EventRow};
use crate::web::AppState;

/// An event as lists show it.
#[derive(Debug, Serialize)]
pub struct EventView {
    pub id: PublicId,
    pub event: EventType,
    pub model: String,
    pub object_id: Option<String>,
    pub request_id: Option<String>,
    pub received_at: Timestamp,
    /// How many deliveries it got.
    pub deliveries: u32,
}

impl From<EventRow> for EventView {
    fn from(row: EventRow) -> Self {
        Self {
            id: row.id,
            event: row.event_type,
            model: row.model,
            object_id: row.object_id,
            request_id: row.request_id,
            received_at: row.received_at,
            deliveries: row.deliveries,
        }
    }
}

/// A delivery as lists show it, with its event in more or less detail.
#[derive(Debug, Serialize)]
pub struct DeliveryView<E = EventView> {
    pub id: PublicId,
    pub status: DeliveryState,
    pub webhook_id: WebhookId,
    pub endpoint_id: EndpointId,
    pub event_id: PublicId,
    pub model: String,
    pub object_id: Option<String>,
    pub request_id: Option<String>,
    pub created: Timestamp,
    pub event: E,
    /// Attempts ever made.
    pub attempt_count: u32,
    pub next_attempt_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// Of the last attempt, as `error` and `latency_ms`.
    pub status_code: Option<u16>,
    pub error: Option<ErrorKind>,
    pub latency_ms: Option<f64>,
    pub superseded_by: Option<PublicId>,
    pub resend_of: Option<PublicId>,
    pub test: bool,
    pub waiting_for: Option<WaitingFor>,
}

/// What the rows of one answer have around them, read once for all.
pub struct Surroundings {
    service_enabled: bool,
    health: Health,
    webhooks: HashMap<WebhookId, Arc<Webhook>>,
    controls: HashMap<EndpointId, Control>,
    inspections: HashMap<EndpointId, Inspection>,
    now: Timestamp,
}

impl Surroundings {
    /// Asks the endpoints at which some of `rows` wait.
    pub async fn of(state: &AppState, rows: &[DeliveryRow]) -> Self {
        let mut endpoints: Vec<_> = rows.iter().filter(|r| r.state.unfinished()).map(|r| r.endpoint).collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        let inspections = join_all(endpoints.iter().map(|id| state.dispatcher.inspect(*id))).await;
        let definitions = state.store.definitions();
        let waits = |id: &EndpointId| endpoints.binary_search(id).is_ok();
        let controls = definitions.endpoints.iter().filter(|e| waits(&e.endpoint.id));
        Self {
            service_enabled: state.config().webhooks.enabled,
            health: state.store.health(),
            webhooks: definitions.webhooks.iter().map(|w| (w.id, w.clone())).collect(),
            controls: controls.map(|e| (e.endpoint.id, e.control.clone())).collect(),
            inspections: endpoints.into_iter().zip(inspections).collect(),
            now: clock::now(),
        }
    }

    pub fn view(&self, row: DeliveryRow) -> DeliveryView {
        let event = row.event.clone().into();
        self.view_with(row, event)
    }

    pub fn view_with<E>(&self, row: DeliveryRow, event: E) -> DeliveryView<E> {
        DeliveryView {
            waiting_for: self.waiting_for(&row),
            id: row.public_id,
            status: row.state,
            webhook_id: row.webhook,
            endpoint_id: row.endpoint,
            event_id: row.event.id,
            model: row.event.model,
            object_id: row.event.object_id,
            request_id: row.event.request_id,
            created: row.created_at,
            event,
            attempt_count: row.attempts,
            next_attempt_at: row.next_attempt_at,
            finished_at: row.finished_at,
            status_code: row.status_code,
            error: row.error,
            latency_ms: row.latency.map(millis),
            superseded_by: row.superseded_by,
            resend_of: row.resend_of,
            test: row.test,
        }
    }

    pub fn waiting_for(&self, row: &DeliveryRow) -> Option<WaitingFor> {
        let circumstances = Circumstances {
            service_enabled: self.service_enabled,
            health: &self.health,
            webhook: self.webhooks.get(&row.webhook).map(|w| &**w),
            control: self.controls.get(&row.endpoint).unwrap_or(&Control::Active),
            inspection: self.inspections.get(&row.endpoint),
            now: self.now,
        };
        waiting_for(row, circumstances)
    }
}

/// One attempt.
#[derive(Debug, Serialize)]
pub struct AttemptView {
    pub number: u32,
    pub started_at: Timestamp,
    pub duration_ms: f64,
    pub status_code: Option<u16>,
    pub error: Option<ErrorKind>,
    pub detail: Option<String>,
    pub url: Arc<str>,
    pub remote_address: Option<std::net::SocketAddr>,
    pub timings_ms: TimingsView,
    /// Of the webhook it was made from.
    pub webhook_revision: u32,
    pub response_headers: Headers,
    /// What is not UTF-8 is replaced.
    pub response_excerpt: String,
    pub response_truncated: bool,
}

/// `null` where a step did not happen.
#[derive(Debug, Serialize)]
pub struct TimingsView {
    pub dns: Option<f64>,
    pub connect: Option<f64>,
    pub tls: Option<f64>,
    pub first_byte: Option<f64>,
    pub total: f64,
}

impl AttemptView {
    pub fn new(number: u32, attempt: Attempt) -> Self {
        let timings = attempt.timings;
        Self {
            number,
            started_at: attempt.started_at,
            duration_ms: millis(timings.total),
            status_code: attempt.status(),
            error: attempt.error_kind(),
            timings_ms: TimingsView {
                dns: timings.dns.map(millis),
                connect: timings.connect.map(millis),
                tls: timings.tls.map(millis),
                first_byte: timings.first_byte.map(millis),
                total: millis(timings.total),
            },
            webhook_revision: attempt.revision,
            response_headers: Headers::from_lines(attempt.response_headers.as_deref().unwrap_or("")),
            response_excerpt: String::from_utf8_lossy(&attempt.response_excerpt).into_owned(),
            response_truncated: attempt.response_truncated,
            detail: attempt.detail,
            url: attempt.url,
            remote_address: attempt.remote_address,
        }
    }
}

impl From<AttemptRow> for AttemptView {
    fn from(row: AttemptRow) -> Self {
        Self::new(row.number, row.attempt)
    }
}

/// Header fields as a JSON object in the order they came; a repeated name's values are joined.
///
/// # Source
/// RFC 9110 §5.2: joining with a comma means the same.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut headers: Vec<(String, String)> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for (name, value) in pairs {
            match places.get(&name.to_ascii_lowercase()).and_then(|i| headers.get_mut(*i)) {
                Some((_, joined)) => {
                    joined.push_str(", ");
                    joined.push_str(&value);
                }
                None => {
                    places.insert(name.to_ascii_lowercase(), headers.len());
                    headers.push((name, value));
                }
            }
        }
        Self(headers)
    }

    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// From `Name: value` lines.
    pub fn from_lines(lines: &str) -> Self {
        let split = |line: &str| line.split_once(':').map(|(n, v)| (n.trim().to_owned(), v.trim().to_owned()));
        Self::new(lines.lines().filter_map(split))
    }
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Milliseconds with microseconds behind the point.
pub fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_keep_their_order_and_repeated_ones_are_joined() {
        let headers = Headers::from_lines("Server: x\nvia: a\nVia: b\nEmpty:\n");
        let json = serde_json::to_string(&headers).expect("a map of strings");
        assert_eq!(json, r#"{"Server":"x","via":"a, b","Empty":""}"#);
    }
}
