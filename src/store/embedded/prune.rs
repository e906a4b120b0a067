//! Retention: what is over its time goes, in bounded batches, oldest first. Never what is unfinished.
//!
//! A cursor over the events goes forward only: each event is looked at when its time comes, or earlier when history is
//! over a bound. What may not go then is noted in `prune_later` with the instant its time runs from, and looked at
//! again when that time is over. So a round costs what it removes, however much is kept. Events that no webhook matched
//! have an index of their own. A round that comes to its end also removes what deliveries left behind.
//!
//! A delivery without a row is over only if its event is not young any more (`spilled_upto`): else it was never sent.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::params;

use super::counts::{self, Deltas};
use super::index;
use super::ops::{TEST, meta, set_meta};
use super::places;
use super::shared::Shared;
use super::tx::Tx;
use crate::domain::delivery::DeliveryState;
use crate::domain::ids::{DeliveryId, EndpointId, EventSeq, WebhookId};
use crate::domain::time::Timestamp;
use crate::store::StoreError;
use crate::store::archive::{Pruned, Retention};

/// Lines the audit log keeps.
const AUDIT_MAX: i64 = 100_000;
/// Over a bound, events with unfinished deliveries are looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(3_600);

/// Why an event is noted for later.
#[derive(Clone, Copy, Debug)]
enum Note {
    /// Delivered, canceled or superseded ones are left, finished at the noted instant or later.
    Done = 0,
    /// The same for failed ones.
    Failed = 1,
    /// Unfinished ones are left, as of the noted instant.
    Open = 2,
}

/// One delivery's row, as far as it matters here.
struct Old {
    id: DeliveryId,
    endpoint: EndpointId,
    webhook: WebhookId,
    state: DeliveryState,
    finished: Timestamp,
    folded_from: Option<EventSeq>,
    /// A request beside the queue: it is counted apart.
    test: bool,
}

/// What a round removed; memory follows after the commit, see [`Removed::applied`].
#[derive(Default)]
pub struct Removed {
    pruned: Pruned,
    /// Changes of the kept counters, all of them below zero.
    gone: Deltas,
    places: Vec<(EndpointId, DeliveryId)>,
    endpoints: Vec<EndpointId>,
}

impl Removed {
    /// Whether the definitions are other ones now.
    pub fn endpoints_gone(&self) -> bool {
        !self.endpoints.is_empty()
    }

    /// The removal is on disk.
    pub fn applied(self, shared: &Shared) -> Pruned {
        shared.events.fetch_sub(self.pruned.events, std::sync::atomic::Ordering::Relaxed);
        for ((endpoint, webhook, code), change) in self.gone {
            if let Some(state) = DeliveryState::from_code(code) {
                shared.count(endpoint, webhook, state, change);
            } else if let Some(state) = DeliveryState::from_code(code - counts::TESTS) {
                shared.count_test(endpoint, webhook, state, change);
            }
        }
        self.endpoints.into_iter().for_each(|endpoint| shared.forget_endpoint(endpoint));
        shared.places.forget(&self.places.into_iter().map(|(_, id)| id).collect());
        self.pruned
    }
}

/// Removes one batch of what may go.
pub fn run(tx: &mut Tx<'_>, retention: &Retention) -> Result<Removed, StoreError> {
    let mut round = Round::begin(tx, retention)?;
    round.unmatched(tx)?;
    round.noted(tx, Note::Failed)?;
    round.noted(tx, Note::Open)?;
    round.noted(tx, Note::Done)?;
    round.forward(tx)?;
    beside(tx, retention).map_err(|e| tx.error(e))?;
    round.end(tx)
}

struct Round<'a> {
    retention: &'a Retention,
    /// Every delivery up to it has had its row.
    spilled: i64,
    /// The newest event stays: the next number is told from it.
    newest: i64,
    /// Deliveries that go before their time.
    excess: u64,
    /// Finished deliveries that count, before this round.
    history: u64,
    /// Rows that this round may still look at.
    left: usize,
    removed: Removed,
}

