//! Live figures of one endpoint, bounded: deliveries of the last minute by second, a sample of latencies, and the last
//! hour by minute. Kept in memory since the start.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use crate::domain::attempt::{Attempt, ErrorKind, Outcome};
use crate::domain::ids::PublicId;
use crate::domain::time::Timestamp;

const SECONDS: usize = 60;
const SAMPLE: usize = 256;
const MINUTE: Duration = Duration::from_secs(60);
/// Minutes that are kept.
pub(super) const HOUR: i64 = 60;

/// What an endpoint did within one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Minute {
    /// Its first instant.
    pub since: Timestamp,
    pub attempts: u32,
    pub delivered: u32,
    pub failed: u32,
    /// Answers 429.
    pub limited: u32,
    /// Answers that asked for a pause with `Retry-After`.
    pub retry_after: u32,
    /// How often the circuit breaker opened.
    pub opened: u32,
    /// Most requests in flight at once, as seen when one ended.
    pub in_flight: u32,
    /// p50 and p95 of its attempts in microseconds, of the last 256 when there were more.
    pub latency_us: Option<[u32; 2]>,
}

/// Attempts that are remembered one by one.
const RECENT: usize = 20;

/// An attempt at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RecentAttempt {
    pub delivery_id: PublicId,
    pub number: u32,
    pub started_at: Timestamp,
    pub status_code: Option<u16>,
    pub error: Option<ErrorKind>,
    pub duration_ms: f64,
}

impl RecentAttempt {
    fn new(delivery_id: PublicId, number: u32, attempt: &Attempt) -> Self {
        Self {
            delivery_id,
            number,
            started_at: attempt.started_at,
            status_code: attempt.status(),
            error: attempt.error_kind(),
            duration_ms: attempt.timings.total.as_secs_f64() * 1_000.0,
        }
    }
}

impl Minute {
    const fn quiet(since: Timestamp) -> Self {
        Self {
            since,
            attempts: 0,
            delivered: 0,
            failed: 0,
            limited: 0,
            retry_after: 0,
            opened: 0,
            in_flight: 0,
            latency_us: None,
        }
    }
}

#[derive(Debug, Default)]
pub struct Stats {
    /// `(second, deliveries)`, a ring by second.
    seconds: Vec<(i64, u32)>,
    /// Latest latencies in microseconds, a ring.
    latencies: Vec<u32>,
    next: usize,
    /// Minutes in which anything happened, oldest first; the last one may still go on.
    minutes: VecDeque<Minute>,
    /// Newest last.
    recent: VecDeque<RecentAttempt>,
}

impl Stats {
    /// An attempt of a delivery ended, and its number; `in_flight`: requests at that moment, itself among them.
    pub fn attempted(&mut self, of: (PublicId, u32), attempt: &Attempt, in_flight: usize, now: Timestamp) {
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(RecentAttempt::new(of.0, of.1, attempt));
        let micros = u32::try_from(attempt.timings.total.as_micros()).unwrap_or(u32::MAX);
        let minute = self.minute(now);
        minute.attempts += 1;
        minute.in_flight = minute.in_flight.max(u32::try_from(in_flight).unwrap_or(u32::MAX));
        if let Outcome::Answered { status, retry_after } = attempt.outcome {
            minute.limited += u32::from(status == 429);
            minute.retry_after += u32::from(retry_after.is_some());
        }
        if self.latencies.len() < SAMPLE {
            self.latencies.push(micros);
        } else {
            self.latencies[self.next] = micros;
        }
        self.next = (self.next + 1) % SAMPLE;
    }

    pub fn delivered(&mut self, now: Timestamp) {
        self.minute(now).delivered += 1;
        if self.seconds.is_empty() {
            self.seconds = vec![(0, 0); SECONDS];
        }
        let second = now.as_secs();
        let slot = &mut self.seconds[second.rem_euclid(SECONDS as i64) as usize];
        if slot.0 != second {
            *slot = (second, 0);
        }
        slot.1 += 1;
    }

