//! What every thread knows of how it goes: the figures of each endpoint, and how long deliveries took from their
//! acceptance on. Kept in memory since the start.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;

use super::stats::{HOUR, Stats, minute_of};
use crate::domain::ids::EndpointId;
use crate::domain::time::Timestamp;

/// Longer lags count as this, in microseconds: ten days.
const LONGEST_US: u64 = 10 * 86_400 * 1_000_000;

/// How long deliveries of the last hour took from the acceptance of their event, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Lag {
    pub p50: f64,
    pub p95: f64,
    pub max: f64,
}

/// All figures.
#[derive(Default)]
pub struct Figures {
    // Endpoints come and go with their actors, their figures stay for an hour. Locked for an instant at each outcome.
    endpoints: Mutex<HashMap<EndpointId, Arc<Mutex<Stats>>>>,
    lags: Mutex<Lags>,
}

impl Figures {
    /// Those of an endpoint, for whoever writes them.
    pub fn of(&self, endpoint: EndpointId) -> Arc<Mutex<Stats>> {
        self.endpoints.lock().entry(endpoint).or_default().clone()
    }

    /// Those of an endpoint that did something.
    pub fn look(&self, endpoint: EndpointId) -> Option<Arc<Mutex<Stats>>> {
        self.endpoints.lock().get(&endpoint).cloned()
    }

    pub fn delivered(&self, lag: Duration, now: Timestamp) {
        self.lags.lock().add(lag, now);
    }

    /// Of the last hour; `None`: nothing was delivered.
    pub fn lag(&self, now: Timestamp) -> Option<Lag> {
        self.lags.lock().sum(now)
    }

    /// Forgets endpoints that nobody writes of and that were quiet for an hour.
    pub fn forget_quiet(&self, now: Timestamp) {
        self.endpoints.lock().retain(|_, stats| Arc::strong_count(stats) > 1 || !stats.lock().is_quiet(now));
    }
}

/// Lags by minute, to two digits.
#[derive(Default)]
struct Lags {
    minutes: VecDeque<(i64, Histogram<u32>)>,
}

impl Lags {
    fn add(&mut self, lag: Duration, now: Timestamp) {
        let minute = minute_of(now);
        if self.minutes.back().is_none_or(|(last, _)| *last < minute) {
            while self.minutes.front().is_some_and(|(first, _)| *first <= minute - HOUR) {
                self.minutes.pop_front();
            }
            self.minutes.extend(empty().map(|lags| (minute, lags)));
        }
        if let Some((_, lags)) = self.minutes.back_mut() {
            let micros = u64::try_from(lag.as_micros()).unwrap_or(u64::MAX);
            lags.saturating_record(micros.clamp(1, LONGEST_US));
        }
    }

    fn sum(&self, now: Timestamp) -> Option<Lag> {
        let since = minute_of(now) - HOUR;
        let mut all = empty()?;
        for (_, lags) in self.minutes.iter().filter(|(minute, _)| *minute > since) {
            // They are of the same form.
            let _ = all.add(lags);
        }
        let seconds = |micros: u64| micros as f64 / 1e6;
        let at = |share| seconds(all.value_at_quantile(share));
        (!all.is_empty()).then(|| Lag { p50: at(0.50), p95: at(0.95), max: seconds(all.max()) })
    }
}

/// Always made: the bounds are right.
fn empty() -> Option<Histogram<u32>> {
    Histogram::new_with_max(LONGEST_US, 2).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lags_are_of_the_last_hour() {
        let figures = Figures::default();
        let start = Timestamp::from_secs(60_000);
        assert_eq!(figures.lag(start), None);
        figures.delivered(Duration::from_secs(500), start - Duration::from_secs(60));
        for ms in 1..=100 {
            figures.delivered(Duration::from_millis(ms), start);
        }
        let near = |found: f64, wanted: f64| (found - wanted).abs() <= wanted / 50.0;
        let lag = figures.lag(start).expect("some were delivered");
        assert!(near(lag.p50, 0.051) && near(lag.p95, 0.096) && near(lag.max, 500.0), "{lag:?}");
        let hour_later = start + Duration::from_secs(59 * 60);
        assert!(near(figures.lag(hour_later).expect("most are left").max, 0.1));
        assert_eq!(figures.lag(start + Duration::from_secs(3_600)), None);
        figures.delivered(Duration::from_secs(86_400 * 365), start);
        assert!(near(figures.lag(start).expect("one more").max, LONGEST_US as f64 / 1e6));
    }

    #[test]
    fn who_is_quiet_and_gone_is_forgotten() {
        let figures = Figures::default();
        let (held, quiet, busy) = (EndpointId(1), EndpointId(2), EndpointId(3));
        let _writer = figures.of(held);
        drop(figures.of(quiet));
        figures.of(busy).lock().delivered(Timestamp::from_secs(7_200));
        figures.forget_quiet(Timestamp::from_secs(7_200));
        let known = [held, quiet, busy].map(|id| figures.look(id).is_some());
        assert_eq!(known, [true, false, true]);
    }
}
