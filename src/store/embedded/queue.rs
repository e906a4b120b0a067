//! Deliveries in and out: the dispatch threads' side of the store.

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use parking_lot::Mutex;
use rusqlite::{OptionalExtension, params};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::TrySendError;
use tokio::sync::oneshot;

use super::EmbeddedStore;
use super::accept::Prepared;
use super::body::Body;
use super::cancel::{Canceled, cancel, end_canceled};
use super::ledger::{Entry, Finished, Ledger};
use super::load::read_events;
use super::ops::{Ended, Op};
use super::shared::{Shared, WriterEnd};
use super::tx::Tx;
use super::writer::Command;
use super::{beside, bulk, definitions, retry};
use crate::clock;
use crate::domain::attempt::Attempt;
use crate::domain::breaker::Breaker;
use crate::domain::change::{EndpointActivity, StateChange};
use crate::domain::delivery::DeliveryState;
use crate::domain::endpoint::{Control, LiveState};
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, EndpointId, EventSeq, PublicId};
use crate::domain::time::Timestamp;
use crate::store::*;

type Answer<T> = BoxFuture<'static, Result<T, StoreError>>;

impl Queue for EmbeddedStore {
    fn accept(&self, batch: Batch) -> BoxFuture<'static, Result<Vec<Accepted>, AcceptError>> {
        let prepared = match Prepared::new(batch) {
            Ok(prepared) => prepared,
            Err(error) => return future::ready(Err(error.into())).boxed(),
        };
        let (reply, answer) = oneshot::channel();
        if let Err(TrySendError::Full(_)) = self.shared.commands.try_send(Command::Accept(prepared, reply)) {
            let reason = "too many batches are waiting for the disk".to_owned();
            return future::ready(Err(AcceptError::Busy { reason, retry_after: Duration::from_secs(1) })).boxed();
        }
        let ended = self.shared.writer_ended();
        async move {
            match answer.await {
                Ok(answer) => answer,
                // A batch is left unanswered only by a writer that ends.
                Err(_) => Err(AcceptError::Store(StoreError::Unavailable(match ended.await {
                    WriterEnd::Closed => "the store was closed".to_owned(),
                    WriterEnd::Broken(reason) => reason,
                }))),
            }
        }
        .boxed()
    }

    fn on_work(&self, told: OnWork) {
        // Set once; a second one would be a fault of ours and changes nothing.
        let _ = self.shared.on_work.set(told);
    }

    fn ready(&self, endpoint: EndpointId, now: Timestamp, limit: usize, held: Vec<DeliveryId>) -> Answer<Ready> {
        let ledger = self.shared.ledger(endpoint);
        {
            let mut ledger = ledger.lock();
            if !ledger.needs_load(now, limit) {
                return future::ready(Ok(ledger.ready(now, limit, &held))).boxed();
            }
        }
        let (reply, answer) = oneshot::channel();
        if self.shared.commands.try_send(Command::Load { endpoint, now, limit, reply }).is_err() {
            return future::ready(Err(StoreError::Unavailable("too much is waiting for the store".to_owned()))).boxed();
        }
        let shared = self.shared.clone();
        async move {
            if answer.await.is_err() {
                shared.check_writable()?;
            }
            let ready = ledger.lock().ready(now, limit, &held);
            Ok(ready)
        }
        .boxed()
    }

    fn start(&self, endpoint: EndpointId, ids: Vec<DeliveryId>) -> Answer<Vec<Start>> {
        if let Err(error) = self.shared.check_writable() {
            return future::ready(Err(error)).boxed();
        }
        let ledger = self.shared.ledger(endpoint);
        let mut granted = Vec::with_capacity(ids.len());
        {
            let mut ledger = ledger.lock();
            let paused = ledger.paused_total_us;
            for id in ids {
                let mut entry = ledger.start(id).cloned().ok_or(id);
                if let Ok(Entry { first_attempt_at: Some(first), webhook, .. }) = &mut entry {
                    *first = Timestamp(first.0 + paused + self.shared.standstill.at(*webhook, clock::now()));
                }
                granted.push(entry);
            }
        }
        let complete =
            |g: &Result<Entry, DeliveryId>| g.as_ref().map_or(true, |e| e.body.is_some() && e.folded_from.is_none());
        if granted.iter().all(complete) {
            let started = granted.into_iter().map(|g| match g {
                Ok(entry) => grant(&entry, entry.body.as_ref().map(Body::event).cloned(), None),
                Err(id) => Start::Gone(id),
            });
            return future::ready(Ok(started.collect())).boxed();
        }
        let shared = self.shared.clone();
        async move {
            let started = granted.iter().filter_map(|g| g.as_ref().ok());
            let lacking = started.clone().flat_map(lacking).collect();
            let events = match read_events(&shared, &ledger, lacking).await {
                Ok(events) => events,
                Err(error) => {
                    give_back(&shared, &ledger, started);
                    return Err(error);
                }
            };
            let mut events = events.into_iter();
            Ok(granted.into_iter().map(|g| complete_grant(&shared, endpoint, g, &mut events)).collect())
        }
        .boxed()
    }

    fn record(&self, endpoint: EndpointId, done: Recorded) -> Answer<Option<Head>> {
        future::ready(record(&self.shared, endpoint, done)).boxed()
    }

    fn release(&self, endpoint: EndpointId, id: DeliveryId) {
        let ledger = self.shared.ledger(endpoint);
        let mut ledger = ledger.lock();
        match ledger.release(id) {
            Some(canceled) => end_canceled(&self.shared, &mut ledger, &canceled, clock::now()),
            None => tell_back(&self.shared, &ledger, id),
        }
    }

    fn retry(&self, id: DeliveryId) -> Answer<Requeued> {
        self.shared.write(move |tx| retry::retry(tx, id, true), |requeued| requeued).boxed()
    }

    fn newer_delivered(&self, id: DeliveryId) -> Answer<bool> {
        self.shared.write(move |tx| retry::is_newer_delivered(tx, id), |newer| newer).boxed()
    }

    fn cancel(&self, id: DeliveryId) -> Answer<EndpointId> {
        self.shared.write(move |tx| cancel(tx, id), Canceled::endpoint).boxed()
    }

    fn resend(&self, id: DeliveryId) -> Answer<(DeliveryId, PublicId, EndpointId)> {
        let shared = self.shared.clone();
        self.shared
            .write(
                move |tx| beside::resend(tx, id),
                move |(endpoint, entry)| {
                    let answer = (entry.id, entry.public_id(), endpoint);
                    let bound = shared.bound.load(Ordering::Relaxed);
                    shared.backlog_change(1);
                    shared.changes.tell(|| entry.change(endpoint, DeliveryState::Pending, None));
                    shared.ledger(endpoint).lock().accept_at_end(entry, bound);
                    answer
                },
            )
            .boxed()
    }

    fn reserve_test(&self) -> Answer<TestSlot> {
        self.shared.write(beside::reserve, |slot| slot).boxed()
    }

    fn record_test(&self, slot: TestSlot, event: Arc<Event>, planned: Planned, attempt: Attempt) -> Answer<()> {
        self.shared.write(move |tx| beside::test(tx, slot, event, planned, attempt), |()| ()).boxed()
    }

    fn advance_bulk(&self) -> Answer<Option<Vec<EndpointId>>> {
        self.shared.write(bulk::advance, |touched| touched).boxed()
    }

    fn set_ordering(&self, endpoint: EndpointId, policy: OrderingPolicy) {
        self.shared.ledger(endpoint).lock().set_policy(policy);
    }

    fn set_control(&self, endpoint: EndpointId, control: Control) -> Answer<()> {
        let shared = self.shared.clone();
        self.shared
            .write(
                move |tx| {
                    let mut stored = super::endpoints::stored(tx, endpoint)?;
                    if let Control::Paused { since, .. } | Control::Quarantined { since } = &stored.control {
                        stored.live.paused_total_us += (tx.now.0 - since.0).max(0);
                    }
                    if control == Control::Active {
                        stored.live.resumed_at = Some(tx.now);
                        (stored.live.breaker, stored.live.hold_until) = (Breaker::Closed, None);
                        stored.live.consecutive_failures = 0;
                    }
                    let told = match &control {
                        Control::Paused { .. } => EndpointActivity::Paused,
                        Control::Quarantined { .. } => EndpointActivity::Quarantined,
                        // What there is to send is sent.
                        Control::Active if tx.shared.ledger(endpoint).lock().unfinished > 0 => {
                            EndpointActivity::Sending
                        }
                        Control::Active => EndpointActivity::Idle,
                    };
                    let text = |v: Result<String, serde_json::Error>| v.unwrap_or_default();
                    tx.db
                        .execute(
                            "UPDATE endpoint SET control = ?2, live = ?3 WHERE id = ?1",
                            params![
                                endpoint.0,
                                text(serde_json::to_string(&control)),
                                text(serde_json::to_string(&stored.live))
                            ],
                        )
                        .map_err(|e| tx.error(e))?;
                    definitions::keep_revision_number(tx)?;
                    Ok((stored.live.paused_total_us, told))
                },
                move |(paused_total_us, state)| {
                    shared.changes.tell(|| StateChange::Endpoint { id: endpoint, state });
                    shared.ledger(endpoint).lock().paused_total_us = paused_total_us;
                },
            )
            .boxed()
    }

    fn changes(&self) -> &Changes {
        &self.shared.changes
    }

    fn save_live(&self, endpoint: EndpointId, live: LiveState) {
        self.shared.push_live(endpoint, live);
    }

    fn pending_endpoints(&self) -> Vec<PendingEndpoint> {
        let ledgers = self.shared.all_ledgers();
        let pending = |l: &Arc<parking_lot::Mutex<super::ledger::Ledger>>| {
            let ledger = l.lock();
            PendingEndpoint { endpoint: ledger.endpoint, unfinished: ledger.unfinished, retrying: ledger.retrying }
        };
        ledgers.iter().map(pending).filter(|p| p.unfinished > 0).collect()
    }

    fn asked_for(&self, endpoint: EndpointId, now: Timestamp) -> Option<Head> {
        self.shared.ledger(endpoint).lock().asked_for(now)
    }

    fn set_service(&self, on: bool) -> Answer<()> {
        let shared = self.shared.clone();
        self.shared
            .write(
                move |tx| tx.shared.standstill.write_service(tx.db, on, tx.now).map_err(|e| tx.error(e)),
                move |()| shared.standstill.follow_service(on, clock::now()),
            )
            .boxed()
    }

    fn expire(&self, ages: Vec<(EndpointId, Duration)>, batch: usize) -> Answer<Expired> {
        self.shared.write(move |tx| super::expire::run(tx, &ages, batch), |expired| expired).boxed()
    }

    fn flush(&self) -> Answer<()> {
        self.shared.write(|_| Ok(()), |()| ()).boxed()
    }
}