    pub fn failed(&mut self, deliveries: u32, now: Timestamp) {
        self.minute(now).failed += deliveries;
    }

    pub fn breaker_opened(&mut self, now: Timestamp) {
        self.minute(now).opened += 1;
    }

    /// The latest attempts, newest first.
    pub fn recent(&self) -> Vec<RecentAttempt> {
        self.recent.iter().rev().copied().collect()
    }

    /// Deliveries per second over the last minute.
    pub fn rate(&self, now: Timestamp) -> f64 {
        let since = now.as_secs() - SECONDS as i64;
        let recent: u32 = self.seconds.iter().filter(|(second, _)| *second > since).map(|(_, n)| n).sum();
        f64::from(recent) / SECONDS as f64
    }

    /// p50, p95 and p99 of the latest attempts in milliseconds.
    pub fn latency_ms(&self) -> Option<[f64; 3]> {
        let at = quantiles(self.latencies.clone())?;
        Some([0.50, 0.95, 0.99].map(|share| f64::from(at(share)) / 1_000.0))
    }

    /// The last hour, minute by minute without gaps, from the first in which anything happened to the one that goes on;
    /// empty when nothing happened.
    pub fn hour(&self, now: Timestamp) -> Vec<Minute> {
        let this = minute_of(now);
        let mut kept = self.minutes.iter().filter(|m| minute_of(m.since) > this - HOUR).peekable();
        let Some(first) = kept.peek().map(|m| minute_of(m.since)) else { return Vec::new() };
        let going_on = self.minutes.back().map(|m| m.since);
        (first..=this)
            .map(|minute| match kept.next_if(|m| minute_of(m.since) == minute) {
                Some(m) if Some(m.since) == going_on => Minute { latency_us: self.latency_of(m.attempts), ..*m },
                Some(m) => *m,
                None => Minute::quiet(start_of(minute)),
            })
            .collect()
    }

    /// Nothing happened within the last hour.
    pub fn is_quiet(&self, now: Timestamp) -> bool {
        self.minutes.back().is_none_or(|m| minute_of(m.since) <= minute_of(now) - HOUR)
    }

    /// The minute that goes on now.
    fn minute(&mut self, now: Timestamp) -> &mut Minute {
        let this = minute_of(now);
        if self.minutes.back().is_none_or(|m| minute_of(m.since) < this) {
            let attempts = self.minutes.back().map(|m| m.attempts);
            let latency = attempts.and_then(|n| self.latency_of(n));
            if let Some(ended) = self.minutes.back_mut() {
                ended.latency_us = latency;
            }
            while self.minutes.front().is_some_and(|m| minute_of(m.since) <= this - HOUR) {
                self.minutes.pop_front();
            }
            self.minutes.push_back(Minute::quiet(start_of(this)));
        }
        // A clock that was set back counts on in the latest one.
        let last = self.minutes.len() - 1;
        &mut self.minutes[last]
    }

    /// p50 and p95 of the last `attempts`, as far as they are kept.
    fn latency_of(&self, attempts: u32) -> Option<[u32; 2]> {
        let wanted = (attempts as usize).min(self.latencies.len());
        let newest_first = self.latencies[..self.next].iter().rev().chain(self.latencies[self.next..].iter().rev());
        let at = quantiles(newest_first.take(wanted).copied().collect())?;
        Some([at(0.50), at(0.95)])
    }
}

/// Which minute an instant lies in, counted from the epoch.
pub(super) fn minute_of(at: Timestamp) -> i64 {
    at.as_secs().div_euclid(MINUTE.as_secs() as i64)
}

fn start_of(minute: i64) -> Timestamp {
    Timestamp::from_secs(minute * MINUTE.as_secs() as i64)
}

