//! What was and is: rows, completed with what memory knows better.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rusqlite::params;

use super::EmbeddedStore;
use super::conditions::Wanted;
use super::failed;
use super::filter::{self, JOINED};
use super::ledger::Ledger;
use super::load::event_of;
use super::rows::{DELIVERY, EVENT, attempts, audit_from, delivery_from, delivery_row, event_row, problem};
use super::search::{self, Search};
use super::shared::Shared;
use super::tx::Tx;
use crate::clock;
use crate::domain::delivery::DeliveryState;
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, EndpointId, EventSeq, WebhookId};
use crate::store::admin::AuditEntry;
use crate::store::archive::{
    Archive, AttemptRow, BlockedKey, DeliveryRow, EndpointCounts, EventRow, FailedGroup, LastDay, Listed, Page, Pruned,
    Retention, SIBLINGS_MAX,
};
use crate::store::{Counts, Filter, Health, StoreError};

type Answer<T> = BoxFuture<'static, Result<T, StoreError>>;

impl Archive for EmbeddedStore {
    fn event(&self, seq: EventSeq) -> Answer<Option<(EventRow, Option<Arc<Event>>)>> {
        self.shared
            .read(move |db| {
                let Some(row) = event_row(db, seq)? else { return Ok(None) };
                Ok(Some((row, event_of(db, seq)?)))
            })
            .boxed()
    }

    fn events(&self, filter: Filter, page: Page) -> Answer<Listed<EventRow>> {
        let (all, definitions) = (self.counts().events, self.shared.definitions());
        self.shared
            .read(move |db| {
                let wanted = Wanted::new(&filter, &[], &definitions);
                let count = (filter == Filter::default()).then_some(all);
                let snapshot = db.unchecked_transaction().map_err(problem)?;
                let found = search::events(&snapshot, &wanted, page).map_err(problem)?;
                let rows = rows_of(found.ids, |id| event_row(&snapshot, EventSeq(id as u64)))?;
                Ok(Listed::found(rows, page, count, found.end, |row: &EventRow| row.seq.0 as i64))
            })
            .boxed()
    }

    fn delivery(&self, id: DeliveryId) -> Answer<Option<DeliveryRow>> {
        let shared = self.shared.clone();
        async move {
            // What has no row yet gets it with this commit.
            let spill = move |tx: &mut Tx<'_>| tx.spill_event(id.event()).map_err(|e| tx.error(e));
            let written = shared.clone().write(spill, |()| ()).await;
            let row = shared.read(move |db| delivery_row(db, id)).await?;
            if row.is_none() {
                written?;
            }
            Ok(row.map(|row| overlay_now(&shared, row)))
        }
        .boxed()
    }

    fn deliveries(&self, filter: Filter, page: Page) -> Answer<Listed<DeliveryRow>> {
        let shared = self.shared.clone();
        async move {
            let count = exact_count(&shared, &filter);
            if filter.states.contains(&DeliveryState::InFlight) {
                // What was started just now may have no row yet. Without a writer there are those that have.
                let _ = shared.clone().write(|tx| tx.spill_all().map_err(|e| tx.error(e)), |()| ()).await;
            }
            // One look at what is in flight for both, the conditions and what is shown.
            let mut in_flight = shared.in_flight();
            in_flight.sort_unstable();
            let running = in_flight.clone();
            let reader = shared.clone();
            let read = shared.read(move |db| {
                let wanted = Wanted::new(&filter, &running, &reader.definitions());
                let search = Search::new(&reader, &wanted);
                // What is found is shown as it was then.
                let snapshot = db.unchecked_transaction().map_err(problem)?;
                let found = search.page(&snapshot, page).map_err(problem)?;
                let rows = rows_of(found.ids, |id| delivery_row(&snapshot, DeliveryId(id)))?;
                Ok((rows, found.end))
            });
            let (rows, end) = read.await?;
            let rows = rows.into_iter().map(|row| {
                let running = in_flight.binary_search(&row.id).is_ok();
                overlay(&shared, row, running)
            });
            Ok(Listed::found(rows.collect(), page, count, end, |row: &DeliveryRow| row.id.0))
        }
        .boxed()
    }

