//! How many events came in and deliveries went out per second, over the last minute.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;

use super::State;
use crate::clock;
use crate::domain::time::Timestamp;
use crate::telemetry::metrics;

const WINDOW: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(1);

/// Counters that only rise, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    pub accepted: u64,
    pub delivered: u64,
}

impl Sample {
    /// The counters of this process.
    pub fn now() -> Self {
        let metrics = metrics();
        Self { accepted: metrics.events_accepted.get(), delivered: metrics.deliver_seconds.get_sample_count() }
    }
}

/// Samples of the last minute.
#[derive(Default)]
pub struct Rates {
    // Written once a second, read by the status page; no actor owns the counters.
    samples: Mutex<VecDeque<(Timestamp, Sample)>>,
}

impl Rates {
    pub fn add(&self, now: Timestamp, sample: Sample) {
        let mut samples = self.samples.lock();
        samples.push_back((now, sample));
        while samples.front().is_some_and(|(at, _)| now.since(*at) > WINDOW) {
            samples.pop_front();
        }
    }

    /// Events in and deliveries out per second since the oldest sample; zero while there is none.
    pub fn per_second(&self, now: Timestamp, current: Sample) -> (f64, f64) {
        let Some((at, oldest)) = self.samples.lock().front().copied() else { return (0.0, 0.0) };
        // The first second would divide by next to nothing.
        let seconds = now.since(at).as_secs_f64().max(1.0);
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        (rate(current.accepted, oldest.accepted), rate(current.delivered, oldest.delivered))
    }
}

/// Samples once a second for as long as anyone else holds the state.
pub fn sample_until_dropped(state: &State) {
    let weak = std::sync::Arc::downgrade(&state.clone().into_inner());
    actix_web::rt::spawn(async move {
        let mut tick = actix_web::rt::time::interval(EVERY);
        loop {
            tick.tick().await;
            let Some(state) = weak.upgrade() else { return };
            state.rates.add(clock::now(), Sample::now());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_last_minute() {
        let rates = Rates::default();
        let sample = |n| Sample { accepted: n, delivered: 2 * n };
        assert_eq!(rates.per_second(Timestamp(0), sample(5)), (0.0, 0.0));
        for s in 0..=120 {
            // Ten a second in the first minute, one a second in the next.
            let n = if s <= 60 { 10 * s } else { 540 + s };
            rates.add(Timestamp::from_secs(s as i64), sample(n));
        }
        assert_eq!(rates.per_second(Timestamp::from_secs(120), sample(660)), (1.0, 2.0));
    }
}