fn grant(entry: &Entry, event: Option<Arc<Event>>, folded_from: Option<Arc<Event>>) -> Start {
    let Some(event) = event else { return Start::Gone(entry.id) };
    Start::Granted(Box::new(Granted {
        id: entry.id,
        public_id: entry.public_id(),
        webhook: entry.webhook,
        event,
        folded_from,
        number: entry.attempts + 1,
        attempts: entry.counted,
        first_attempt_at: entry.first_attempt_at,
        manual: entry.manual,
    }))
}

/// The events an entry needs beside its body in memory: its own, then the one it was folded from.
fn lacking(entry: &Entry) -> impl Iterator<Item = EventSeq> + use<> {
    let own = entry.body.is_none().then(|| entry.id.event());
    own.into_iter().chain(entry.folded_from)
}

/// Grants with what was read of [`lacking`], in the same order.
fn complete_grant(
    shared: &Arc<Shared>,
    endpoint: EndpointId,
    granted: Result<Entry, DeliveryId>,
    events: &mut impl Iterator<Item = Option<Arc<Event>>>,
) -> Start {
    let entry = match granted {
        Ok(entry) => entry,
        Err(id) => return Start::Gone(id),
    };
    let mut next = || events.next().flatten();
    let own = entry.body.as_ref().map_or_else(&mut next, |body| Some(body.event().clone()));
    let folded_from = entry.folded_from.map(|_| next());
    match (own, folded_from) {
        (None, _) | (_, Some(None)) => unreadable(shared, endpoint, &entry),
        (own, folded_from) => grant(&entry, own, folded_from.flatten()),
    }
}

