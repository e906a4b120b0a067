//! The writer: one thread, one connection, one transaction for all that arrived while the last one committed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use foldhash::HashMap;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::accept::{Intake, Prepared};
use super::ballast::Ballast;
use super::counts;
use super::load;
use super::ops::Op;
use super::schema;
use super::shared::{Shared, WriterEnd};
use super::tx::Tx;
use crate::clock;
use crate::domain::endpoint::LiveState;
use crate::domain::ids::EndpointId;
use crate::domain::time::Timestamp;
use crate::store::admin::DefinitionSet;
use crate::store::{AcceptError, Accepted, Health, StoreError};
use crate::telemetry::metrics;

/// Outcomes wait at most this long for a commit of their own.
const OUTCOMES_WAIT: Duration = Duration::from_millis(20);
/// Pause between two commits under `durability = "relaxed"`'s background sync.
const RELAXED_SYNC: Duration = Duration::from_millis(100);
/// Events of one commit; a batch is never split.
const COMMIT_EVENTS: usize = 512;
/// How often deliveries that are still open get their rows.
const SWEEP_EVERY: Duration = Duration::from_millis(100);
/// How often the counters' changes are added up.
const FOLD_EVERY: Duration = Duration::from_secs(1);
/// How often a failed store is opened again.
const REOPEN_EVERY: Duration = Duration::from_secs(1);
/// Commands that may wait for the writer; beyond it intake answers 503.
pub const COMMANDS_MAX: usize = 4_096;

