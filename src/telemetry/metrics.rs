//! The metrics of this process, each label resolved once: counting is one atomic addition.

use std::sync::OnceLock;

use prometheus::core::Collector;
use prometheus::{
    Counter, CounterVec, Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

use crate::domain::attempt::ErrorKind;
use crate::domain::delivery::DeliveryState;

/// Prefix of every name.
const NAMESPACE: &str = "netbox_webhookd";

/// Seconds; intake and commits.
const SHORT: [f64; 14] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Seconds; what waits for receivers.
const LONG: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0, 3_600.0];

/// Why an event was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 401 and 403.
    Unauthorized,
    /// 400, 415, 422.
    Invalid,
    /// 409.
    Conflict,
    /// 413.
    TooLarge,
    /// 503: backlog or queue is full.
    Busy,
    /// 503: the service is switched off or shutting down.
    Disabled,
    /// 503: the store does not answer or is full.
    Store,
}

impl Refusal {
    const ALL: [(Refusal, &'static str); 7] = [
        (Self::Unauthorized, "unauthorized"),
        (Self::Invalid, "invalid"),
        (Self::Conflict, "conflict"),
        (Self::TooLarge, "too_large"),
        (Self::Busy, "busy"),
        (Self::Disabled, "disabled"),
        (Self::Store, "store"),
    ];
}

/// What keeps due deliveries from starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Throttle {
    RateLimit,
    Concurrency,
    RetryAfter,
    Breaker,
    Paused,
    NodeLimit,
    OriginLimit,
    Store,
}

impl Throttle {
    const ALL: [(Throttle, &'static str); 8] = [
        (Self::RateLimit, "rate_limit"),
        (Self::Concurrency, "concurrency"),
        (Self::RetryAfter, "retry_after"),
        (Self::Breaker, "breaker"),
        (Self::Paused, "paused"),
        (Self::NodeLimit, "node_limit"),
        (Self::OriginLimit, "origin_limit"),
        (Self::Store, "store"),
    ];

    /// The one of this name, as `waiting_for` says it.
    pub fn named(reason: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, name)| *name == reason).map(|(throttle, _)| throttle)
    }
}

const FINISHED: [(DeliveryState, &str); 4] = [
    (DeliveryState::Delivered, DeliveryState::Delivered.as_str()),
    (DeliveryState::Failed, DeliveryState::Failed.as_str()),
    (DeliveryState::Superseded, DeliveryState::Superseded.as_str()),
    (DeliveryState::Canceled, DeliveryState::Canceled.as_str()),
];

/// One counter for each value of a label, found without hashing.
struct PerValue<K, C>(Vec<(K, C)>);

impl<K: Copy + PartialEq, C> PerValue<K, C> {
    fn new(values: impl IntoIterator<Item = (K, &'static str)>, counter: impl Fn(&str) -> C) -> Self {
        Self(values.into_iter().map(|(key, label)| (key, counter(label))).collect())
    }

    fn get(&self, key: K) -> Option<&C> {
        self.0.iter().find(|(known, _)| *known == key).map(|(_, counter)| counter)
    }
}

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    pub events_accepted: IntCounter,
    events_refused: PerValue<Refusal, IntCounter>,
    deliveries: PerValue<DeliveryState, IntCounter>,
    attempts: PerValue<Option<ErrorKind>, IntCounter>,
    /// Requests on their way now.
    pub in_flight: IntGauge,
    /// Undelivered deliveries; set when scraped.
    pub pending: IntGauge,
    /// Set when scraped.
    pub oldest_pending_seconds: Gauge,
    /// From the request's last byte to the answer.
    pub accept_seconds: Histogram,
    /// One group commit, fsync included.
    pub commit_seconds: Histogram,
    /// From the commit of an event to the answer of its receiver.
    pub deliver_seconds: Histogram,
    /// One request, from start to the last byte of the answer.
    pub attempt_seconds: Histogram,
    throttled_seconds: PerValue<Throttle, Counter>,
    /// Endpoints whose breaker is not closed; set when scraped.
    pub breaker_open: IntGauge,
    /// Set when scraped.
    pub store_bytes: IntGauge,
    pub store_errors: IntCounter,
}

/// The metrics of this process.
pub fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(Metrics::new)
}

