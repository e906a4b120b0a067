//! What was and is, for the status pages and the REST API. Reads never run on a dispatch thread.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;

use super::admin::AuditEntry;
use super::{Counts, Filter, Health, StoreError};
use crate::domain::attempt::{Attempt, ErrorKind};
use crate::domain::delivery::DeliveryState;
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, EndpointId, EventSeq, PublicId, WebhookId};
use crate::domain::time::Timestamp;

/// One page of a list, in the list's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    pub edge: Edge,
    pub limit: usize,
}

/// Where a page lies. Rows are named by their keys and are not part of the page themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    Start,
    /// It begins behind this row.
    After(i64),
    /// It ends before this row.
    Before(i64),
}

impl Page {
    pub const fn first(limit: usize) -> Self {
        Self { edge: Edge::Start, limit }
    }

    /// Whether its rows are read from its end towards its start.
    pub const fn is_backward(&self) -> bool {
        matches!(self.edge, Edge::Before(_))
    }
}

/// Rows and where the pages beside them lie.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed<T> {
    pub rows: Vec<T>,
    /// The page before this one ends before this row; `None`: this was the first.
    pub previous: Option<i64>,
    /// The next page begins behind this row; `None`: this was the last.
    pub next: Option<i64>,
    /// Exact where kept counters answer it.
    pub count: Option<u64>,
    /// Not everything was looked at, and the page has fewer rows than it could: where that ended.
    pub looked: Option<Looked>,
}

/// How far a search came; what lies beyond may match as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// Towards the older ones.
    BackTo(Timestamp),
    /// Towards the newer ones.
    UpTo(Timestamp),
}

impl<T> Listed<T> {
    /// From the rows of `page` in the direction it is read, one more than it holds if there are more.
    pub fn new(mut rows: Vec<T>, page: Page, count: Option<u64>, key: impl Fn(&T) -> i64) -> Self {
        let more = rows.len() > page.limit;
        rows.truncate(page.limit);
        if page.is_backward() {
            rows.reverse();
        }
        let (first, last) = (rows.first().map(&key), rows.last().map(&key));
        let (previous, next) = match page.edge {
            Edge::Start => (None, last.filter(|_| more)),
            Edge::After(row) => (first.or(Some(row)), last.filter(|_| more)),
            Edge::Before(row) => (first.filter(|_| more), last.or(Some(row))),
        };
        Self { rows, previous, next, count, looked: None }
    }

    /// The same of a list that is newest first and whose search may have ended early: at this row and time, both
    /// included, in the direction the page is read.
    pub fn found(
        rows: Vec<T>,
        page: Page,
        count: Option<u64>,
        end: Option<(i64, Timestamp)>,
        key: impl Fn(&T) -> i64,
    ) -> Self {
        let (more, full) = (rows.len() > page.limit, rows.len() >= page.limit);
        let mut listed = Self::new(rows, page, count, key);
        match page.edge {
            // The row itself may be one of those on the other page.
            Edge::After(row) if listed.rows.is_empty() => listed.previous = Some(row.saturating_sub(1)),
            Edge::Before(row) if listed.rows.is_empty() => listed.next = Some(row.saturating_add(1)),
            _ => {}
        }
        if let Some((row, at)) = end.filter(|_| !more) {
            let (edge, looked) = match page.is_backward() {
                false => (&mut listed.next, Looked::BackTo(at)),
                true => (&mut listed.previous, Looked::UpTo(at)),
            };
            (*edge, listed.looked) = (Some(row), (!full).then_some(looked));
        }
        listed
    }

    /// The same places with other rows.
    pub fn map<U>(self, rows: impl FnOnce(Vec<T>) -> Vec<U>) -> Listed<U> {
        let Self { previous, next, count, looked, .. } = self;
        Listed { rows: rows(self.rows), previous, next, count, looked }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    pub seq: EventSeq,
    pub id: PublicId,
    pub received_at: Timestamp,
    pub event_type: crate::domain::event::EventType,
    /// `dcim.site`
    pub model: String,
    pub object_id: Option<String>,
    pub request_id: Option<String>,
    pub deliveries: u32,
}

/// A delivery as lists show it.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryRow {
    pub id: DeliveryId,
    pub public_id: PublicId,
    pub event: EventRow,
    pub webhook: WebhookId,
    pub endpoint: EndpointId,
    pub state: DeliveryState,
    /// All attempts ever recorded.
    pub attempts: u32,
    /// When the next attempt is due; only while `retrying`.
    pub next_attempt_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub status_code: Option<u16>,
    pub error: Option<ErrorKind>,
    /// Of the last attempt.
    pub latency: Option<Duration>,
    /// When its event was accepted; of a resend, when it was ordered.
    pub created_at: Timestamp,
    pub superseded_by: Option<PublicId>,
    pub resend_of: Option<PublicId>,
    pub test: bool,
    /// The oldest event it was folded from.
    pub folded_from: Option<EventSeq>,
    /// The unfinished delivery of the same key just before it, when it is not its key's head.
    pub behind: Option<PublicId>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRow {
    pub number: u32,
    pub attempt: Attempt,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointCounts {
    pub pending: u64,
    pub in_flight: u64,
    pub retrying: u64,
    pub failed: u64,
    pub delivered: u64,
    pub oldest_pending_at: Option<Timestamp>,
    pub next_attempt_at: Option<Timestamp>,
}

/// A delivery that holds up those behind it: it waits for its next attempt, or is in flight.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockedKey {
    pub head: DeliveryRow,
    /// Deliveries of its ordering key that wait behind it.
    pub behind: u64,
}

/// How often deliveries ended. Later events, a retry or pruning, take nothing away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LastDay {
    pub delivered: u64,
    pub failed: u64,
}