pub type Reply<T> = oneshot::Sender<T>;
/// Work inside the transaction; what it returns runs after the commit.
pub type Job = Box<dyn FnOnce(&mut Tx<'_>) -> After + Send>;
/// Runs after the commit, with its result.
pub type After = Box<dyn FnOnce(&Result<(), StoreError>) + Send>;

pub enum Command {
    Accept(Prepared, Reply<Result<Vec<Accepted>, AcceptError>>),
    Load {
        endpoint: EndpointId,
        now: Timestamp,
        limit: usize,
        reply: Reply<()>,
    },
    Job(Job),
    /// Operations wait.
    Nudge,
    Close,
}

pub struct Writer {
    shared: Arc<Shared>,
    commands: Receiver<Command>,
    db: Option<Connection>,
    intake: Intake,
    ballast: Ballast,
    /// Committed live states that the definitions do not show yet.
    live: HashMap<EndpointId, LiveState>,
    next_sweep: Timestamp,
    next_fold: Timestamp,
    next_reopen: Timestamp,
    closing: bool,
}

impl Writer {
    pub fn new(
        shared: Arc<Shared>,
        commands: Receiver<Command>,
        db: Connection,
        intake: Intake,
        ballast: Ballast,
    ) -> Self {
        let zero = Timestamp(0);
        Self {
            shared,
            commands,
            db: Some(db),
            intake,
            ballast,
            live: HashMap::default(),
            next_sweep: zero,
            next_fold: zero,
            next_reopen: zero,
            closing: false,
        }
    }

    /// Runs until closed; what was applied by then is on disk.
    ///
    /// A panic ends it for good: memory may be ahead of the disk, and only opening the store anew makes them agree.
    pub fn run(mut self) {
        let worked = catch_unwind(AssertUnwindSafe(|| self.work()));
        let ended = match worked {
            Ok(()) => WriterEnd::Closed,
            Err(panic) => {
                WriterEnd::Broken(format!("the thread that writes the store broke off: {}", message(&*panic)))
            }
        };
        self.shared.set_ended(ended);
    }

    fn work(&mut self) {
        while !self.closing {
            let batch = self.collect();
            self.transact(batch);
        }
        self.transact(Vec::new());
        if let Some(db) = self.db.take() {
            let _ = db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);");
        }
    }

    /// Waits for something to do and takes what is there.
    fn collect(&mut self) -> Vec<Command> {
        let mut batch = Vec::new();
        let mut events = 0;
        let first = self.commands.recv_timeout(SWEEP_EVERY);
        let mut outcomes_only = matches!(first, Ok(Command::Nudge));
        self.take(first, &mut batch, &mut events);
        if outcomes_only {
            // Outcomes alone are in no hurry: an event that comes meanwhile takes them along.
            let until = clock::now() + OUTCOMES_WAIT;
            while outcomes_only && !self.closing {
                let next = self.commands.recv_timeout(until.since(clock::now()));
                outcomes_only = matches!(next, Ok(Command::Nudge));
                self.take(next, &mut batch, &mut events);
            }
        }
        while events < COMMIT_EVENTS
            && let Ok(command) = self.commands.try_recv()
        {
            self.take(Ok(command), &mut batch, &mut events);
        }
        batch
    }

    fn take(&mut self, next: Result<Command, RecvTimeoutError>, batch: &mut Vec<Command>, events: &mut usize) {
        match next {
            Ok(Command::Nudge) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Command::Close) | Err(RecvTimeoutError::Disconnected) => self.closing = true,
            Ok(command) => {
                if let Command::Accept(prepared, _) = &command {
                    *events += prepared.events.len();
                }
                batch.push(command);
            }
        }
    }

    fn transact(&mut self, batch: Vec<Command>) {
        let now = clock::now();
        if self.db.is_none() && !self.reopen(now) {
            return self.refuse(batch);
        }
        let Some(db) = self.db.take() else { return };
        let sweep = now >= self.next_sweep;
        if batch.is_empty() && !sweep && self.shared.ops_waiting() == 0 && !self.closing {
            self.db = Some(db);
            return;
        }
        let mut tx = Tx::new(&db, &self.shared, now, &mut self.intake);
        let mut after: Vec<After> = Vec::new();
        let mut accepted = Vec::new();
        let fold = now >= self.next_fold;
        let mut result = begin(&mut tx, sweep, fold).map_err(|e| tx.error(e));
        for command in batch {
            run(command, &mut tx, &mut result, &mut after, &mut accepted);
        }
        let begun = clock::now();
        let result = result.and_then(|()| commit(&tx).map_err(|e| tx.error(e)));
        metrics().commit_seconds.observe(clock::now().since(begun).as_secs_f64());
        let Tx { ops, live, defined, changes, .. } = tx;
        if let Err(error) = &result {
            let _ = db.execute_batch("ROLLBACK");
            self.shared.put_back(ops);
            self.failed(db, error, now);
        } else {
            self.db = Some(db);
            if fold {
                self.next_fold = now + FOLD_EVERY;
            }
            self.committed(live, defined, now, sweep);
        }
        self.answer(accepted, &result, now);
        for then in after {
            then(&result);
        }
        for change in changes {
            self.shared.changes.tell(|| change);
        }
    }

    /// Hands the batches to their ledgers and tells whom it concerns, even when a sender has given up meanwhile.
    fn answer(&mut self, accepted: Waiting, result: &Result<(), StoreError>, now: Timestamp) {
        let mut answers = Vec::with_capacity(accepted.len());
        let mut touched = Vec::new();
        for (prepared, reply) in accepted {
            let answer = match result {
                Ok(()) => Ok(self.intake.applied(&self.shared, prepared, now, &mut touched)),
                Err(error) => {
                    self.intake.withdrawn(&prepared);
                    Err(AcceptError::Store(error.clone()))
                }
            };
            answers.push((answer, reply));
        }
        self.shared.tell_work(touched);
        for (answer, reply) in answers {
            // Nobody to answer: the request was given up, the event is taken all the same.
            let _ = reply.send(answer);
        }
    }

    fn committed(
        &mut self,
        live: HashMap<EndpointId, LiveState>,
        defined: Option<Arc<DefinitionSet>>,
        now: Timestamp,
        swept: bool,
    ) {
        let redefined = defined.is_some();
        if let Some(set) = defined {
            self.shared.set_definitions(set);
        }
        // Showing them copies the list of all endpoints: what is only for the eye waits for the sweep.
        let at_once = live.iter().any(|(endpoint, live)| self.shared.matters(*endpoint, live));
        self.live.extend(live);
        if (at_once || swept || redefined) && !self.live.is_empty() {
            self.shared.set_live(std::mem::take(&mut self.live));
        }
        if swept {
            self.next_sweep = now + if self.shared.config.relaxed { RELAXED_SYNC } else { SWEEP_EVERY };
            self.intake.index.committed();
            self.shared.places.committed();
            self.intake.look_round(&self.shared);
            self.ballast.restore(&self.shared);
        }
    }

    fn failed(&mut self, db: Connection, error: &StoreError, now: Timestamp) {
        match error {
            StoreError::Full(text) => {
                let released = self.ballast.release();
                self.db = Some(db);
                let health = if released { Health::Full(text.clone()) } else { Health::Failed(text.clone()) };
                // Said once; it is tried again many times a second.
                if std::mem::discriminant(&health) != std::mem::discriminant(&self.shared.health()) {
                    tracing::error!(%error, ballast_released = released, "the disk is full, events are refused");
                }
                self.shared.set_health(health);
            }
            _ => {
                // A failed fsync may have dropped pages: only a fresh look at the file tells what it holds.
                tracing::error!(%error, "the store failed, opening it again");
                self.shared.set_health(Health::Failed(error.to_string()));
                self.next_reopen = now + REOPEN_EVERY;
            }
        }
    }

    fn reopen(&mut self, now: Timestamp) -> bool {
        if now < self.next_reopen {
            return false;
        }
        self.next_reopen = now + REOPEN_EVERY;
        let opened = schema::open_writer(&self.shared.folder)
            .and_then(|mut db| super::recovery::verify(&mut db, &self.shared.folder).map(|()| db));
        match opened {
            Ok(db) => {
                tracing::info!("the store is open again");
                self.shared.set_health(self.ballast.health());
                self.db = Some(db);
                true
            }
            Err(error) => {
                self.shared.set_health(Health::Failed(error.to_string()));
                false
            }
        }
    }

    /// Nothing can be written now.
    fn refuse(&mut self, batch: Vec<Command>) {
        let error = match self.shared.health() {
            Health::Full(text) => StoreError::Full(text),
            Health::Failed(text) => StoreError::Unavailable(text),
            Health::Ok => StoreError::Unavailable("the store is opening".to_owned()),
        };
        for command in batch {
            match command {
                Command::Accept(_, reply) => drop(reply.send(Err(AcceptError::Store(error.clone())))),
                Command::Load { endpoint, .. } => self.shared.ledger(endpoint).lock().abort_load(),
                // Its reply is dropped with it, which its caller reads as "unavailable".
                Command::Job(_) | Command::Nudge | Command::Close => {}
            }
        }
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a fault without a message")
}