impl Metrics {
    fn new() -> Self {
        let registry = Registry::new();
        let r = &registry;
        let refused = labelled(r, "events_refused_total", "Events not accepted, by reason.", "reason");
        let finished = labelled(r, "deliveries_total", "Deliveries that ended, by outcome.", "outcome");
        let attempts = labelled(r, "attempts_total", "Requests made, by what came of them.", "kind");
        let throttled = opts("throttled_seconds_total", "Time endpoints with due deliveries sent nothing, by reason.");
        let throttled = registered(r, CounterVec::new(throttled, &["reason"]));
        let kinds = ErrorKind::ALL.map(|kind| (Some(kind), kind.as_str()));
        build_info(r);
        Self {
            events_accepted: counter(r, "events_accepted_total", "Events accepted: on disk, and answered 202."),
            events_refused: PerValue::new(Refusal::ALL, |reason| refused.with_label_values(&[reason])),
            deliveries: PerValue::new(FINISHED, |outcome| finished.with_label_values(&[outcome])),
            attempts: PerValue::new([(None, "success")].into_iter().chain(kinds), |kind| {
                attempts.with_label_values(&[kind])
            }),
            in_flight: gauge(r, "in_flight", "Requests on their way now."),
            pending: gauge(r, "pending", "Deliveries waiting, in flight or between attempts."),
            oldest_pending_seconds: registered(
                r,
                Gauge::with_opts(opts("oldest_pending_seconds", "Age of the oldest undelivered delivery.")),
            ),
            accept_seconds: histogram(r, "accept_seconds", "From an intake request to its answer.", &SHORT),
            commit_seconds: histogram(r, "commit_seconds", "One commit of the store, fsync included.", &SHORT),
            deliver_seconds: histogram(r, "deliver_seconds", "From acceptance of an event to its delivery.", &LONG),
            attempt_seconds: histogram(r, "attempt_seconds", "One request to a receiver.", &LONG),
            throttled_seconds: PerValue::new(Throttle::ALL, |reason| throttled.with_label_values(&[reason])),
            breaker_open: gauge(r, "breaker_open", "Endpoints whose circuit breaker is not closed."),
            store_bytes: gauge(r, "store_bytes", "Size of the store on disk."),
            store_errors: counter(r, "store_errors_total", "Failed reads and writes of the store."),
            registry,
        }
    }

    /// Events of a request that was refused as a whole.
    pub fn events_refused(&self, reason: Refusal, events: u64) {
        if let Some(counter) = self.events_refused.get(reason) {
            counter.inc_by(events);
        }
    }

    /// Deliveries that ended so since the start.
    pub fn ended(&self, state: DeliveryState) -> u64 {
        self.deliveries.get(state).map_or(0, IntCounter::get)
    }

    /// Deliveries that reached a final state; other states are no end and count nothing.
    pub fn deliveries_ended(&self, state: DeliveryState, deliveries: u64) {
        if let Some(counter) = self.deliveries.get(state) {
            counter.inc_by(deliveries);
        }
    }

    /// One request ended; `None` is success.
    pub fn attempt_ended(&self, kind: Option<ErrorKind>) {
        if let Some(counter) = self.attempts.get(kind) {
            counter.inc();
        }
    }

    /// An endpoint with due deliveries sent nothing for so long.
    pub fn throttled(&self, reason: Throttle, time: std::time::Duration) {
        if let Some(counter) = self.throttled_seconds.get(reason) {
            counter.inc_by(time.as_secs_f64());
        }
    }

    /// Prometheus' text format.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        // Writing to memory fails for nothing but a metric without a name.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

/// Puts a metric into the registry. Names are constants of this file, each used once.
fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("names and labels of this file are valid");
    registry.register(Box::new(metric.clone())).expect("each name of this file is used once");
    metric
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    registered(registry, IntCounter::with_opts(opts(name, help)))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    registered(registry, IntGauge::with_opts(opts(name, help)))
}

fn labelled(registry: &Registry, name: &str, help: &str, label: &str) -> IntCounterVec {
    registered(registry, IntCounterVec::new(opts(name, help), &[label]))
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let opts = HistogramOpts::new(name, help).namespace(NAMESPACE).buckets(buckets.to_vec());
    registered(registry, Histogram::with_opts(opts))
}

fn build_info(registry: &Registry) {
    let opts = opts("build_info", "Always 1; the label names the version.");
    let opts = opts.const_label("version", env!("CARGO_PKG_VERSION"));
    registered(registry, IntGauge::with_opts(opts)).set(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_and_label_value_is_there_from_the_start() {
        let text = Metrics::new().render();
        for line in [
            "netbox_webhookd_events_accepted_total 0",
            "netbox_webhookd_events_refused_total{reason=\"busy\"} 0",
            "netbox_webhookd_deliveries_total{outcome=\"delivered\"} 0",
            "netbox_webhookd_attempts_total{kind=\"success\"} 0",
            "netbox_webhookd_attempts_total{kind=\"http_status\"} 0",
            "netbox_webhookd_in_flight 0",
            "netbox_webhookd_pending 0",
            "netbox_webhookd_oldest_pending_seconds 0",
            "netbox_webhookd_accept_seconds_count 0",
            "netbox_webhookd_commit_seconds_count 0",
            "netbox_webhookd_deliver_seconds_count 0",
            "netbox_webhookd_attempt_seconds_count 0",
            "netbox_webhookd_throttled_seconds_total{reason=\"retry_after\"} 0",
            "netbox_webhookd_breaker_open 0",
            "netbox_webhookd_store_bytes 0",
            "netbox_webhookd_store_errors_total 0",
            concat!("netbox_webhookd_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn what_happens_is_counted_under_its_label() {
        let metrics = Metrics::new();
        metrics.events_refused(Refusal::TooLarge, 3);
        metrics.deliveries_ended(DeliveryState::Failed, 2);
        metrics.deliveries_ended(DeliveryState::Retrying, 9);
        metrics.attempt_ended(None);
        metrics.attempt_ended(Some(ErrorKind::Dns));
        metrics.throttled(Throttle::Breaker, std::time::Duration::from_millis(1_500));
        let text = metrics.render();
        for line in [
            "events_refused_total{reason=\"too_large\"} 3",
            "deliveries_total{outcome=\"failed\"} 2",
            "attempts_total{kind=\"success\"} 1",
            "attempts_total{kind=\"dns\"} 1",
            "throttled_seconds_total{reason=\"breaker\"} 1.5",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("retrying"));
    }
}