/// How much one round of pruning may remove and what is over its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    pub delivered_before: Timestamp,
    pub failed_before: Timestamp,
    pub unmatched_before: Timestamp,
    pub max_history: u64,
    pub max_bytes: u64,
    /// Events looked at in one round.
    pub batch: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    pub events: u64,
    pub deliveries: u64,
    /// More is over its time.
    pub more: bool,
    /// Finished deliveries that are left and count against `max_history`.
    pub history: u64,
    /// Bytes in use that count against `max_bytes`.
    pub bytes: u64,
}

/// Deliveries of an event that are read at once.
pub const SIBLINGS_MAX: usize = 1_000;
/// Attempts of a delivery that are read at once.
pub const ATTEMPTS_MAX: usize = 1_000;

/// Failed deliveries of one endpoint that failed alike.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedGroup {
    pub endpoint: EndpointId,
    pub error: ErrorKind,
    pub status_code: Option<u16>,
    pub deliveries: u64,
    pub first: Timestamp,
    pub last: Timestamp,
}

type Answer<T> = BoxFuture<'static, Result<T, StoreError>>;

pub trait Archive: Send + Sync {
    /// An event, and what it said; of one that no webhook matched only the row is kept.
    fn event(&self, seq: EventSeq) -> Answer<Option<(EventRow, Option<Arc<Event>>)>>;
    /// Newest first, as deliveries are. A search looks at a bounded part: see [`Listed::looked`].
    fn events(&self, filter: Filter, page: Page) -> Answer<Listed<EventRow>>;

    /// Correct at once, also for what has no row yet.
    fn delivery(&self, id: DeliveryId) -> Answer<Option<DeliveryRow>>;
    /// Correct within a second. All conditions of the filter hold at one moment: what is in flight is neither pending nor
    /// retrying.
    fn deliveries(&self, filter: Filter, page: Page) -> Answer<Listed<DeliveryRow>>;
    /// Deliveries of one event, in the order of its plan, at most [`SIBLINGS_MAX`].
    fn siblings(&self, seq: EventSeq) -> Answer<Vec<DeliveryRow>>;
    /// The ordering keys of an endpoint that an attempt holds up, those with most behind them first. Of more retries than
    /// memory holds, those due last are left out.
    fn blocked(&self, endpoint: EndpointId, limit: usize) -> Answer<Vec<BlockedKey>>;
    /// All failed deliveries, tests aside, by endpoint and what came of them; the largest group first.
    fn failed_groups(&self) -> Answer<Vec<FailedGroup>>;
    /// In order; of more than [`ATTEMPTS_MAX`] the last ones.
    fn attempts(&self, id: DeliveryId) -> Answer<Vec<AttemptRow>>;

    /// From kept counters, without touching the disk.
    fn endpoint_counts(&self, endpoint: EndpointId) -> EndpointCounts;
    fn counts(&self) -> Counts;
    /// Ended deliveries of a webhook in this state, over all endpoints, tests aside.
    fn webhook_count(&self, webhook: WebhookId, state: DeliveryState) -> u64;
    /// How often deliveries of a webhook ended so in the hour that runs and the 24 before it, tests aside.
    fn last_day(&self, webhook: WebhookId) -> LastDay;
    fn health(&self) -> Health;
    fn size_bytes(&self) -> u64;

    fn audit_log(&self, page: Page) -> Answer<Listed<AuditEntry>>;

    /// Removes one bounded batch of what is over its time.
    fn prune(&self, retention: Retention) -> Answer<Pruned>;

    /// An online copy of the whole store into one file.
    fn backup(&self, to: std::path::PathBuf) -> Answer<()>;
}
