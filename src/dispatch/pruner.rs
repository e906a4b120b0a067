//! Retention, in bounded batches beside the work.

use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::config::{Config, ConfigWatch};
use crate::store::archive::{Pruned, Retention};
use crate::store::{Health, Store};

const EVERY: Duration = Duration::from_secs(10);
/// Between two batches while more is over its time.
const PAUSE: Duration = Duration::from_millis(50);
/// While the disk is full.
const FULL_PAUSE: Duration = Duration::from_secs(1);
/// Events looked at in one batch.
const BATCH: usize = 1_000;
/// Per cent of a bound at which people are told.
const NEAR: u64 = 80;

pub fn start(store: Arc<dyn Store>, config: ConfigWatch) {
    actix_rt::spawn(async move {
        let mut wait = EVERY;
        let mut near = Near::default();
        loop {
            tokio::time::sleep(wait).await;
            if config.has_changed().is_err() {
                return;
            }
            let retention = retention(&config.borrow());
            wait = match store.prune(retention.clone()).await {
                Ok(pruned) => {
                    near.look(&retention, &pruned).into_iter().for_each(|warning| tracing::warn!("{warning}"));
                    if pruned.more { PAUSE } else { EVERY }
                }
                Err(error) => {
                    tracing::warn!(%error, "old deliveries could not be pruned, trying again");
                    EVERY
                }
            };
            if store.health() != Health::Ok {
                wait = wait.min(FULL_PAUSE);
            }
        }
    });
}

/// Which bounds are near, so that each is told once when it comes near.
#[derive(Debug, Default)]
struct Near {
    history: bool,
    bytes: bool,
}

impl Near {
    fn look(&mut self, retention: &Retention, pruned: &Pruned) -> Vec<String> {
        let near = |now: u64, max: u64| u128::from(now) * 100 >= u128::from(max) * u128::from(NEAR);
        let history = near(pruned.history, retention.max_history);
        let bytes = near(pruned.bytes, retention.max_bytes);
        let mut warnings = Vec::new();
        if history && !self.history {
            warnings.push(format!(
                "{} finished deliveries are kept, store.max_history is {}; above it the oldest go before their time",
                pruned.history, retention.max_history
            ));
        }
        if bytes && !self.bytes {
            warnings.push(format!(
                "the store uses {} bytes, store.max_size is {}; above it finished deliveries go before their time",
                pruned.bytes, retention.max_bytes
            ));
        }
        *self = Self { history, bytes };
        warnings
    }
}

fn retention(config: &Config) -> Retention {
    let now = clock::now();
    let store = &config.store;
    Retention {
        delivered_before: now - store.retention_delivered,
        failed_before: now - store.retention_failed,
        unmatched_before: now - store.retention_unmatched,
        max_history: store.max_history,
        max_bytes: store.max_size,
        batch: BATCH,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    #[test]
    fn a_bound_is_told_of_once_when_it_comes_near() {
        let zero = Timestamp(0);
        let retention = Retention {
            delivered_before: zero,
            failed_before: zero,
            unmatched_before: zero,
            max_history: 1_000,
            max_bytes: u64::MAX,
            batch: BATCH,
        };
        let mut near = Near::default();
        let mut told = |history, bytes| near.look(&retention, &Pruned { history, bytes, ..Pruned::default() }).len();
        assert_eq!([told(799, 0), told(800, 0), told(1_000, 0), told(700, 0), told(900, 0)], [0, 1, 0, 0, 1]);
        assert_eq!(told(0, u64::MAX), 1);
    }
}
