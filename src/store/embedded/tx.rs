//! The writer's running transaction, as commands see it.

use std::sync::Arc;

use foldhash::HashMap;
use rusqlite::Connection;

use super::accept::Intake;
use super::counts::{self, Deltas};
use super::ledger::Entry;
use super::ops::Op;
use super::schema::{self, FILE};
use super::shared::Shared;
use crate::domain::change::StateChange;
use crate::domain::delivery::DeliveryState;
use crate::domain::endpoint::LiveState;
use crate::domain::ids::{EndpointId, EventSeq, WebhookId};
use crate::domain::time::Timestamp;
use crate::store::StoreError;
use crate::store::admin::DefinitionSet;

/// A transaction as jobs see it.
pub struct Tx<'a> {
    pub db: &'a Connection,
    pub shared: &'a Arc<Shared>,
    pub now: Timestamp,
    /// Endpoints other than new ones were written in this transaction.
    pub endpoints_changed: bool,
    /// The definitions as this transaction leaves them; in force after its commit.
    pub(super) defined: Option<Arc<DefinitionSet>>,
    /// Operations of this transaction: kept until it is committed.
    pub(super) ops: Vec<Op>,
    pub(super) deltas: Deltas,
    pub(super) live: HashMap<EndpointId, LiveState>,
    pub(super) intake: &'a mut Intake,
    /// Told after the commit.
    pub(super) changes: Vec<StateChange>,
    /// The database has undone the transaction: nothing may be added to it.
    pub(super) lost: Option<StoreError>,
}

impl<'a> Tx<'a> {
    pub fn new(db: &'a Connection, shared: &'a Arc<Shared>, now: Timestamp, intake: &'a mut Intake) -> Self {
        Self {
            db,
            shared,
            now,
            endpoints_changed: false,
            defined: None,
            ops: Vec::new(),
            deltas: Deltas::default(),
            live: HashMap::default(),
            intake,
            changes: Vec::new(),
            lost: None,
        }
    }

    /// Tells of a delivery that a person or a timer changed, after the commit.
    pub fn tell(&mut self, endpoint: EndpointId, entry: &Entry, state: DeliveryState) {
        if self.shared.changes.followed() {
            self.changes.push(entry.change(endpoint, state, None));
        }
    }

    /// Applies an operation that is already applied in memory; it is repeated should the commit fail.
    pub fn apply(&mut self, op: Op) -> rusqlite::Result<()> {
        let result = op.apply(self.db, &mut self.deltas);
        if let Op::Live { endpoint, live } = &op {
            self.live.insert(*endpoint, live.clone());
        }
        self.ops.push(op);
        result
    }

    /// Where the operations stand, for [`Tx::replay`].
    pub fn mark(&self) -> usize {
        self.ops.len()
    }

    /// Applies again what was undone with a savepoint: memory has it all the same, and the counters' changes.
    pub fn replay(&mut self, mark: usize) -> rusqlite::Result<()> {
        let mut counted_already = Deltas::default();
        self.ops.iter().skip(mark).try_for_each(|op| op.apply(self.db, &mut counted_already))
    }

    /// What the dispatch threads have recorded since.
    pub fn drain(&mut self) -> rusqlite::Result<()> {
        self.apply_all(self.shared.take_ops())
    }

    /// The same for several; none is forgotten when one cannot be applied.
    fn apply_all(&mut self, ops: Vec<Op>) -> rusqlite::Result<()> {
        let mut ops = ops.into_iter();
        while let Some(op) = ops.next() {
            if let Err(error) = self.apply(op) {
                self.ops.extend(ops);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Gives every open delivery its row, so that a query sees all of them.
    pub fn spill_all(&mut self) -> rusqlite::Result<()> {
        self.spill(None)
    }

    /// Gives open deliveries their rows: those that are old at `now`, or all (`None`).
    pub fn spill(&mut self, now: Option<Timestamp>) -> rusqlite::Result<()> {
        let (open, upto) = self.intake.spill(self.shared, now);
        let spilled = self.apply_all(open);
        // A delivery that a dispatch thread recorded just before we came to it was open no more, and its row is one of
        // these. Only with them does every delivery of those events have a row.
        let drained = spilled.and_then(|()| self.drain());
        let marked = upto.map_or(Ok(()), |upto| self.apply(Op::SpilledUpto(upto)));
        drained.and(marked)
    }

    /// Gives the open deliveries of one event their rows.
    pub fn spill_event(&mut self, seq: EventSeq) -> rusqlite::Result<()> {
        let open = self.intake.spill_event(self.shared, seq);
        self.apply_all(open)?;
        self.drain()
    }

    pub fn revision(&self) -> u64 {
        self.defined.as_ref().map_or_else(|| self.shared.revision(), |set| set.revision)
    }

    /// The definitions with what this transaction changed.
    pub fn definitions(&self) -> Arc<DefinitionSet> {
        self.defined.clone().unwrap_or_else(|| self.shared.definitions())
    }

    /// A sequence for an event made here.
    pub fn next_seq(&mut self) -> EventSeq {
        self.intake.next_seq()
    }

    /// Remembers an event made here until its deliveries have rows.
    pub fn intake(&mut self) -> &mut Intake {
        self.intake
    }

    /// Counts an event stored beside intake.
    pub fn count_event(&mut self) {
        *self.deltas.entry(counts::EVENTS).or_default() += 1;
        self.shared.events.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    /// A test was kept: they have counters of their own.
    pub fn count_test(&mut self, endpoint: EndpointId, webhook: WebhookId, state: DeliveryState) {
        *self.deltas.entry((endpoint, webhook, counts::TESTS + state.code())).or_default() += 1;
        self.shared.count_test(endpoint, webhook, state, 1);
    }

    pub fn error(&self, error: rusqlite::Error) -> StoreError {
        schema::classify(&self.shared.folder.join(FILE), error)
    }
}