    fn siblings(&self, seq: EventSeq) -> Answer<Vec<DeliveryRow>> {
        let shared = self.shared.clone();
        async move {
            let spill = move |tx: &mut Tx<'_>| tx.spill_event(seq).map_err(|e| tx.error(e));
            let written = shared.clone().write(spill, |()| ()).await;
            let rows = shared
                .read(move |db| {
                    let range = seq.deliveries();
                    db.prepare_cached(&format!(
                        "SELECT {DELIVERY}, {EVENT} {JOINED} WHERE d.id BETWEEN ?1 AND ?2 ORDER BY d.id LIMIT {SIBLINGS_MAX}"
                    ))
                    .and_then(|mut s| s.query_map(params![range.start(), range.end()], delivery_from)?.collect())
                    .map_err(problem)
                })
                .await?;
            let rows: Vec<DeliveryRow> = rows;
            if rows.is_empty() {
                written?;
            }
            Ok(rows.into_iter().map(|row| overlay_now(&shared, row)).collect())
        }
        .boxed()
    }

    fn blocked(&self, endpoint: EndpointId, limit: usize) -> Answer<Vec<BlockedKey>> {
        super::blocked::blocked(self.shared.clone(), endpoint, limit).boxed()
    }

    fn failed_groups(&self) -> Answer<Vec<FailedGroup>> {
        self.shared.read(move |db| failed::groups(db).map_err(problem)).boxed()
    }

    fn attempts(&self, id: DeliveryId) -> Answer<Vec<AttemptRow>> {
        self.shared.read(move |db| attempts(db, id).map_err(problem)).boxed()
    }

    fn endpoint_counts(&self, endpoint: EndpointId) -> EndpointCounts {
        let count = |state| self.shared.counted_at(endpoint, state);
        let ledger = self.shared.ledger(endpoint);
        let ledger = ledger.lock();
        let open = Open::of(&ledger);
        EndpointCounts {
            pending: open.pending,
            in_flight: open.in_flight,
            retrying: open.retrying,
            failed: count(DeliveryState::Failed),
            delivered: count(DeliveryState::Delivered),
            oldest_pending_at: ledger.oldest(),
            next_attempt_at: ledger.next_due(),
        }
    }

    fn webhook_count(&self, webhook: WebhookId, state: DeliveryState) -> u64 {
        self.shared.counted(|_, w, s| w == webhook && s == state)
    }

    fn last_day(&self, webhook: WebhookId) -> LastDay {
        self.shared.hours.lock().last_day(webhook, clock::now())
    }

    fn counts(&self) -> Counts {
        let mut counts =
            Counts { events: self.shared.events.load(std::sync::atomic::Ordering::Relaxed), ..Counts::default() };
        for state in DeliveryState::ALL.into_iter().filter(|s| !s.unfinished()) {
            counts.by_state.insert(state, self.shared.counted(|_, _, s| s == state));
        }
        let mut open = Open::default();
        for ledger in self.shared.all_ledgers() {
            let ledger = ledger.lock();
            open.add(&Open::of(&ledger));
            counts.oldest_pending_at = [counts.oldest_pending_at, ledger.oldest()].into_iter().flatten().min();
        }
        for state in DeliveryState::ALL.into_iter().filter(|s| s.unfinished()) {
            counts.by_state.insert(state, open.in_state(state));
        }
        counts
    }

    fn health(&self) -> Health {
        self.shared.health()
    }

    fn size_bytes(&self) -> u64 {
        let size = |name: String| std::fs::metadata(self.shared.folder.join(name)).map_or(0, |m| m.len());
        size(super::schema::FILE.to_owned()) + size(format!("{}-wal", super::schema::FILE))
    }

    fn audit_log(&self, page: Page) -> Answer<Listed<AuditEntry>> {
        self.shared
            .read(move |db| {
                let select = "SELECT id, time, actor, action, target, detail FROM audit";
                let rows = filter::newest(db, (select, "id"), page, audit_from).map_err(problem)?;
                Ok(Listed::new(rows, page, None, |row: &AuditEntry| row.id))
            })
            .boxed()
    }

