//! How many events came in and deliveries went out: per second over the last minute, and the last hour for a chart.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use super::State;
use crate::clock;
use crate::domain::delivery::DeliveryState;
use crate::domain::time::Timestamp;
use crate::telemetry::metrics;

const WINDOW: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(1);
/// Time between two points of the chart.
pub const STEP: Duration = Duration::from_secs(10);
/// Points that are kept: an hour.
const POINTS: usize = 360;

/// Counters that only rise, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sample {
    pub accepted: u64,
    pub delivered: u64,
    pub failed: u64,
}

impl Sample {
    /// The counters of this process.
    pub fn now() -> Self {
        let metrics = metrics();
        Self {
            accepted: metrics.events_accepted.get(),
            delivered: metrics.deliver_seconds.get_sample_count(),
            failed: metrics.ended(DeliveryState::Failed),
        }
    }
}

/// Samples of the last minute.
#[derive(Default)]
pub struct Rates {
    // Written once a second, read by the status page; no actor owns the counters.
    samples: Mutex<VecDeque<(Timestamp, Sample)>>,
    // The same every ten seconds for an hour.
    hour: Mutex<VecDeque<(Timestamp, Sample)>>,
}

/// What happened within one [`STEP`] that ended then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Point {
    pub until: Timestamp,
    #[serde(flatten)]
    pub happened: Sample,
}

impl Rates {
    pub fn add(&self, now: Timestamp, sample: Sample) {
        let mut samples = self.samples.lock();
        samples.push_back((now, sample));
        while samples.front().is_some_and(|(at, _)| now.since(*at) > WINDOW) {
            samples.pop_front();
        }
        drop(samples);
        let mut hour = self.hour.lock();
        if hour.back().is_none_or(|(at, _)| now.since(*at) >= STEP) {
            hour.push_back((now, sample));
            if hour.len() > POINTS + 1 {
                hour.pop_front();
            }
        }
    }

    /// What happened in the last hour, or since the start.
    pub fn in_hour(&self, current: Sample) -> Sample {
        let oldest = self.hour.lock().front().map_or_else(Sample::default, |(_, sample)| *sample);
        Sample {
            accepted: current.accepted.saturating_sub(oldest.accepted),
            delivered: current.delivered.saturating_sub(oldest.delivered),
            failed: current.failed.saturating_sub(oldest.failed),
        }
    }

    /// The last hour, oldest first.
    pub fn hour(&self) -> Vec<Point> {
        let hour = self.hour.lock();
        let pairs = hour.iter().zip(hour.iter().skip(1));
        let between = |(before, after): (&(Timestamp, Sample), &(Timestamp, Sample))| Point {
            until: after.0,
            happened: Sample {
                accepted: after.1.accepted.saturating_sub(before.1.accepted),
                delivered: after.1.delivered.saturating_sub(before.1.delivered),
                failed: after.1.failed.saturating_sub(before.1.failed),
            },
        };
        pairs.map(between).collect()
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
        let sample = |n| Sample { accepted: n, delivered: 2 * n, failed: 0 };
        assert_eq!(rates.per_second(Timestamp(0), sample(5)), (0.0, 0.0));
        for s in 0..=120 {
            // Ten a second in the first minute, one a second in the next.
            let n = if s <= 60 { 10 * s } else { 540 + s };
            rates.add(Timestamp::from_secs(s as i64), sample(n));
        }
        assert_eq!(rates.per_second(Timestamp::from_secs(120), sample(660)), (1.0, 2.0));
    }

    #[test]
    fn an_hour_is_kept_in_steps_of_ten_seconds() {
        let rates = Rates::default();
        for s in 0..=7_200u64 {
            rates.add(Timestamp::from_secs(s as i64), Sample { accepted: 3 * s, delivered: s, failed: s / 10 });
        }
        let hour = rates.hour();
        assert_eq!(hour.len(), POINTS);
        assert!(hour.iter().all(|p| p.happened == Sample { accepted: 30, delivered: 10, failed: 1 }));
        assert_eq!(hour.last().map(|p| p.until), Some(Timestamp::from_secs(7_200)));
    }
}
