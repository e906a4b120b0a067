//! `max_age`, for what waits and is not started: behind an open breaker, a hold, or another delivery.

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;

use super::arbiters::Common;
use super::messages::WakeEndpoints;
use super::router::Router;
use crate::clock;
use crate::config::Config;
use crate::config::policy::resolve;
use crate::domain::endpoint::Control;
use crate::domain::ids::EndpointId;
use crate::store::Store;

const EVERY: Duration = Duration::from_secs(5);
/// Between two batches while more is over its time.
const PAUSE: Duration = Duration::from_millis(50);
/// Deliveries ended in one batch.
const BATCH: usize = 500;

pub fn start(common: Arc<Common>, router: Addr<Router>) {
    actix_rt::spawn(async move {
        let mut wait = EVERY;
        loop {
            tokio::time::sleep(wait).await;
            if common.config.has_changed().is_err() {
                return;
            }
            let ages = max_ages(&common.store, &common.config());
            wait = EVERY;
            if ages.is_empty() {
                continue;
            }
            match common.store.expire(ages, BATCH).await {
                Ok(expired) => {
                    wait = if expired.more { PAUSE } else { EVERY };
                    let now = clock::now();
                    for (endpoint, deliveries) in &expired.ended {
                        let deliveries = u32::try_from(*deliveries).unwrap_or(u32::MAX);
                        common.figures.of(*endpoint).lock().failed(deliveries, now);
                    }
                    if !expired.ended.is_empty() {
                        // Full: the sweep tells them.
                        let _ = router.try_send(WakeEndpoints(expired.ended.into_iter().map(|(id, _)| id).collect()));
                    }
                }
                Err(error) => tracing::warn!(%error, "deliveries over their age could not be ended, trying again"),
            }
        }
    });
}

/// Of endpoints where something waits for a retry and time does not stand still.
fn max_ages(store: &Arc<dyn Store>, config: &Config) -> Vec<(EndpointId, Duration)> {
    if !config.webhooks.enabled {
        return Vec::new();
    }
    let set = store.definitions();
    let waiting = store.pending_endpoints().into_iter().filter(|pending| pending.retrying > 0);
    waiting
        .filter_map(|pending| {
            let found = set.endpoints.binary_search_by_key(&pending.endpoint, |e| e.endpoint.id).ok()?;
            let stored = set.endpoints.get(found).filter(|stored| stored.control == Control::Active)?;
            let resolved = resolve(config, &stored.endpoint.url, &stored.endpoint.origin, &stored.policy_patch);
            resolved.policy.max_age.map(|max_age| (pending.endpoint, max_age))
        })
        .collect()
}