    fn prune(&self, retention: Retention) -> Answer<Pruned> {
        let shared = self.shared.clone();
        let change = move |tx: &mut Tx<'_>| {
            let removed = super::prune::run(tx, &retention)?;
            if removed.endpoints_gone() {
                super::definitions::keep_revision_number(tx)?;
            }
            Ok(removed)
        };
        self.shared.write(change, move |removed| removed.applied(&shared)).boxed()
    }

    fn backup(&self, to: std::path::PathBuf) -> Answer<()> {
        let folder = self.shared.folder.clone();
        // A connection of its own: a copy takes longer than a read may.
        self.shared.read(move |_| super::backup::backup(&folder, &to)).boxed()
    }
}

/// One that cannot be read because its event is damaged is left out.
fn rows_of<T>(ids: Vec<i64>, row: impl Fn(i64) -> Result<Option<T>, StoreError>) -> Result<Vec<T>, StoreError> {
    ids.into_iter().filter_map(|id| row(id).transpose()).collect()
}

/// How many unfinished deliveries are in which state.
#[derive(Default)]
struct Open {
    pending: u64,
    in_flight: u64,
    retrying: u64,
}

impl Open {
    fn of(ledger: &Ledger) -> Self {
        let (running, fresh) = (ledger.in_flight, ledger.fresh_in_flight());
        Self {
            pending: ledger.unfinished.saturating_sub(ledger.retrying).saturating_sub(fresh),
            in_flight: running,
            retrying: ledger.retrying.saturating_sub(running - fresh),
        }
    }

    fn add(&mut self, other: &Self) {
        self.pending += other.pending;
        self.in_flight += other.in_flight;
        self.retrying += other.retrying;
    }

    const fn in_state(&self, state: DeliveryState) -> u64 {
        match state {
            DeliveryState::Pending => self.pending,
            DeliveryState::InFlight => self.in_flight,
            DeliveryState::Retrying => self.retrying,
            DeliveryState::Delivered | DeliveryState::Failed | DeliveryState::Superseded | DeliveryState::Canceled => 0,
        }
    }
}

/// From the kept counters, when the filter asks for nothing finer: for states, tests and endpoints; for webhooks only of
/// what has ended.
fn exact_count(shared: &Shared, filter: &Filter) -> Option<u64> {
    let coarse = Filter {
        states: filter.states.clone(),
        webhooks: filter.webhooks.clone(),
        endpoints: filter.endpoints.clone(),
        test: filter.test,
        ..Filter::default()
    };
    let (tests, others) = (filter.test != Some(false), filter.test != Some(true));
    let wanted = |s: DeliveryState| filter.states.is_empty() || filter.states.contains(&s);
    let open: Vec<_> = DeliveryState::ALL.into_iter().filter(|s| s.unfinished() && wanted(*s) && others).collect();
    if *filter != coarse || (!open.is_empty() && !filter.webhooks.is_empty()) {
        return None;
    }
    let at = |e: &EndpointId| filter.endpoints.is_empty() || filter.endpoints.contains(e);
    let of = |e, w: WebhookId, s| wanted(s) && at(&e) && (filter.webhooks.is_empty() || filter.webhooks.contains(&w));
    // Lists show tests among the others; none of them is unfinished.
    let mut count = if others { shared.counted(of) } else { 0 };
    count += if tests { shared.counted_tests(of) } else { 0 };
    if !open.is_empty() {
        for ledger in shared.all_ledgers() {
            let ledger = ledger.lock();
            if at(&ledger.endpoint) {
                let here = Open::of(&ledger);
                count += open.iter().map(|s| here.in_state(*s)).sum::<u64>();
            }
        }
    }
    Some(count)
}

/// What memory knows better than the row: what runs now, and what it waits behind.
fn overlay(shared: &Shared, mut row: DeliveryRow, running: bool) -> DeliveryRow {
    if row.state.unfinished() {
        if running {
            row.state = DeliveryState::InFlight;
            row.next_attempt_at = None;
        }
        let ledger = shared.ledger(row.endpoint);
        let ledger = ledger.lock();
        row.behind = ledger.behind(row.id).map(super::ledger::Entry::public_id);
    }
    row
}

/// The same at this moment.
pub fn overlay_now(shared: &Shared, row: DeliveryRow) -> DeliveryRow {
    let running = shared.ledger(row.endpoint).lock().get(row.id).is_some_and(|e| e.in_flight);
    overlay(shared, row, running)
}
