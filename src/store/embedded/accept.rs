//! Taking events: sequence numbers, repeats, the one row that is the durable promise, and what follows its commit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::{Connection, params};

use super::body::{self, Body};
use super::counts::{Deltas, EVENTS};
use super::idempotency::{Memory, Seen};
use super::index::Index;
use super::ledger::{Entry, RESIDENT_MAX, RESIDENT_MAX_CROWDED};
use super::ops::{Ended, Op};
use super::plan;
use super::shared::Shared;
use crate::domain::change::StateChange;
use crate::domain::delivery::DeliveryState;
use crate::domain::event::EventType;
use crate::domain::ids::{DeliveryId, EndpointId, EventSeq, PublicId};
use crate::domain::time::Timestamp;
use crate::store::{AcceptError, Accepted, Batch, Health, NewEvent, Planned, StoreError};

/// Deliveries that are still open after this get rows, so that a restart need not derive them from their event.
const SPILL_AFTER: Duration = Duration::from_millis(500);
/// Deliveries a restart may have to derive.
const YOUNG_MAX: usize = 65_536;
/// Resident deliveries over all endpoints beyond which each endpoint keeps few.
const CROWD: usize = 200_000;
/// How long a refused sender is asked to wait.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// An event with what can be done for it before the writer sees it.
#[derive(Debug)]
pub struct PreparedEvent {
    pub new: NewEvent,
    /// Compressed body; `None` for an event no webhook matched: only its mark is kept.
    body: Option<Vec<u8>>,
    seq: EventSeq,
    received: Timestamp,
    /// It was accepted before.
    seen: Option<Accepted>,
}

#[derive(Debug)]
pub struct Prepared {
    pub events: Vec<PreparedEvent>,
    catalog_revision: u64,
}

impl Prepared {
    pub fn new(batch: Batch) -> Result<Self, StoreError> {
        let prepare = |new: NewEvent| {
            let body = if new.plan.is_empty() { None } else { Some(body::compress(new.event.raw())?) };
            Ok(PreparedEvent { new, body, seq: EventSeq(0), received: Timestamp(0), seen: None })
        };
        let events = batch.events.into_iter().map(prepare).collect::<Result<_, StoreError>>()?;
        Ok(Self { events, catalog_revision: batch.catalog_revision })
    }
}

/// An event some of whose deliveries may have no row yet.
struct Young {
    seq: EventSeq,
    at: Timestamp,
    plan: Vec<Planned>,
}

/// The writer's side of intake.
pub struct Intake {
    next_seq: u64,
    young: VecDeque<Young>,
    young_deliveries: usize,
    memory: Memory,
    spilled_upto: u64,
    pub index: Index,
}

impl Intake {
    pub fn new(next_seq: u64, memory: Memory, index: Index) -> Self {
        Self { next_seq, young: VecDeque::new(), young_deliveries: 0, memory, spilled_upto: 0, index }
    }

    pub fn next_seq(&mut self) -> EventSeq {
        let seq = EventSeq(self.next_seq);
        self.next_seq += 1;
        seq
    }

    /// Refuses a batch as a whole, or gives its events their numbers.
    ///
    /// `revision`: of the definitions that hold when the batch is stored.
    pub fn check(&mut self, shared: &Shared, revision: u64, batch: &mut Prepared) -> Result<(), AcceptError> {
        if batch.catalog_revision != revision {
            return Err(AcceptError::StalePlan);
        }
        match shared.health() {
            Health::Ok => {}
            Health::Full(text) => return Err(AcceptError::Store(StoreError::Full(text))),
            Health::Failed(text) => return Err(AcceptError::Store(StoreError::Unavailable(text))),
        }
        let planned: usize = batch.events.iter().map(|e| e.new.plan.len()).sum();
        let backlog = shared.backlog.load(Ordering::Relaxed);
        if planned > 0 && backlog + planned as u64 > shared.config.max_backlog {
            return Err(AcceptError::Busy {
                reason: format!(
                    "{backlog} deliveries are waiting, store.max_backlog is {}; try again when some are delivered",
                    shared.config.max_backlog
                ),
                retry_after: RETRY_AFTER,
            });
        }
        let now = crate::clock::now();
        for index in 0..batch.events.len() {
            if let Err(refusal) = self.number(index, &mut batch.events[index], now) {
                self.withdrawn(batch);
                return Err(refusal);
            }
        }
        Ok(())
    }

