//! What became of jobs, told to RQ's books.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};

use super::registries::{BATCH, Begun, Ended, Ending};
use super::{RETRY_MAX, Shared, Stage};
use crate::clock;
use crate::domain::change::StateChange;
use crate::domain::delivery::DeliveryState;
use crate::domain::ids::{DeliveryId, EventSeq, Named, PublicId};
use crate::domain::time::Timestamp;
use crate::domain::webhook::Source;
use crate::intake::redis::LinkError;
use crate::store::StoreError;
use crate::store::archive::DeliveryRow;

/// Jobs whose ids are kept in memory; of others the event is read for it.
const KNOWN: usize = 100_000;
/// Ends that may wait for Redis; when there are more, the books are compared with the store instead.
const WAITING: usize = 100_000;
/// So long ends are gathered.
const GATHER: Duration = Duration::from_millis(20);
/// What has waited longer is shown as deferred.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often is looked for that.
const LOOK: Duration = Duration::from_secs(30);
/// Least time between two comparisons of the books with the store, which look at every open job.
const COMPARE: Duration = Duration::from_secs(20);
/// Passes of one comparison.
const PASSES: usize = 64;
/// Its name on the status page.
const BOOKS: &str = "netbox_books";

/// A job's delivery has ended, or was put in line again by hand.
#[derive(Clone, Copy, Debug)]
struct News {
    delivery: DeliveryId,
    event: PublicId,
    state: DeliveryState,
    attempts: u32,
    status: Option<u16>,
}

/// What is known of jobs and what is to be written.
pub struct Outcomes {
    changes: Option<broadcast::Receiver<StateChange>>,
    jobs: HashMap<EventSeq, String>,
    news: VecDeque<News>,
}