/// The value at a share of all, by nearest rank; `None`: there are none.
fn quantiles(mut values: Vec<u32>) -> Option<impl Fn(f64) -> u32> {
    values.sort_unstable();
    let last = values.len().checked_sub(1)?;
    Some(move |share: f64| values[(last as f64 * share).round() as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_delivery() -> (PublicId, u32) {
        (crate::domain::ids::EventSeq(1).public(Timestamp(0)), 1)
    }

    fn attempt(status: u16, ms: u64, retry_after: Option<Duration>) -> Attempt {
        let outcome = Outcome::Answered { status, retry_after };
        let mut attempt = crate::dispatch::attempt::not_sent(outcome, String::new(), Timestamp(0), 1, "".into());
        attempt.timings.total = Duration::from_millis(ms);
        attempt
    }

    #[test]
    fn a_minute_later_nothing_counts() {
        let mut stats = Stats::default();
        let start = Timestamp::from_secs(1_000);
        (0..120).for_each(|_| stats.delivered(start));
        assert_eq!(stats.rate(start), 2.0);
        assert_eq!(stats.rate(start + Duration::from_secs(61)), 0.0);
    }

    #[test]
    fn the_latest_attempts_are_remembered_newest_first() {
        let mut stats = Stats::default();
        for n in 0..50 {
            let (delivery, _) = some_delivery();
            stats.attempted((delivery, n), &attempt(500, 10, None), 1, Timestamp(0));
        }
        let recent = stats.recent();
        assert_eq!((recent.len(), recent[0].number, recent[RECENT - 1].number), (RECENT, 49, 30));
        assert_eq!((recent[0].status_code, recent[0].error), (Some(500), Some(ErrorKind::HttpStatus)));
        assert_eq!(recent[0].duration_ms, 10.0);
    }

    #[test]
    fn percentiles_are_of_the_sample() {
        let mut stats = Stats::default();
        (1..=100).for_each(|ms| stats.attempted(some_delivery(), &attempt(200, ms, None), 1, Timestamp(0)));
        assert_eq!(stats.latency_ms(), Some([51.0, 95.0, 99.0]));
    }

    #[test]
    fn an_hour_is_told_minute_by_minute_without_gaps() {
        let mut stats = Stats::default();
        let minute = |n: i64| Timestamp::from_secs(6_000 + 60 * n);
        stats.attempted(some_delivery(), &attempt(200, 10, None), 3, minute(0));
        stats.delivered(minute(0));
        stats.attempted(some_delivery(), &attempt(429, 20, Some(MINUTE)), 2, minute(2));
        stats.breaker_opened(minute(2));
        stats.failed(4, minute(2));
        let hour = stats.hour(minute(3));
        let seen: Vec<_> = hour.iter().map(|m| (m.attempts, m.delivered, m.in_flight, m.latency_us)).collect();
        let quiet = (0, 0, 0, None);
        assert_eq!(seen, [(1, 1, 3, Some([10_000; 2])), quiet, (1, 0, 2, Some([20_000; 2])), quiet]);
        assert_eq!(hour[2], Minute { failed: 4, limited: 1, retry_after: 1, opened: 1, ..hour[2] });
        assert!(hour.iter().zip(0..).all(|(m, n)| m.since == minute(n)));
    }

    #[test]
    fn what_is_older_than_an_hour_is_forgotten() {
        let mut stats = Stats::default();
        for minute in 0..200 {
            stats.delivered(Timestamp::from_secs(60 * minute));
        }
        let last = Timestamp::from_secs(60 * 199);
        assert_eq!((stats.hour(last).len(), stats.minutes.len()), (60, 60));
        let later = last + MINUTE * 60;
        assert!(stats.hour(later).is_empty() && stats.is_quiet(later));
        assert!(!stats.is_quiet(later - MINUTE));
    }

    #[test]
    fn the_latency_of_a_minute_is_of_its_own_attempts() {
        let mut stats = Stats::default();
        (0..300).for_each(|_| stats.attempted(some_delivery(), &attempt(200, 900, None), 1, Timestamp(0)));
        let next = Timestamp(0) + MINUTE;
        (0..3).for_each(|_| stats.attempted(some_delivery(), &attempt(200, 5, None), 1, next));
        let hour = stats.hour(next);
        assert_eq!((hour[0].latency_us, hour[1].latency_us), (Some([900_000; 2]), Some([5_000; 2])));
    }
}
