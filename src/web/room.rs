//! How many bytes of events may be in memory on their way to the disk, over all requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::error::ApiError;

/// How long a sender is asked to wait: what is on its way is gone after one commit.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What all requests hold together.
#[derive(Clone, Debug, Default)]
pub struct InProgress(Arc<AtomicU64>);

impl InProgress {
    /// For one request; `max` bytes may be held by all of them.
    pub fn enter(&self, max: u64) -> Room {
        Room { all: self.clone(), max, held: 0 }
    }
}

/// What one request holds; given back when dropped.
#[derive(Debug)]
pub struct Room {
    all: InProgress,
    max: u64,
    held: u64,
}

impl Room {
    /// For bodies that are small by their own limit.
    pub fn uncounted() -> Self {
        InProgress::default().enter(u64::MAX)
    }

    /// Whether `more` bytes would fit now. Only what has come is taken: who announces much and sends nothing takes
    /// nothing from others.
    ///
    /// # Errors
    /// 503 with `Retry-After`.
    pub fn expect(&self, more: u64) -> Result<(), ApiError> {
        if self.all.0.load(Ordering::Relaxed).saturating_add(more) > self.max { Err(self.refusal()) } else { Ok(()) }
    }

    /// # Errors
    /// 503 with `Retry-After`.
    pub fn take(&mut self, more: u64) -> Result<(), ApiError> {
        let before = self.all.0.fetch_add(more, Ordering::Relaxed);
        self.held += more;
        if before.saturating_add(more) > self.max { Err(self.refusal()) } else { Ok(()) }
    }

    fn refusal(&self) -> ApiError {
        let detail = format!("requests in progress hold all of intake.max_bytes ({} bytes); try again", self.max);
        ApiError::unavailable(detail, RETRY_AFTER)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_requests_share_what_there_is_and_give_it_back() {
        let all = InProgress::default();
        let mut first = all.enter(100);
        first.take(60).expect("fits");
        let mut second = all.enter(100);
        second.expect(40).expect("would fit");
        second.expect(41).expect_err("would not");
        second.take(41).expect_err("does not fit");
        drop(second);
        let mut third = all.enter(100);
        third.take(40).expect("a refused one holds nothing");
        drop((first, third));
        assert_eq!(all.0.load(Ordering::Relaxed), 0);
    }
}