type Waiting = Vec<(Prepared, Reply<Result<Vec<Accepted>, AcceptError>>)>;

fn begin(tx: &mut Tx<'_>, sweep: bool, fold: bool) -> rusqlite::Result<()> {
    let relaxed = tx.shared.config.relaxed;
    if relaxed {
        // Without fsync but for the sweep's commit, which takes all before it along.
        tx.db.execute_batch(if sweep { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" })?;
    }
    tx.db.execute_batch("BEGIN IMMEDIATE")?;
    if fold {
        counts::fold(tx.db, tx.now)?;
    }
    tx.drain()?;
    if sweep && relaxed {
        super::ops::set_meta(tx.db, "synced", tx.now.0)?;
    }
    if sweep {
        let now = tx.now;
        tx.spill(Some(now))?;
        tx.intake.index.write(tx.db)?;
        tx.shared.places.write(tx.db)?;
    }
    Ok(())
}

/// Runs one command inside the transaction; after a failure only its reply is kept for later.
fn run(
    command: Command,
    tx: &mut Tx<'_>,
    result: &mut Result<(), StoreError>,
    after: &mut Vec<After>,
    accepted: &mut Waiting,
) {
    match command {
        Command::Accept(mut prepared, reply) => {
            if result.is_ok() {
                let revision = tx.revision();
                match tx.intake.check(tx.shared, revision, &mut prepared) {
                    Ok(()) => *result = tx.intake.insert(tx.db, &mut prepared, &mut tx.deltas).map_err(|e| tx.error(e)),
                    Err(refusal) => return drop(reply.send(Err(refusal))),
                }
            }
            accepted.push((prepared, reply));
        }
        Command::Load { endpoint, now, limit, reply } => {
            if result.is_ok() {
                *result = load::run(tx, endpoint, now, limit).map_err(|e| tx.error(e));
            }
            let _ = reply.send(());
        }
        Command::Job(job) => {
            if result.is_ok() {
                after.push(job(tx));
                *result = tx.lost.take().map_or(Ok(()), Err);
            }
        }
        Command::Nudge | Command::Close => {}
    }
}

fn commit(tx: &Tx<'_>) -> rusqlite::Result<()> {
    counts::log(tx.db, &tx.deltas, tx.now)?;
    let events = tx.deltas.contains_key(&counts::EVENTS);
    if events {
        crate::crash::point("before_commit");
    }
    if tx.ops.iter().any(|op| matches!(op, Op::Attempt { .. } | Op::Final(_))) {
        crate::crash::point("before_record_commit");
    }
    tx.db.execute_batch("COMMIT")?;
    if events {
        crate::crash::point("after_commit");
    }
    if tx.ops.iter().any(|op| matches!(op, Op::SpilledUpto(_))) {
        crate::crash::point("after_spill_commit");
    }
    Ok(())
}
