//! Carries out bulk actions and moves, slice by slice, oldest first.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::domain::ids::EndpointId;
use crate::store::Store;

/// How often it looks by itself: after a restart, and for moves that wait for a request in flight.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Starts the task; a message says that there is something to do.
pub fn start(store: Arc<dyn Store>, wake: impl Fn(&[EndpointId]) + 'static) -> mpsc::Sender<()> {
    let (started, mut orders) = mpsc::channel(1);
    actix_rt::spawn(async move {
        loop {
            match tokio::time::timeout(LOOK_EVERY, orders.recv()).await {
                Ok(None) => return,
                Ok(Some(())) | Err(_) => run(&store, &wake).await,
            }
        }
    });
    started
}

async fn run(store: &Arc<dyn Store>, wake: &impl Fn(&[EndpointId])) {
    loop {
        match store.advance_bulk().await {
            Ok(Some(touched)) => wake(&touched),
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "a bulk action cannot go on now, trying again");
                return;
            }
        }
    }
}