/// The event cannot be read from disk any more: the delivery fails with that reason.
fn unreadable(shared: &Arc<Shared>, endpoint: EndpointId, entry: &Entry) -> Start {
    tracing::error!(delivery.id = %entry.public_id(), "the event of a delivery cannot be read, the delivery fails");
    let attempt = beside::never_sent(clock::now(), "the stored event is damaged and cannot be read");
    let _ = record(shared, endpoint, Recorded { id: entry.id, attempt, next: Next::Failed, live: None });
    Start::Gone(entry.id)
}

fn give_back<'a>(shared: &Shared, ledger: &Mutex<Ledger>, started: impl Iterator<Item = &'a Entry>) {
    let mut ledger = ledger.lock();
    for entry in started {
        if let Some(canceled) = ledger.release(entry.id) {
            end_canceled(shared, &mut ledger, &canceled, clock::now());
        }
    }
}

/// It was on its way for those who look on, and waits again.
fn tell_back(shared: &Shared, ledger: &Ledger, id: DeliveryId) {
    if let Some(entry) = ledger.get(id).filter(|_| shared.changes.followed()) {
        let state = if entry.due.is_some() { DeliveryState::Retrying } else { DeliveryState::Pending };
        shared.changes.tell(|| entry.change(ledger.endpoint, state, None));
    }
}

