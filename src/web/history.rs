//! How many deliveries of each endpoint ended, minute by minute, over the last hour. Since the start; not kept on disk.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;

use super::AppState;
use crate::clock;
use crate::domain::ids::EndpointId;
use crate::domain::time::Timestamp;

/// Time between two samples.
pub const EVERY: Duration = Duration::from_secs(60);
/// Minutes that are kept.
const KEPT: usize = 60;

/// What ended within one minute that ended then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minute {
    pub until: Timestamp,
    pub delivered: u64,
    pub failed: u64,
}

/// The counters of an endpoint, and how they rose.
#[derive(Debug, Default)]
struct Line {
    delivered: u64,
    failed: u64,
    minutes: VecDeque<Minute>,
}

/// The last hour of all endpoints that had any traffic in it.
#[derive(Debug, Default)]
pub struct History {
    // Written once a minute, read by pages; no actor owns the counters.
    lines: Mutex<HashMap<EndpointId, Line>>,
    last: Mutex<Option<Timestamp>>,
}

impl History {
    /// Takes a sample if the last one is a minute old.
    pub fn sample(&self, state: &AppState) {
        let now = clock::now();
        let before = {
            let mut last = self.last.lock();
            if last.is_some_and(|at| now.since(at) < EVERY) {
                return;
            }
            last.replace(now)
        };
        let definitions = state.store.definitions();
        let counts = definitions.endpoints.iter().map(|stored| {
            let counts = state.store.endpoint_counts(stored.endpoint.id);
            (stored.endpoint.id, counts.delivered, counts.failed)
        });
        self.add(now, counts.collect(), before.is_none());
    }

    /// `counts`: delivered and failed of every endpoint there is. `first`: what they are now nobody knows since when.
    fn add(&self, now: Timestamp, counts: Vec<(EndpointId, u64, u64)>, first: bool) {
        let mut lines = self.lines.lock();
        for (endpoint, delivered, failed) in counts {
            let line = lines.entry(endpoint).or_default();
            // A retry takes one from the failed.
            let rose = |now: u64, then: u64| if first { 0 } else { now.saturating_sub(then) };
            let minute =
                Minute { until: now, delivered: rose(delivered, line.delivered), failed: rose(failed, line.failed) };
            (line.delivered, line.failed) = (delivered, failed);
            // A quiet endpoint costs nothing: leading minutes without anything are not kept.
            if !line.minutes.is_empty() || minute.delivered + minute.failed > 0 {
                line.minutes.push_back(minute);
            }
            while line.minutes.front().is_some_and(|m| now.since(m.until) >= EVERY * KEPT as u32) {
                line.minutes.pop_front();
            }
            if line.minutes.iter().all(|m| m.delivered + m.failed == 0) {
                line.minutes.clear();
            }
        }
    }

    /// The last hour of an endpoint, oldest first; empty when nothing ended in it.
    pub fn of(&self, endpoint: EndpointId) -> Vec<Minute> {
        self.lines.lock().get(&endpoint).map(|line| line.minutes.iter().copied().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept_and_quiet_endpoints_cost_nothing() {
        let history = History::default();
        let (busy, quiet) = (EndpointId(1), EndpointId(2));
        for minute in 0..=100u64 {
            let now = Timestamp::from_secs(60 * minute as i64);
            history.add(now, vec![(busy, 1_000 + 5 * minute, 2 * minute), (quiet, 7, 7)], minute == 0);
        }
        let hour = history.of(busy);
        assert_eq!(hour.len(), KEPT);
        assert!(hour.iter().all(|m| (m.delivered, m.failed) == (5, 2)));
        assert!(history.of(quiet).is_empty());
        for minute in 101..=161 {
            history.add(Timestamp::from_secs(60 * minute), vec![(busy, 1_500, 100)], false);
        }
        assert!(history.of(busy).is_empty(), "after a quiet hour nothing is kept");
    }
}
