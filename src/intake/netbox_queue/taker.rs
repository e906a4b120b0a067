//! From jobs to accepted events, in the order of the queue.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_128;

use super::definitions::{Found, Unknown};
use super::job::WebhookJob;
use super::registries::{BATCH, Begun, Ended, Ending, Taken};
use super::{RETRY_FIRST, RETRY_MAX, SOURCE, Shared, Stage};
use crate::catalog::Plan;
use crate::clock;
use crate::domain::delivery::DeliveryState;
use crate::domain::event::{Event, Model};
use crate::domain::ids::{EventSeq, Named, PublicId, WebhookId};
use crate::domain::models::Models;
use crate::intake::redis::{Link, LinkError};
use crate::store::archive::DeliveryRow;
use crate::store::{AcceptError, Accepted, Idempotency, NewEvent, Route, StoreError};

/// How long Redis is waited for when the queue is empty.
const WAIT: Duration = Duration::from_secs(2);
/// How often is looked whether the service was switched on again.
const OFF: Duration = Duration::from_secs(1);
/// Bytes of events made of jobs before they are accepted.
const CHUNK_BYTES: usize = 32 << 20;

/// Why jobs stay where they are for now.
#[derive(Debug, thiserror::Error)]
enum Hindered {
    #[error(transparent)]
    Redis(#[from] LinkError),
    #[error("a webhook's definition: {0}")]
    Definition(#[from] Unknown),
    #[error(transparent)]
    Accept(#[from] AcceptError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is made of a job.
enum Made {
    New(Box<NewEvent>),
    /// It became this event before, and a person asks for it again.
    Again(EventSeq, PublicId),
    Refused(String),
}

pub async fn run(shared: Rc<Shared>, mut stage: watch::Receiver<Stage>) {
    // A connection that waits can do nothing else.
    let mut waiting = Link::new(shared.config().intake.netbox_queue.redis.clone());
    // Which RQ it is decides how its books are kept; where NetBox does not answer, the newer one is assumed.
    if let Ok(about) = shared.definitions.lock().await.refresh().await {
        shared.books.as_rq_1(about.rq_1);
    }
    let mut wait = RETRY_FIRST;
    loop {
        let round = async {
            match round(&shared, &mut waiting).await {
                Ok(()) => wait = RETRY_FIRST,
                Err(error) => {
                    shared.hindered(&error);
                    shared.unsure.set(true);
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RETRY_MAX);
                }
            }
        };
        // Wherever a round is left, what it took is taken again at the next start.
        tokio::select! {
            biased;
            _ = stage.wait_for(|stage| *stage > Stage::Taking) => return,
            () = round => {}
        }
    }
}

/// One batch, or a wait for one.
async fn round(shared: &Shared, waiting: &mut Link) -> Result<(), Hindered> {
    if !shared.enabled() {
        tokio::time::sleep(OFF).await;
        return Ok(());
    }
    let taken = {
        let mut link = shared.link.lock().await;
        let taken = shared.books.take(&mut link).await?;
        shared.deps.board.took(SOURCE, 0);
        accept(shared, &mut link, &taken).await?;
        taken.len()
    };
    if taken < BATCH {
        shared.books.wait(waiting, WAIT).await?;
    }
    Ok(())
}

/// Accepts jobs in their order and enters them as begun, in chunks that memory can hold.
async fn accept(shared: &Shared, link: &mut Link, taken: &[Taken]) -> Result<(), Hindered> {
    let config = shared.config();
    let models = Models::with_extra(&config.webhooks.models).unwrap_or_else(|_| Models::builtin());
    let mut rest = taken;
    let mut redefined = false;
    while !rest.is_empty() {
        let mut chunk = Vec::new();
        let mut bytes = 0;
        while let Some((job, later)) = rest.split_first().filter(|_| bytes < CHUNK_BYTES) {
            let made = make(shared, job, &models).await?;
            if let Made::New(new) = &made {
                bytes += new.event.raw().len();
                redefined |= matches!(&*new.event.model.label, "extras.webhook" | "extras.eventrule");
            }
            chunk.push((job, made));
            rest = later;
        }
        enter(shared, link, chunk).await?;
    }
    if redefined && let Err(error) = shared.definitions.lock().await.refresh().await {
        tracing::warn!(%error, "NetBox says that definitions changed, but they could not be read again");
    }
    Ok(())
}

async fn make(shared: &Shared, taken: &Taken, models: &Models) -> Result<Made, Hindered> {
    if let Some(event) = taken.event
        && let Some(Named::Event(seq)) = event.named()
        && !shared.deps.store.siblings(seq).await?.is_empty()
    {
        return Ok(Made::Again(seq, event));
    }
    let Some(data) = &taken.data else { return Ok(Made::Refused("the job was deleted".to_owned())) };
    let job = match WebhookJob::decode(data) {
        Ok(job) => job,
        Err(error) => return Ok(Made::Refused(error.to_string())),
    };
    let named = u64::try_from(job.definition.webhook_id).unwrap_or(0);
    let stored = shared.deps.dispatcher.catalog().of_netbox(named).filter(|webhook| !webhook.orphaned).map(|w| w.id);
    let webhook = match stored {
        Some(webhook) => webhook,
        None => match shared.definitions.lock().await.find_new(named).await? {
            Found::Webhook(webhook) => webhook,
            Found::Unusable(reason) => return Ok(Made::Refused(reason)),
        },
    };
    Ok(match event(&job, &taken.id, models) {
        Ok(event) => Made::New(Box::new(planned(shared, taken, event, webhook))),
        Err(reason) => Made::Refused(reason),
    })
}

/// The job as an event, which carries the job's id as its own.
pub(super) fn event(job: &WebhookJob, id: &str, models: &Models) -> Result<Event, String> {
    let text = job.event_json();
    let id = serde_json::Value::from(id);
    let raw = format!("{{\"id\": {id}, {}", text.get(1..).unwrap_or_default());
    let label = job.object_type.label();
    let name = label.as_deref().unwrap_or(&job.object_type.model);
    // NetBox has matched it: a plugin's model need not be configured here.
    let model = models.resolve(name).unwrap_or_else(|_| Model { label: name.into(), class: capitalised(name).into() });
    Event::restore(raw.into(), model, clock::now()).map_err(|error| error.to_string())
}

fn capitalised(name: &str) -> String {
    let model = name.rsplit('.').next().unwrap_or_default();
    let mut letters = model.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn planned(shared: &Shared, taken: &Taken, event: Event, webhook: WebhookId) -> NewEvent {
    let route = Route::Webhook(webhook);
    let Plan { deliveries: plan, missing } = shared.deps.dispatcher.catalog().plan(&event, route);
    // The same job put on the queue again is another one.
    let key = format!("{SOURCE}/{}/{}", taken.id, taken.enqueued_at);
    let idempotency = Some(Idempotency { key, body: xxh3_128(event.raw()) });
    NewEvent { event: Arc::new(event), route, plan, missing, idempotency }
}

/// Commits what is new, then writes the books.
async fn enter(shared: &Shared, link: &mut Link, chunk: Vec<(&Taken, Made)>) -> Result<(), Hindered> {
    let mut begun = Vec::new();
    let mut ended = Vec::new();
    let mut new = Vec::new();
    let mut jobs = Vec::new();
    for (taken, made) in chunk {
        let job = taken.id.clone();
        match made {
            Made::New(event) => {
                new.push(*event);
                jobs.push(job);
            }
            Made::Again(seq, event) => {
                again(shared, seq).await?;
                begun.push(Begun { job: job.clone(), event });
                shared.outcomes.borrow_mut().expect(seq, job);
            }
            Made::Refused(text) => {
                tracing::warn!(job, reason = text, "a job of NetBox's queue is refused");
                ended.push(Ended { job, event: None, ending: Ending::Failed, text });
            }
        }
    }
    crate::crash::point("queue_taken");
    let accepted = accept_all(shared, new).await?;
    crate::crash::point("queue_accepted");
    shared.deps.board.took(SOURCE, accepted.len());
    for (job, accepted) in jobs.into_iter().zip(accepted) {
        begun.push(Begun { job: job.clone(), event: accepted.id });
        if accepted.deliveries == 0 {
            let text = "the webhook's conditions do not hold, nothing is sent".to_owned();
            ended.push(Ended { job, event: Some(accepted.id), ending: Ending::Finished, text });
        } else {
            shared.outcomes.borrow_mut().expect(accepted.seq, job);
            // What was known before may have ended before.
            if accepted.duplicate {
                shared.unsure.set(true);
            }
        }
    }
    shared.books.begin(link, &begun, clock::now()).await?;
    crate::crash::point("queue_begun");
    shared.books.end(link, &ended, clock::now()).await?;
    Ok(())
}

async fn accept_all(shared: &Shared, new: Vec<NewEvent>) -> Result<Vec<Accepted>, Hindered> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let catalog = shared.deps.dispatcher.catalog();
    Ok(shared.deps.dispatcher.accept(new, catalog).await?)
}

/// *Requeue* on NetBox's page is a manual retry here; of what was delivered, an order to send it again.
async fn again(shared: &Shared, seq: EventSeq) -> Result<(), Hindered> {
    let store = &shared.deps.store;
    let Some(DeliveryRow { id, state, .. }) = store.siblings(seq).await?.pop() else { return Ok(()) };
    let endpoint = match state {
        DeliveryState::Failed | DeliveryState::Canceled => store.retry(id).await.map(|requeued| requeued.endpoint),
        DeliveryState::Delivered => store.resend(id).await.map(|(_, _, endpoint)| endpoint),
        _ => return Ok(()),
    };
    match endpoint {
        Ok(endpoint) => shared.deps.dispatcher.wake(&[endpoint]),
        // It is no longer what it was a moment ago; the books follow it.
        Err(StoreError::Conflict(_)) => shared.unsure.set(true),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