    fn number(&mut self, index: usize, event: &mut PreparedEvent, now: Timestamp) -> Result<(), AcceptError> {
        event.received = now;
        if let Some(idempotency) = &event.new.idempotency {
            match self.memory.look(idempotency, now) {
                Seen::Never => {}
                Seen::Before { seq, received, deliveries } => {
                    let id = seq.public(received);
                    event.seen = Some(Accepted { seq, id, deliveries, duplicate: true });
                    return Ok(());
                }
                Seen::OtherBody => return Err(AcceptError::Conflict { index, key: idempotency.shown().to_owned() }),
            }
        }
        event.seq = self.next_seq();
        if let Some(idempotency) = &event.new.idempotency {
            self.memory.remember(idempotency, event.seq, event.received, event.new.plan.len() as u32);
        }
        Ok(())
    }

    /// The oldest event whose idempotency key still counts, or the next one: keys of older events may go.
    pub fn oldest_key(&mut self, now: Timestamp) -> EventSeq {
        self.memory.oldest(now).unwrap_or(EventSeq(self.next_seq))
    }

    /// Nothing of the batch was stored.
    pub fn withdrawn(&mut self, batch: &Prepared) {
        for event in batch.events.iter().filter(|e| e.seen.is_none() && e.seq.0 > 0) {
            if let Some(idempotency) = &event.new.idempotency {
                self.memory.forget(idempotency);
            }
        }
    }

    /// One row an event: the whole durable promise.
    pub fn insert(&mut self, db: &Connection, batch: &mut Prepared, deltas: &mut Deltas) -> rusqlite::Result<()> {
        for event in batch.events.iter_mut().filter(|e| e.seen.is_none()) {
            let body = event.body.take();
            insert_event(db, event.seq, event.received, &event.new, body.as_deref())?;
            *deltas.entry(EVENTS).or_default() += 1;
            if let Some(idempotency) = &event.new.idempotency {
                db.prepare_cached(
                    "INSERT INTO idempotency(seq, key, body, deliveries, received) VALUES(?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![
                    event.seq.0 as i64,
                    super::idempotency::hash(&idempotency.key).to_be_bytes(),
                    idempotency.body.to_be_bytes(),
                    event.new.plan.len() as i64,
                    event.received.0
                ])?;
            }
        }
        Ok(())
    }

    /// The batch is on disk: its deliveries may be sent, by the endpoints that `touched` then names.
    pub fn applied(
        &mut self,
        shared: &Arc<Shared>,
        batch: Prepared,
        now: Timestamp,
        touched: &mut Vec<EndpointId>,
    ) -> Vec<Accepted> {
        let mut answers = Vec::with_capacity(batch.events.len());
        for event in batch.events {
            if let Some(seen) = event.seen {
                answers.push(seen);
                continue;
            }
            let id = event.seq.public(event.received);
            answers.push(Accepted { seq: event.seq, id, deliveries: event.new.plan.len() as u32, duplicate: false });
            touched.extend(event.new.plan.iter().map(|planned| planned.endpoint));
            self.remember(shared, event.seq, event.received, now, event.new);
        }
        answers
    }

    fn remember(&mut self, shared: &Arc<Shared>, seq: EventSeq, received: Timestamp, now: Timestamp, new: NewEvent) {
        shared.events.fetch_add(1, Ordering::Relaxed);
        let object_key = new.event.object_key();
        self.index.add(seq, &new.event);
        shared.places.note(seq, &new.plan);
        let bound = shared.bound.load(Ordering::Relaxed);
        let body = if new.plan.is_empty() { None } else { Body::within(&shared.budget, &new.event) };
        for (place, planned) in new.plan.iter().enumerate() {
            let id = DeliveryId::new(seq, place as u16);
            let mut entry = Entry::new(id, planned.webhook, object_key, new.event.event_type, received);
            entry.body = body.clone();
            enter(shared, *planned, entry, bound, now);
        }
        shared.backlog_change(new.plan.len() as i64);
        self.note_young(seq, now, new.plan);
    }

    /// Some deliveries of this event may have no row.
    pub fn note_young(&mut self, seq: EventSeq, at: Timestamp, plan: Vec<Planned>) {
        if !plan.is_empty() {
            self.young_deliveries += plan.len();
            self.young.push_back(Young { seq, at, plan });
        }
    }

    /// Operations that give open deliveries their rows: those older than the bound (`now`), or all (`None`). And the
    /// last event whose deliveries all have one, when these and all operations of the dispatch threads are applied.
    pub fn spill(&mut self, shared: &Shared, now: Option<Timestamp>) -> (Vec<Op>, Option<u64>) {
        let mut ops = Vec::new();
        let mut upto = None;
        while let Some(young) = self.young.front() {
            let old = now.is_none_or(|now| now.since(young.at) >= SPILL_AFTER);
            if !old && self.young_deliveries <= YOUNG_MAX {
                break;
            }
            let Some(young) = self.young.pop_front() else { break };
            self.young_deliveries -= young.plan.len();
            upto = Some(young.seq.0);
            spill_plan(shared, &young, &mut ops);
        }
        let upto = upto.or_else(|| self.young.is_empty().then(|| self.next_seq.saturating_sub(1)));
        let upto = upto.filter(|upto| *upto > self.spilled_upto);
        self.spilled_upto = upto.unwrap_or(self.spilled_upto);
        (ops, upto)
    }

    /// The same for one event; it stays young.
    pub fn spill_event(&self, shared: &Shared, seq: EventSeq) -> Vec<Op> {
        let mut ops = Vec::new();
        if let Ok(at) = self.young.binary_search_by_key(&seq, |young| young.seq) {
            spill_plan(shared, &self.young[at], &mut ops);
        }
        ops
    }

    /// Adjusts how much each endpoint keeps in memory to how much all of them do.
    pub fn look_round(&self, shared: &Shared) {
        let resident: usize = shared.all_ledgers().iter().map(|l| l.lock().resident()).sum();
        let bound = if resident > CROWD { RESIDENT_MAX_CROWDED } else { RESIDENT_MAX };
        shared.bound.store(bound, Ordering::Relaxed);
    }
}

