//! What people order on NetBox's pages: *Stop* cancels the delivery here.
//!
//! # Source
//! `command.py` and `worker.py` of rq 2.6: orders are JSON on the channel `rq:pubsub:<worker>`.

use std::rc::Rc;

use futures_util::StreamExt;
use serde::Deserialize;
use tokio::sync::watch;

use super::{RETRY_MAX, Shared, Stage};
use crate::domain::ids::Named;
use crate::intake::redis::{Link, LinkError};
use crate::store::StoreError;

#[derive(Deserialize)]
struct Order {
    command: String,
    #[serde(default)]
    job_id: String,
}

/// Follows orders until the end is near.
pub async fn run(shared: Rc<Shared>, mut stage: watch::Receiver<Stage>) {
    let mut link = Link::new(shared.config().intake.netbox_queue.redis.clone());
    loop {
        tokio::select! {
            // What is ordered while nobody follows is lost, as with RQ's own workers.
            _ = follow(&shared, &mut link) => tokio::time::sleep(RETRY_MAX / 10).await,
            _ = stage.wait_for(|stage| *stage > Stage::Taking) => return,
        }
    }
}

async fn follow(shared: &Shared, link: &mut Link) -> Result<(), LinkError> {
    let mut orders = link.subscribe(&format!("rq:pubsub:{}", shared.worker.name())).await?;
    let mut orders = orders.on_message();
    while let Some(order) = orders.next().await {
        match serde_json::from_slice::<Order>(order.get_payload_bytes()) {
            Ok(order) if order.command == "stop-job" => stop(shared, order.job_id).await?,
            // Shutting down is not NetBox's to order.
            _ => {}
        }
    }
    Ok(())
}

async fn stop(shared: &Shared, job: String) -> Result<(), LinkError> {
    let event = {
        let mut link = shared.link.lock().await;
        shared.books.event_of(&mut link, job.clone()).await?
    };
    let Some(Named::Event(seq)) = event.and_then(|event| event.named()) else { return Ok(()) };
    let store = &shared.deps.store;
    let canceled = match store.siblings(seq).await.map(|mut all| all.pop()) {
        Ok(Some(row)) => store.cancel(row.id).await.map(|endpoint| shared.deps.dispatcher.wake(&[endpoint])),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    match canceled {
        Ok(()) => tracing::info!(job, "a job was stopped on NetBox's page, its delivery is canceled"),
        // It has ended already.
        Err(StoreError::Conflict(_)) => {}
        Err(error) => tracing::warn!(job, %error, "a job that NetBox stopped could not be canceled"),
    }
    Ok(())
}