#[derive(Debug, thiserror::Error)]
enum Unwritten {
    #[error(transparent)]
    Redis(#[from] LinkError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Outcomes {
    pub fn new(changes: broadcast::Receiver<StateChange>) -> Self {
        Self { changes: Some(changes), jobs: HashMap::new(), news: VecDeque::new() }
    }

    /// The event is this job's.
    pub fn expect(&mut self, seq: EventSeq, job: String) {
        if self.jobs.len() >= KNOWN {
            self.jobs.clear();
        }
        self.jobs.insert(seq, job);
    }
}

/// Gathers the ends of deliveries that come from jobs.
pub async fn follow(shared: Rc<Shared>) {
    // The first time those from before anything was taken; what was told between two lives of this is in the store.
    let kept = shared.outcomes.borrow_mut().changes.take();
    let mut changes = kept.unwrap_or_else(|| shared.deps.store.changes().follow());
    loop {
        match changes.recv().await {
            Ok(change) => note(&shared, &change),
            // They came too fast; what was missed is in the store.
            Err(broadcast::error::RecvError::Lagged(_)) => shared.doubt(),
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

fn note(shared: &Shared, change: &StateChange) {
    let StateChange::Delivery { id, webhook_id, state, attempts, status_code, .. } = change else { return };
    let again = *state == DeliveryState::Pending && *attempts > 0;
    if state.unfinished() && !again {
        return;
    }
    let catalog = shared.deps.dispatcher.catalog();
    match catalog.webhook(*webhook_id).map(|webhook| &webhook.source) {
        Some(Source::Netbox(_)) => {}
        Some(_) => return,
        // Deleted this moment, perhaps one of NetBox's.
        None => return shared.doubt(),
    }
    let Some(Named::Delivery(delivery)) = id.named() else { return };
    let event = delivery.event().public(Timestamp::from_millis(id.received_millis()));
    let mut outcomes = shared.outcomes.borrow_mut();
    if outcomes.news.len() >= WAITING {
        outcomes.news.clear();
        shared.unsure.set(true);
    }
    let (state, attempts, status) = (*state, *attempts, *status_code);
    outcomes.news.push_back(News { delivery, event, state, attempts, status });
    drop(outcomes);
    shared.ended.notify_one();
}

/// Writes what is gathered; whatever could not be written is tried again.
pub async fn run(shared: Rc<Shared>, mut stage: watch::Receiver<Stage>) {
    let mut looked = clock::now();
    let mut compared = None;
    loop {
        let closing = *stage.borrow() == Stage::Closing;
        let worked = match write(&shared, &mut compared).await {
            Ok(()) if closing => return,
            Ok(()) if clock::now().since(looked) >= LOOK => {
                looked = clock::now();
                defer(&shared).await
            }
            worked => worked,
        };
        let wait = match worked {
            Ok(()) => {
                shared.deps.board.took(BOOKS, 0);
                if shared.unsure.get() { due(compared, clock::now()) } else { LOOK }
            }
            Err(error) => {
                if shared.deps.board.hindered(BOOKS, &error.to_string()) {
                    tracing::warn!(%error, "what became of NetBox's jobs could not be written, trying again");
                }
                RETRY_MAX / 10
            }
        };
        if closing {
            tokio::time::sleep(GATHER).await;
            continue;
        }
        tokio::select! {
            () = shared.ended.notified() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(wait) => {}
            _ = stage.wait_for(|stage| *stage == Stage::Closing) => {}
        }
    }
}

async fn write(shared: &Shared, compared: &mut Option<Timestamp>) -> Result<(), Unwritten> {
    let now = clock::now();
    if shared.unsure.get() && due(*compared, now).is_zero() {
        shared.unsure.set(false);
        if let Err(error) = compare(shared).await {
            shared.unsure.set(true);
            return Err(error);
        }
        *compared = Some(now);
    }
    loop {
        let batch: Vec<News> = {
            let outcomes = shared.outcomes.borrow();
            outcomes.news.iter().take(BATCH).copied().collect()
        };
        if batch.is_empty() {
            return Ok(());
        }
        let mut link = shared.link.lock().await;
        let (mut begun, mut ended) = (Vec::new(), Vec::new());
        for news in &batch {
            let Some(job) = job_of(shared, news.delivery.event()).await? else { continue };
            match news.state {
                DeliveryState::Pending => begun.push(Begun { job, event: news.event }),
                // Nothing follows it, so the store need not be asked how it stands.
                DeliveryState::Delivered => {
                    let id = news.delivery.public(Timestamp::from_millis(news.event.received_millis()));
                    let text = delivered(news.status, news.attempts, id);
                    shared.outcomes.borrow_mut().jobs.remove(&news.delivery.event());
                    ended.push(Ended { job, event: Some(news.event), ending: Ending::Finished, text });
                }
                _ => ended.extend(end(shared, job, news.event, news.delivery).await?),
            }
        }
        shared.books.begin(&mut link, &begun, clock::now()).await?;
        shared.books.end(&mut link, &ended, clock::now()).await?;
        drop(link);
        let mut outcomes = shared.outcomes.borrow_mut();
        let written = batch.len().min(outcomes.news.len());
        outcomes.news.drain(..written);
    }
}

/// How long until the books may be compared again.
fn due(compared: Option<Timestamp>, now: Timestamp) -> Duration {
    compared.map_or(Duration::ZERO, |at| COMPARE.saturating_sub(now.since(at)))
}

async fn job_of(shared: &Shared, seq: EventSeq) -> Result<Option<String>, StoreError> {
    let known = shared.outcomes.borrow().jobs.get(&seq).cloned();
    if known.is_some() {
        return Ok(known);
    }
    let event = shared.deps.store.event(seq).await?.and_then(|(_, event)| event);
    Ok(event.and_then(|event| event.external_id.as_deref().map(str::to_owned)))
}

/// As it is now: a delivery that is in line again has not ended.
pub(super) async fn end(
    shared: &Shared,
    job: String,
    event: PublicId,
    delivery: DeliveryId,
) -> Result<Option<Ended>, StoreError> {
    let Some(row) = shared.deps.store.delivery(delivery).await? else { return Ok(None) };
    if row.state.unfinished() {
        return Ok(None);
    }
    let text = told(shared, &row).await?;
    // Nobody reads that it ended twice.
    shared.outcomes.borrow_mut().jobs.remove(&delivery.event());
    let ending = match row.state {
        DeliveryState::Delivered | DeliveryState::Superseded => Ending::Finished,
        DeliveryState::Canceled => Ending::Stopped,
        _ => Ending::Failed,
    };
    Ok(Some(Ended { job, event: Some(event), ending, text }))
}

fn delivered(status: Option<u16>, attempts: u32, id: PublicId) -> String {
    let status = status.unwrap_or_default();
    format!("delivered by netbox-webhookd: HTTP {status}, attempt {attempts}, delivery {id}")
}

async fn told(shared: &Shared, row: &DeliveryRow) -> Result<String, StoreError> {
    let id = row.public_id;
    Ok(match row.state {
        DeliveryState::Delivered => delivered(row.status_code, row.attempts, id),
        DeliveryState::Superseded => format!("folded into a newer event of the same object, delivery {id}"),
        DeliveryState::Canceled => format!("canceled at netbox-webhookd, delivery {id}"),
        _ => {
            let last = shared.deps.store.attempts(row.id).await?.pop();
            let what = last.map(|last| match (last.attempt.status(), &last.attempt.detail) {
                (Some(status), _) => format!("HTTP {status}"),
                (None, Some(detail)) => detail.clone(),
                (None, None) => last.attempt.error_kind().map_or("", |kind| kind.as_str()).to_owned(),
            });
            let what = what.unwrap_or_else(|| "no attempt is on record".to_owned());
            format!("netbox-webhookd could not deliver it: {what}; attempts: {}, delivery {id}", row.attempts)
        }
    })
}

/// Compares the books with the store: after a start, and whenever something may have been missed.
async fn compare(shared: &Shared) -> Result<(), Unwritten> {
    for deferred in [false, true] {
        // What is ended leaves the list, so that others move into places that were looked at: until nothing is found.
        for _ in 0..PASSES {
            if !pass(shared, deferred).await? {
                break;
            }
        }
    }
    Ok(())
}

/// Looks at each open job once; whether any had ended.
async fn pass(shared: &Shared, deferred: bool) -> Result<bool, Unwritten> {
    let (mut from, mut any) = (0, false);
    loop {
        let mut link = shared.link.lock().await;
        let page = match deferred {
            false => shared.books.begun(&mut link, from).await?,
            true => shared.books.deferred(&mut link, from).await?,
        };
        if page.is_empty() {
            return Ok(any);
        }
        from += page.len();
        let mut ended = Vec::new();
        for Begun { job, event } in page.iter().flatten() {
            let Some(Named::Event(seq)) = event.named() else { continue };
            // A mark of another data folder may name an event that is none of the job's.
            let last = shared.deps.store.siblings(seq).await?.pop().filter(|last| last.event.id == *event);
            let Some(last) = last else { continue };
            ended.extend(end(shared, job.clone(), *event, last.id).await?);
        }
        any |= !ended.is_empty();
        shared.books.end(&mut link, &ended, clock::now()).await?;
    }
}

async fn defer(shared: &Shared) -> Result<(), Unwritten> {
    loop {
        let now = clock::now();
        let mut link = shared.link.lock().await;
        if shared.books.defer(&mut link, now - PATIENCE, now).await? < BATCH {
            return Ok(());
        }
    }
}
