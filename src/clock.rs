//! The only place that reads the time.
//!
//! Now is the wall time at start plus the monotonic time since: it never jumps while we run, and what is
//! persisted is still wall time.

use std::sync::OnceLock;
use std::time::Duration;

use crate::domain::time::Timestamp;

struct Anchor {
    wall: Timestamp,
    monotonic: tokio::time::Instant,
}

/// The current instant. Follows a paused tokio clock, so hours of backoff test in microseconds.
pub fn now() -> Timestamp {
    let anchor = anchor();
    anchor.wall + anchor.monotonic.elapsed()
}

/// Time since the process first asked for it: its uptime.
pub fn uptime() -> Duration {
    anchor().monotonic.elapsed()
}

fn anchor() -> &'static Anchor {
    static ANCHOR: OnceLock<Anchor> = OnceLock::new();
    ANCHOR.get_or_init(|| {
        #[expect(clippy::disallowed_methods, reason = "the one reading of the wall clock")]
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Anchor {
            wall: Timestamp(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)),
            monotonic: tokio::time::Instant::now(),
        }
    })
}
