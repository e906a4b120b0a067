//! Time in tests: the one place that sleeps, always in order to look again.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often a condition is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

#[expect(clippy::disallowed_methods, reason = "a test's clock is the machine's")]
pub fn now() -> Instant {
    Instant::now()
}

/// Microseconds since the Unix epoch: what travels inside an event so that its arrival can be timed.
#[expect(clippy::disallowed_methods, reason = "stamps must compare between processes")]
pub fn wall_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Blocks this thread. For polling and for receivers that are slow on purpose; tests wait on conditions.
#[expect(clippy::disallowed_methods, reason = "the one place in tests that blocks a thread")]
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Waits until `condition` holds; `false` when `deadline` passed first.
pub fn try_until(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = now() + deadline;
    loop {
        if condition() {
            return true;
        }
        if now() >= end {
            return false;
        }
        pause(LOOK_AGAIN);
    }
}

/// Waits until `condition` holds.
///
/// # Panics
/// When `deadline` passes first; `what` says what was waited for.
#[track_caller]
pub fn wait_until(what: &str, deadline: Duration, condition: impl FnMut() -> bool) {
    assert!(try_until(deadline, condition), "after {deadline:?} still waiting until {what}");
}

/// Lets work through at a fixed rate; time lost to a stall is made up for.
pub struct Pacer {
    start: Instant,
    interval: Duration,
    count: u32,
}

impl Pacer {
    pub fn per_second(rate: u32) -> Self {
        Self { start: now(), interval: Duration::from_secs(1) / rate.max(1), count: 0 }
    }

    /// Blocks until the next piece of work is due.
    pub fn wait(&mut self) {
        let due = self.start + self.interval * self.count;
        self.count += 1;
        pause(due.saturating_duration_since(now()));
    }
}
