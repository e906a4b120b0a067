//! From jobs to accepted events, in the order of the queue.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use xxhash_rust::xxh3::xxh3_128;

use super::definitions::{Found, Unknown};
use super::job::WebhookJob;
use super::registries::{BATCH, Begun, Ended, Ending, Taken};
use super::{RETRY_FIRST, RETRY_MAX, SOURCE, Shared, Stage, outcomes};
use crate::catalog::{Catalog, Plan, Refusal};
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
    // Wherever taking is left, what was taken and not entered yet is put back.
    tokio::select! {
        biased;
        _ = stage.wait_for(|stage| *stage > Stage::Taking) => {}
        () = take_on(&shared) => {}
    }
    let entering = shared.entering.borrow_mut().take();
    if let Some(entering) = entering {
        let _ = entering.await;
    }
    let mut link = shared.link.lock().await;
    if let Err(error) = shared.books.put_back(&mut link).await {
        tracing::debug!(%error, "jobs that were taken could not be put back, they are taken again at the next start");
    }
}

async fn take_on(shared: &Rc<Shared>) {
    // A connection that waits can do nothing else.
    let mut waiting = Link::new(shared.config().intake.netbox_queue.redis.clone());
    // Which RQ it is decides how its books are kept; where NetBox does not answer, the newer one is assumed.
    if let Ok(Ok(about)) = tokio::time::timeout(WAIT, async { shared.definitions.lock().await.refresh().await }).await {
        shared.books.as_rq_1(about.rq_1);
    }
    let mut wait = RETRY_FIRST;
    loop {
        match round(shared, &mut waiting).await {
            Ok(()) => wait = RETRY_FIRST,
            Err(error) => {
                shared.hindered(&error);
                // What Redis was told, or not, nobody knows; of the rest nothing was begun.
                match &error {
                    Hindered::Redis(_) => shared.doubt(),
                    _ => drop(shared.books.put_back(&mut *shared.link.lock().await).await),
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_MAX);
            }
        }
    }
}

/// One batch, or a wait for one.
async fn round(shared: &Rc<Shared>, waiting: &mut Link) -> Result<(), Hindered> {
    if !shared.enabled() {
        tokio::time::sleep(OFF).await;
        return Ok(());
    }
    let taken = shared.books.take(&mut *shared.link.lock().await).await?;
    let full = taken.len() >= BATCH;
    accept(shared, taken).await?;
    shared.deps.board.took(SOURCE, 0);
    if !full {
        shared.books.wait(waiting, WAIT).await?;
    }
    Ok(())
}

/// Accepts jobs in their order and enters them as begun, in chunks that memory can hold.
async fn accept(shared: &Rc<Shared>, taken: Vec<Taken>) -> Result<(), Hindered> {
    let config = shared.config();
    let models = Models::with_extra(&config.webhooks.models).unwrap_or_else(|_| Models::builtin());
    let mut rest = taken.into_iter().peekable();
    let mut redefined = false;
    while rest.peek().is_some() {
        // All plans of a chunk are made from one catalog: if it is overtaken, they are made anew.
        let catalog = shared.deps.dispatcher.catalog();
        let mut chunk = Vec::new();
        let mut bytes = 0;
        while bytes < CHUNK_BYTES
            && let Some(job) = rest.next()
        {
            let made = make(shared, &job, &models, &catalog).await?;
            if let Made::New(new) = &made {
                bytes += new.event.raw().len();
                redefined |= matches!(&*new.event.model.label, "extras.webhook" | "extras.eventrule");
            }
            chunk.push((job, made));
        }
        enter_whole(shared, chunk, catalog).await?;
    }
    if redefined && let Err(error) = shared.definitions.lock().await.refresh().await {
        tracing::warn!(%error, "NetBox says that definitions changed, but they could not be read again");
    }
    Ok(())
}

/// A task of its own: what is committed is entered in the books, also when taking ends meanwhile.
async fn enter_whole(shared: &Rc<Shared>, chunk: Vec<(Taken, Made)>, catalog: Arc<Catalog>) -> Result<(), Hindered> {
    let (done, entered) = oneshot::channel();
    let entering = shared.clone();
    let task = actix_rt::spawn(async move {
        let mut link = entering.link.lock().await;
        let _ = done.send(enter(&entering, &mut link, chunk, catalog).await);
    });
    *shared.entering.borrow_mut() = Some(task);
    // Without an answer it panicked; nothing was begun then.
    let fault = || StoreError::Unavailable("entering jobs ended by a fault".to_owned());
    entered.await.unwrap_or_else(|_| Err(fault().into()))
}