/// Applied in memory now, on disk with the next commit.
fn record(shared: &Arc<Shared>, endpoint: EndpointId, done: Recorded) -> Result<Option<Head>, StoreError> {
    let ledger = shared.ledger(endpoint);
    // The operations are remembered under the ledger's lock, so that their order is the order of the changes.
    let mut ledger = ledger.lock();
    let stood = ledger.get(done.id).map_or(0, |e| shared.standstill.at(e.webhook, done.attempt.started_at));
    let started = Timestamp(done.attempt.started_at.0 - ledger.paused_total_us - stood);
    let Finished { entry, state, successor } = ledger.finish(done.id, done.next, started)?;
    ledger.touch(done.id);
    let (id, webhook, number) = (entry.id, entry.webhook, entry.attempts);
    let at = done.attempt.started_at + done.attempt.timings.total;
    shared.changes.tell(|| entry.change(endpoint, state, done.attempt.status()));
    if state == DeliveryState::Retrying {
        shared.push(Op::Open { endpoint, entry });
        shared.push(Op::Attempt { id, number, attempt: Box::new(done.attempt) });
    } else {
        shared.ended(endpoint, webhook, state);
        let last = Some(done.attempt);
        shared.push(Op::Final(Box::new(Ended { last, ..Ended::of(endpoint, &entry, state, at) })));
    }
    drop(ledger);
    if let Some(live) = done.live {
        shared.push_live(endpoint, live);
    }
    Ok(successor)
}

/// A delivery's state and endpoint, as its row says.
pub fn state_of(tx: &Tx<'_>, id: DeliveryId) -> Result<Option<(DeliveryState, EndpointId)>, StoreError> {
    tx.db
        .prepare_cached("SELECT state, endpoint FROM delivery WHERE id = ?1")
        .and_then(|mut s| {
            s.query_row([id.0], |r| Ok((DeliveryState::from_code(r.get(0)?), EndpointId(r.get(1)?)))).optional()
        })
        .map(|row| row.and_then(|(state, endpoint)| Some((state?, endpoint))))
        .map_err(|e| tx.error(e))
}

/// Makes the delivery visible as a row.
pub fn look_up(tx: &mut Tx<'_>, id: DeliveryId) -> Result<(DeliveryState, EndpointId), StoreError> {
    tx.drain().map_err(|e| tx.error(e))?;
    if let Some(found) = state_of(tx, id)? {
        return Ok(found);
    }
    tx.spill_event(id.event()).map_err(|e| tx.error(e))?;
    state_of(tx, id)?.ok_or_else(|| StoreError::NotFound("delivery".to_owned()))
}