fn spill_plan(shared: &Shared, young: &Young, ops: &mut Vec<Op>) {
    let mut rows = Vec::new();
    for (place, planned) in young.plan.iter().enumerate() {
        let id = DeliveryId::new(young.seq, place as u16);
        shared.ledger(planned.endpoint).lock().spill(std::iter::once(id), &mut rows);
        ops.extend(rows.drain(..).map(|entry| Op::Open { endpoint: planned.endpoint, entry }));
    }
}

/// Hands a delivery to its endpoint's ledger; what it folds is recorded.
fn enter(shared: &Arc<Shared>, planned: Planned, entry: Entry, bound: usize, now: Timestamp) {
    shared.changes.tell(|| entry.change(planned.endpoint, DeliveryState::Pending, None));
    let ledger = shared.ledger(planned.endpoint);
    let mut ledger = ledger.lock();
    if let Some(folded) = ledger.accept(entry, bound) {
        let survivor = folded.survivor.id;
        shared.ended(planned.endpoint, planned.webhook, DeliveryState::Superseded);
        shared.changes.tell(|| folded.older.change(planned.endpoint, DeliveryState::Superseded, None));
        shared.push(Op::Open { endpoint: planned.endpoint, entry: folded.survivor });
        let ended = Ended::of(planned.endpoint, &folded.older, DeliveryState::Superseded, now);
        shared.push(Op::Final(Box::new(Ended { successor: Some(survivor), ..ended })));
    }
}

/// The row of an event.
pub fn insert_event(
    db: &Connection,
    seq: EventSeq,
    received: Timestamp,
    new: &NewEvent,
    body: Option<&[u8]>,
) -> rusqlite::Result<()> {
    let event = &new.event;
    let request_id = event.request_id();
    db.prepare_cached(
        "INSERT INTO event(seq, received, type, label, class, object_key, object_id, request_id, places, plan, body)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        seq.0 as i64,
        received.0,
        event.event_type.code(),
        &*event.model.label,
        &*event.model.class,
        event.object_key().map(|k| k as i64),
        event.object_id.as_deref(),
        request_id.as_deref(),
        0,
        plan::encode(&new.plan),
        body
    ])
    .map(drop)
}

impl Entry {
    /// A delivery that was never attempted.
    pub fn new(
        id: DeliveryId,
        webhook: crate::domain::ids::WebhookId,
        object_key: Option<u64>,
        event_type: EventType,
        received: Timestamp,
    ) -> Self {
        Self {
            id,
            position: id,
            webhook,
            object_key: object_key.unwrap_or_else(|| own_key(id)),
            event_type,
            received,
            attempts: 0,
            counted: 0,
            due: None,
            first_attempt_at: None,
            folded_from: None,
            manual: false,
            in_flight: false,
            cancel: false,
            rowed: false,
            body: None,
        }
    }

    pub fn public_id(&self) -> PublicId {
        self.id.public(self.received)
    }

    /// Its change to `state`, for those who look on.
    pub fn change(&self, endpoint: EndpointId, state: DeliveryState, status_code: Option<u16>) -> StateChange {
        StateChange::Delivery {
            id: self.public_id(),
            endpoint_id: endpoint,
            webhook_id: self.webhook,
            state,
            attempts: self.attempts,
            status_code,
        }
    }
}

/// The ordering key of a delivery whose event concerns no object.
pub fn own_key(id: DeliveryId) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&id.0.to_be_bytes())
}
