//! Retention, in bounded batches beside the work.

use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::config::{Config, ConfigWatch};
use crate::store::Store;
use crate::store::archive::Retention;

const EVERY: Duration = Duration::from_secs(10);
/// Between two batches while more is over its time.
const PAUSE: Duration = Duration::from_millis(50);
/// Events looked at in one batch.
const BATCH: usize = 1_000;

pub fn start(store: Arc<dyn Store>, config: ConfigWatch) {
    actix_rt::spawn(async move {
        let mut wait = EVERY;
        loop {
            tokio::time::sleep(wait).await;
            if config.has_changed().is_err() {
                return;
            }
            let retention = retention(&config.borrow());
            wait = match store.prune(retention).await {
                Ok(pruned) if pruned.more => PAUSE,
                Ok(_) => EVERY,
                Err(error) => {
                    tracing::warn!(%error, "old deliveries could not be pruned, trying again");
                    EVERY
                }
            };
        }
    });
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