impl<'a> Round<'a> {
    fn begin(tx: &Tx<'_>, retention: &'a Retention) -> Result<Self, StoreError> {
        let history = tx.shared.counted(|_, _, state| !state.unfinished() && state != DeliveryState::Failed);
        let newest = "SELECT coalesce(max(seq), 0) FROM event";
        let mut excess = history.saturating_sub(retention.max_history);
        if used_bytes(tx)? > retention.max_bytes {
            excess = excess.max(retention.batch as u64);
        }
        Ok(Self {
            retention,
            spilled: meta(tx.db, "spilled_upto").map_err(|e| tx.error(e))?.unwrap_or(0),
            newest: tx.db.query_row(newest, [], |r| r.get(0)).map_err(|e| tx.error(e))?,
            excess,
            history,
            left: retention.batch,
            removed: Removed::default(),
        })
    }

    /// Events that no webhook matched: only their mark was kept.
    fn unmatched(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let sql = "SELECT seq FROM event WHERE body IS NULL AND received < ?1 AND seq < ?2 ORDER BY received LIMIT ?3";
        let bounds = params![self.retention.unmatched_before.0, self.newest, self.left as i64];
        let found: Vec<i64> = tx
            .db
            .prepare_cached(sql)
            .and_then(|mut s| s.query_map(bounds, |r| r.get(0))?.collect())
            .map_err(|e| tx.error(e))?;
        self.left -= found.len();
        found.into_iter().try_for_each(|seq| self.remove_event(tx, EventSeq(seq as u64)))
    }

    /// Events noted for later, whose time is over now.
    fn noted(&mut self, tx: &Tx<'_>, note: Note) -> Result<(), StoreError> {
        let over = self.excess > 0;
        let before = match note {
            Note::Failed => self.retention.failed_before,
            Note::Open if over => self.retention.delivered_before.max(tx.now - LOOK_AGAIN),
            Note::Done if over => Timestamp(i64::MAX),
            Note::Done | Note::Open => self.retention.delivered_before,
        };
        let found: Vec<(i64, i64)> = tx
            .db
            .prepare_cached("SELECT since, seq FROM prune_later WHERE kind = ?1 AND since < ?2 ORDER BY since LIMIT ?3")
            .and_then(|mut s| {
                let bounds = params![note as i64, before.0, self.left as i64];
                s.query_map(bounds, |r| Ok((r.get(0)?, r.get(1)?)))?.collect()
            })
            .map_err(|e| tx.error(e))?;
        for (since, seq) in found {
            let early = since >= self.retention.delivered_before.0 && self.excess == 0;
            if self.left == 0 || (early && matches!(note, Note::Done)) {
                break;
            }
            tx.db
                .prepare_cached("DELETE FROM prune_later WHERE kind = ?1 AND since = ?2 AND seq = ?3")
                .and_then(|mut s| s.execute(params![note as i64, since, seq]))
                .map_err(|e| tx.error(e))?;
            self.look_at(tx, EventSeq(seq as u64))?;
        }
        Ok(())
    }

