//! Latencies in buckets 1.6 % wide at most: cheap to fill from a hot loop, read at the end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

/// Buckets per power of two.
const FINE: u64 = 64;
const FINE_BITS: u32 = FINE.trailing_zeros();

/// Counts of microseconds. Filled by one thread, read by another.
pub struct Histogram {
    buckets: Vec<AtomicU64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: (0..FINE * 40).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Histogram {
    pub fn record(&self, micros: u64) {
        if let Some(bucket) = self.buckets.get(index(micros)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn record_duration(&self, duration: Duration) {
        self.record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|b| b.load(Ordering::Relaxed)).sum()
    }

    /// The value that `share` of all values do not exceed, in microseconds.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.count() as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (i, bucket) in self.buckets.iter().enumerate() {
            seen += bucket.load(Ordering::Relaxed);
            if seen >= wanted {
                return value(i as u64);
            }
        }
        0
    }

    /// p50, p95, p99 and the largest, in milliseconds.
    pub fn milliseconds(&self) -> Value {
        let ms = |share| self.quantile(share) as f64 / 1_000.0;
        json!({"p50": ms(0.5), "p95": ms(0.95), "p99": ms(0.99), "max": ms(1.0)})
    }
}

fn index(micros: u64) -> usize {
    let exponent = (64 - micros.leading_zeros()).saturating_sub(FINE_BITS + 1);
    let i = u64::from(exponent) * FINE + (micros >> exponent);
    usize::try_from(i).unwrap_or(usize::MAX)
}

/// The smallest value of a bucket.
fn value(index: u64) -> u64 {
    let exponent = (index / FINE).saturating_sub(1);
    (index - exponent * FINE) << exponent
}
