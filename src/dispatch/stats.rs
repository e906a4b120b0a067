//! Live figures of one endpoint, bounded: deliveries of the last minute by second, and a sample of latencies.

use std::time::Duration;

use crate::domain::time::Timestamp;

const SECONDS: usize = 60;
const SAMPLE: usize = 256;

#[derive(Debug, Default)]
pub struct Stats {
    /// `(second, deliveries)`, a ring by second.
    seconds: Vec<(i64, u32)>,
    /// Latest latencies in microseconds, a ring.
    latencies: Vec<u32>,
    next: usize,
}

impl Stats {
    pub fn delivered(&mut self, now: Timestamp) {
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

    pub fn took(&mut self, latency: Duration) {
        let micros = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        if self.latencies.len() < SAMPLE {
            self.latencies.push(micros);
        } else {
            self.latencies[self.next] = micros;
        }
        self.next = (self.next + 1) % SAMPLE;
    }

    /// Deliveries per second over the last minute.
    pub fn rate(&self, now: Timestamp) -> f64 {
        let since = now.as_secs() - SECONDS as i64;
        let recent: u32 = self.seconds.iter().filter(|(second, _)| *second > since).map(|(_, n)| n).sum();
        f64::from(recent) / SECONDS as f64
    }

    /// p50, p95 and p99 in milliseconds.
    pub fn latency_ms(&self) -> Option<[f64; 3]> {
        if self.latencies.is_empty() {
            return None;
        }
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let at = |share: f64| f64::from(sorted[((sorted.len() - 1) as f64 * share).round() as usize]) / 1_000.0;
        Some([at(0.50), at(0.95), at(0.99)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_later_nothing_counts() {
        let mut stats = Stats::default();
        let start = Timestamp::from_secs(1_000);
        (0..120).for_each(|_| stats.delivered(start));
        assert_eq!(stats.rate(start), 2.0);
        assert_eq!(stats.rate(start + Duration::from_secs(61)), 0.0);
    }

    #[test]
    fn percentiles_are_of_the_sample() {
        let mut stats = Stats::default();
        (1..=100).for_each(|ms| stats.took(Duration::from_millis(ms)));
        assert_eq!(stats.latency_ms(), Some([51.0, 95.0, 99.0]));
    }
}