    /// The cursor: events that were not looked at yet.
    fn forward(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let mut cursor = meta(tx.db, "pruned_upto").map_err(|e| tx.error(e))?.unwrap_or(0);
        let candidates: Vec<(i64, i64, bool)> = tx
            .db
            .prepare_cached(
                "SELECT seq, received, body IS NULL FROM event WHERE seq > ?1 AND seq < ?2 AND seq <= ?3
                 ORDER BY seq LIMIT ?4",
            )
            .and_then(|mut s| {
                let bounds = params![cursor, self.newest, self.spilled, self.left as i64];
                s.query_map(bounds, |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?.collect()
            })
            .map_err(|e| tx.error(e))?;
        let young = self.retention.delivered_before.max(self.retention.failed_before).0;
        for (seq, received, unmatched) in candidates {
            if self.left == 0 || (received >= young && self.excess == 0) {
                break;
            }
            cursor = seq;
            match unmatched {
                true => self.left -= 1,
                false => self.look_at(tx, EventSeq(seq as u64))?,
            }
        }
        set_meta(tx.db, "pruned_upto", cursor).map_err(|e| tx.error(e))
    }

    /// Removes of one event what may go, and notes the rest.
    fn look_at(&mut self, tx: &Tx<'_>, seq: EventSeq) -> Result<(), StoreError> {
        let rows = rows(tx, seq).map_err(|e| tx.error(e))?;
        self.left = self.left.saturating_sub(rows.len().max(1));
        let Some(last) = rows.last().map(|row| row.id) else { return self.remove_bare(tx, seq) };
        let (go, stay): (Vec<Old>, Vec<Old>) = rows.into_iter().partition(|row| self.may_go(row));
        for row in &go {
            self.remove_delivery(tx, row).map_err(|e| tx.error(e))?;
        }
        if !stay.is_empty() && !go.is_empty() {
            keep_places(tx, seq, last).map_err(|e| tx.error(e))?;
        }
        if stay.is_empty() {
            self.remove_bare(tx, seq)?;
        }
        let needed: BTreeSet<EventSeq> = go.iter().filter_map(|row| row.folded_from).collect();
        needed.into_iter().try_for_each(|first| self.remove_bare(tx, first))?;
        note_rest(tx, seq, &stay).map_err(|e| tx.error(e))
    }

    fn may_go(&mut self, row: &Old) -> bool {
        if row.state.unfinished() {
            return false;
        }
        if row.state == DeliveryState::Failed {
            return row.finished < self.retention.failed_before;
        }
        let goes = row.finished < self.retention.delivered_before || self.excess > 0;
        self.excess -= u64::from(goes && !row.test && self.excess > 0);
        goes
    }

    fn remove_delivery(&mut self, tx: &Tx<'_>, row: &Old) -> rusqlite::Result<()> {
        tx.db.prepare_cached("DELETE FROM attempt WHERE delivery = ?1")?.execute([row.id.0])?;
        tx.db.prepare_cached("DELETE FROM delivery WHERE id = ?1")?.execute([row.id.0])?;
        self.removed.pruned.deliveries += 1;
        self.removed.places.push((row.endpoint, row.id));
        let code = if row.test { counts::TESTS } else { 0 } + row.state.code();
        *self.removed.gone.entry((row.endpoint, row.webhook, code)).or_default() -= 1;
        Ok(())
    }

    /// Removes an event without deliveries, unless one that was folded takes its `prechange` from it.
    fn remove_bare(&mut self, tx: &Tx<'_>, seq: EventSeq) -> Result<(), StoreError> {
        let range = seq.deliveries();
        let needed = tx
            .db
            .prepare_cached(
                "SELECT 1 FROM delivery WHERE id BETWEEN ?1 AND ?2
                 UNION ALL SELECT 1 FROM delivery WHERE folded_from = ?3 LIMIT 1",
            )
            .and_then(|mut s| s.exists(params![range.start(), range.end(), seq.0 as i64]))
            .map_err(|e| tx.error(e))?;
        if needed || seq.0 as i64 > self.spilled.min(self.newest - 1) { Ok(()) } else { self.remove_event(tx, seq) }
    }

    fn remove_event(&mut self, tx: &Tx<'_>, seq: EventSeq) -> Result<(), StoreError> {
        let removed = index::remove(tx.db, seq)
            .and_then(|()| tx.db.prepare_cached("DELETE FROM event WHERE seq = ?1")?.execute([seq.0 as i64]))
            .map_err(|e| tx.error(e))?;
        self.removed.pruned.events += removed as u64;
        Ok(())
    }

    /// The counters change with the last step: what fails before it leaves them alone.
    fn end(mut self, tx: &mut Tx<'_>) -> Result<Removed, StoreError> {
        let history = |code| DeliveryState::from_code(code).is_some_and(|state| state != DeliveryState::Failed);
        let counted: i64 = self.removed.gone.iter().filter(|(key, _)| history(key.2)).map(|(_, n)| -n).sum();
        let pruned = &mut self.removed.pruned;
        pruned.history = self.history.saturating_sub_signed(counted);
        pruned.bytes = used_bytes(tx)?;
        pruned.more = self.left == 0;
        for (key, change) in &self.removed.gone {
            *tx.deltas.entry(*key).or_default() += change;
        }
        if pruned.events > 0 {
            *tx.deltas.entry(counts::EVENTS).or_default() -= pruned.events as i64;
        }
        places::remove(tx.db, &mut self.removed.places).map_err(|e| tx.error(e))?;
        if !self.removed.pruned.more {
            self.removed.endpoints = super::leftovers::remove(tx, self.retention)?;
        }
        Ok(self.removed)
    }
}

fn rows(tx: &Tx<'_>, seq: EventSeq) -> rusqlite::Result<Vec<Old>> {
    let range = seq.deliveries();
    let mut found = tx.db.prepare_cached(
        "SELECT id, endpoint, webhook, state, coalesce(finished, 0), folded_from, coalesce(flags, 0) FROM delivery
         WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
    )?;
    let old = |r: &rusqlite::Row<'_>| {
        Ok(Old {
            id: DeliveryId(r.get(0)?),
            endpoint: EndpointId(r.get(1)?),
            webhook: WebhookId(r.get(2)?),
            // One that cannot be understood is kept.
            state: DeliveryState::from_code(r.get(3)?).unwrap_or(DeliveryState::Pending),
            finished: Timestamp(r.get(4)?),
            folded_from: r.get::<_, Option<i64>>(5)?.map(|seq| EventSeq(seq as u64)),
            test: r.get::<_, i64>(6)? & TEST != 0,
        })
    };
    found.query_map(params![range.start(), range.end()], old)?.collect()
}