async fn make(shared: &Shared, taken: &Taken, models: &Models, catalog: &Catalog) -> Result<Made, Hindered> {
    // A mark of another data folder may name an event that is none of the job's.
    if let Some(event) = taken.event
        && let Some(Named::Event(seq)) = event.named()
        && shared.deps.store.siblings(seq).await?.iter().any(|row| row.event.id == event)
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
        Ok(event) => Made::New(Box::new(planned(catalog, taken, event, webhook))),
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

fn planned(catalog: &Catalog, taken: &Taken, event: Event, webhook: WebhookId) -> NewEvent {
    let route = Route::Webhook(webhook);
    let Plan { deliveries: plan, missing } = catalog.plan(&event, route);
    // The same job put on the queue again is another one.
    let key = format!("{SOURCE}/{}/{}", taken.id, taken.enqueued_at);
    let idempotency = Some(Idempotency { key, body: xxh3_128(event.raw()) });
    NewEvent { event: Arc::new(event), route, plan, missing, idempotency }
}

/// Commits what is new, then writes the books.
async fn enter(
    shared: &Shared,
    link: &mut Link,
    chunk: Vec<(Taken, Made)>,
    catalog: Arc<Catalog>,
) -> Result<(), Hindered> {
    let (mut begun, mut ended, mut new) = (Vec::new(), Vec::new(), Vec::new());
    let refuse = |job: String, text: String| {
        tracing::warn!(job, reason = text, "a job of NetBox's queue is refused");
        Ended { job, event: None, ending: Ending::Failed, text }
    };
    for (Taken { id: job, .. }, made) in chunk {
        match made {
            Made::New(event) => new.push((job, *event)),
            Made::Again(seq, event) => match again(shared, seq).await? {
                None => {
                    shared.outcomes.borrow_mut().expect(seq, job.clone());
                    begun.push(Begun { job, event });
                }
                Some(text) => ended.push(refuse(job, text)),
            },
            Made::Refused(text) => ended.push(refuse(job, text)),
        }
    }
    crate::crash::point("queue_taken");
    let repeated = accept_all(shared, &mut new, &mut begun, &mut ended, catalog).await?;
    ended.extend(repeated.into_iter().map(|(job, text)| refuse(job, text)));
    shared.books.begin(link, &begun, clock::now()).await?;
    crate::crash::point("queue_begun");
    shared.books.end(link, &ended, clock::now()).await?;
    Ok(())
}

/// Jobs that cannot be accepted, with the reason.
type Refusals = Vec<(String, String)>;

/// Commits; what begins and what has ended at once is added to the books' changes.
async fn accept_all(
    shared: &Shared,
    new: &mut Vec<(String, NewEvent)>,
    begun: &mut Vec<Begun>,
    ended: &mut Vec<Ended>,
    catalog: Arc<Catalog>,
) -> Result<Refusals, Hindered> {
    let mut refused = Vec::new();
    let accepted = loop {
        if new.is_empty() {
            return Ok(refused);
        }
        let events = new.iter().map(|(_, event)| event.clone()).collect();
        match shared.deps.dispatcher.accept(events, catalog.clone()).await {
            Ok(accepted) => break accepted,
            // The same job read in another way, by another release of ours.
            Err(AcceptError::Conflict { index, .. }) if index < new.len() => {
                let (job, _) = new.remove(index);
                refused.push((job, "the job was taken before, and reads differently now".to_owned()));
            }
            Err(error) => return Err(error.into()),
        }
    };
    crate::crash::point("queue_accepted");
    shared.deps.board.took(SOURCE, accepted.len());
    for ((job, event), Accepted { seq, id, deliveries, duplicate }) in new.drain(..).zip(accepted) {
        begun.push(Begun { job: job.clone(), event: id });
        if deliveries == 0 {
            let (ending, text) = unsent(shared, &event);
            ended.push(Ended { job, event: Some(id), ending, text });
        } else {
            shared.outcomes.borrow_mut().expect(seq, job.clone());
            // What was accepted before may have ended before, and nobody says so twice.
            if duplicate && let Some(row) = shared.deps.store.siblings(seq).await?.pop() {
                ended.extend(outcomes::end(shared, job, id, row.id).await?);
            }
        }
    }
    Ok(refused)
}

/// Why a job has no delivery.
fn unsent(shared: &Shared, new: &NewEvent) -> (Ending, String) {
    let Route::Webhook(webhook) = new.route else { return (Ending::Failed, String::new()) };
    match shared.deps.dispatcher.catalog().defined(webhook).map(|defined| defined.refusal(&new.event)) {
        None => (Ending::Failed, "its webhook was deleted at netbox-webhookd".to_owned()),
        Some(Refusal::Unreadable(reason)) => (Ending::Failed, format!("its conditions cannot be read: {reason}")),
        Some(Refusal::Unmet(reason)) => (Ending::Finished, format!("nothing is sent: {reason}")),
    }
}

/// *Requeue* on NetBox's page is a manual retry here; of what was delivered, an order to send it again. Why neither can be,
/// if so.
async fn again(shared: &Shared, seq: EventSeq) -> Result<Option<String>, Hindered> {
    let store = &shared.deps.store;
    let Some(DeliveryRow { id, state, .. }) = store.siblings(seq).await?.pop() else { return Ok(None) };
    let endpoint = match state {
        DeliveryState::Failed | DeliveryState::Canceled => store.retry(id).await.map(|requeued| requeued.endpoint),
        DeliveryState::Delivered | DeliveryState::Superseded => {
            let sent = store.resend(id).await;
            sent.map(|(_, _, endpoint)| endpoint)
        }
        _ => return Ok(None),
    };
    match endpoint {
        Ok(endpoint) => shared.deps.dispatcher.wake(&[endpoint]),
        Err(StoreError::NotFound(_)) => return Ok(Some("its webhook was deleted at netbox-webhookd".to_owned())),
        // It is no longer what it was a moment ago, or nothing can follow it; the books are made to say how it stands.
        Err(StoreError::Conflict(_)) => shared.doubt(),
        Err(error) => return Err(error.into()),
    }
    Ok(None)
}
