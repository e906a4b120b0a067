//! `GET /metrics`: Prometheus text. Endpoints get series of their own only while they have traffic.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use parking_lot::Mutex;

use crate::clock;
use crate::domain::breaker::Breaker;
use crate::domain::ids::EndpointId;
use crate::domain::time::Timestamp;
use crate::store::StoredEndpoint;
use crate::store::archive::EndpointCounts;
use crate::telemetry::metrics;
use crate::web::State;
use crate::web::auth::{Allowed, Read};

/// How long an endpoint is shown after its last traffic.
const SHOWN: Duration = Duration::from_secs(3_600);
/// Most endpoints that are shown, those with the latest traffic.
const MAX_ENDPOINTS: usize = 1_000;

/// Which endpoints had traffic lately, as seen from scrape to scrape.
#[derive(Default)]
pub struct Traffic {
    // Scrapes of several monitors may overlap; no actor knows all endpoints' counts.
    seen: Mutex<HashMap<EndpointId, Seen>>,
}

struct Seen {
    /// Deliveries that ended or began.
    total: u64,
    /// `None`: nothing happened since it was first looked at.
    changed_at: Option<Timestamp>,
}

impl Traffic {
    /// Takes note of the counts of all endpoints; gives those with traffic in the last hour or work waiting, the
    /// latest first.
    fn note(&self, counts: &[(EndpointId, EndpointCounts)], now: Timestamp) -> Vec<usize> {
        let mut seen = self.seen.lock();
        let mut shown = Vec::new();
        for (place, (id, counts)) in counts.iter().enumerate() {
            let open = counts.pending + counts.in_flight + counts.retrying;
            let total = counts.delivered + counts.failed + open;
            let entry = seen.entry(*id).or_insert(Seen { total, changed_at: None });
            if entry.total != total || open > 0 {
                *entry = Seen { total, changed_at: Some(now) };
            }
            if let Some(at) = entry.changed_at.filter(|at| now.since(*at) < SHOWN) {
                shown.push((std::cmp::Reverse(at), place));
            }
        }
        if seen.len() > counts.len() {
            let known: std::collections::HashSet<_> = counts.iter().map(|(id, _)| *id).collect();
            seen.retain(|id, _| known.contains(id));
        }
        shown.sort_unstable();
        shown.truncate(MAX_ENDPOINTS);
        shown.into_iter().map(|(_, place)| place).collect()
    }
}

/// `GET /metrics`
pub async fn show(_auth: Allowed<Read>, state: State) -> HttpResponse {
    let now = clock::now();
    let counts = state.store.counts();
    let unfinished: u64 = counts.by_state.iter().filter(|(s, _)| s.unfinished()).map(|(_, n)| n).sum();
    let gauge = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let age = counts.oldest_pending_at.map_or(0.0, |at| now.since(at).as_secs_f64());
    metrics().pending.set(gauge(unfinished));
    metrics().oldest_pending_seconds.set(age);
    let closed = |e: &Arc<StoredEndpoint>| matches!(e.live.breaker, Breaker::Closed);
    let breakers = state.store.definitions().endpoints.iter().filter(|e| !closed(e)).count();
    metrics().breaker_open.set(gauge(breakers as u64));
    metrics().store_bytes.set(gauge(state.store.size_bytes()));
    let mut text = metrics().render();
    text.push_str(&per_endpoint(&state, now));
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text)
}

fn per_endpoint(state: &State, now: Timestamp) -> String {
    let set = state.store.definitions();
    let ids = set.endpoints.iter().map(|e| e.endpoint.id);
    let counts: Vec<_> = ids.map(|id| (id, state.store.endpoint_counts(id))).collect();
    let shown = state.traffic.note(&counts, now);
    let rows: Vec<_> =
        shown.iter().filter_map(|i| Some((&*set.endpoints.get(*i)?.endpoint.origin.0, counts.get(*i)?))).collect();
    let mut text = String::new();
    series(&mut text, &rows, ("endpoint_pending", "gauge", "Deliveries waiting at the endpoint."), |c| c.pending);
    series(&mut text, &rows, ("endpoint_retrying", "gauge", "Deliveries between attempts."), |c| c.retrying);
    series(&mut text, &rows, ("endpoint_failed", "gauge", "Failed deliveries that are kept."), |c| c.failed);
    series(&mut text, &rows, ("endpoint_delivered", "gauge", "Delivered ones that are kept."), |c| c.delivered);
    text
}

type Described = (&'static str, &'static str, &'static str);

fn series(
    text: &mut String,
    rows: &[(&str, &(EndpointId, EndpointCounts))],
    (name, kind, help): Described,
    value: impl Fn(&EndpointCounts) -> u64,
) {
    if rows.is_empty() {
        return;
    }
    // Writing to a string cannot fail.
    let _ = write!(text, "# HELP netbox_webhookd_{name} {help}\n# TYPE netbox_webhookd_{name} {kind}\n");
    for (origin, (id, counts)) in rows {
        let origin = origin.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = writeln!(text, "netbox_webhookd_{name}{{endpoint=\"{id}\",origin=\"{origin}\"}} {}", value(counts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(delivered: u64) -> EndpointCounts {
        EndpointCounts { delivered, ..EndpointCounts::default() }
    }

    #[test]
    fn only_endpoints_with_traffic_in_the_last_hour_are_shown() {
        let traffic = Traffic::default();
        let at = Timestamp::from_secs;
        let (a, b) = (EndpointId(1), EndpointId(2));
        assert!(traffic.note(&[(a, counts(5)), (b, counts(5))], at(0)).is_empty());
        assert_eq!(traffic.note(&[(a, counts(6)), (b, counts(5))], at(60)), [0]);
        assert_eq!(traffic.note(&[(a, counts(6)), (b, counts(9))], at(120)), [1, 0]);
        assert_eq!(traffic.note(&[(a, counts(6)), (b, counts(9))], at(3_700)), [1]);
        assert!(traffic.note(&[(a, counts(6)), (b, counts(9))], at(3_800)).is_empty());
    }

    #[test]
    fn there_are_at_most_a_thousand() {
        let traffic = Traffic::default();
        let all = |n| (0..1_500).map(|id| (EndpointId(id), counts(n))).collect::<Vec<_>>();
        traffic.note(&all(1), Timestamp(0));
        assert_eq!(traffic.note(&all(2), Timestamp(1)).len(), MAX_ENDPOINTS);
    }

    #[test]
    fn a_series_is_prometheus_text() {
        let mut text = String::new();
        let row = (EndpointId(3), counts(7));
        series(&mut text, &[("https://a\"b", &row)], ("x", "gauge", "Help."), |c| c.delivered);
        let expected = "# HELP netbox_webhookd_x Help.\n# TYPE netbox_webhookd_x gauge\n\
                        netbox_webhookd_x{endpoint=\"3\",origin=\"https://a\\\"b\"} 7\n";
        assert_eq!(text, expected);
    }
}