/// Some places of an event have no row any more: no later delivery of it may get their numbers.
fn keep_places(tx: &Tx<'_>, seq: EventSeq, last: DeliveryId) -> rusqlite::Result<()> {
    tx.db
        .prepare_cached("UPDATE event SET places = max(places, ?2) WHERE seq = ?1")?
        .execute(params![seq.0 as i64, i64::from(last.place()) + 1])
        .map(drop)
}

/// From when the time of what stays runs.
fn note_rest(tx: &Tx<'_>, seq: EventSeq, stay: &[Old]) -> rusqlite::Result<()> {
    let mut insert = tx.db.prepare_cached("INSERT OR IGNORE INTO prune_later(kind, since, seq) VALUES(?1, ?2, ?3)")?;
    let kind = |row: &Old| match row.state {
        DeliveryState::Failed => Note::Failed as i64,
        state if state.unfinished() => Note::Open as i64,
        _ => Note::Done as i64,
    };
    for note in [Note::Done, Note::Failed, Note::Open] {
        let of_kind = stay.iter().filter(|row| kind(row) == note as i64);
        let since = of_kind.map(|row| if row.state.unfinished() { tx.now } else { row.finished }).min();
        if let Some(since) = since {
            insert.execute(params![note as i64, since.0, seq.0 as i64])?;
        }
    }
    Ok(())
}

fn used_bytes(tx: &Tx<'_>) -> Result<u64, StoreError> {
    let pragma = |name: &str| -> Result<i64, StoreError> {
        tx.db.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).map_err(|e| tx.error(e))
    };
    let used = (pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?;
    Ok(u64::try_from(used).unwrap_or(0))
}

/// Lines of the audit log beyond its bound, and idempotency keys that memory has forgotten.
fn beside(tx: &mut Tx<'_>, retention: &Retention) -> rusqlite::Result<()> {
    tx.db.execute("DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?1", [AUDIT_MAX])?;
    let now = tx.now;
    let oldest = tx.intake().oldest_key(now);
    tx.db
        .prepare_cached("DELETE FROM idempotency WHERE seq IN (SELECT seq FROM idempotency WHERE seq < ?1 LIMIT ?2)")?
        .execute(params![oldest.0 as i64, retention.batch as i64])
        .map(drop)
}
