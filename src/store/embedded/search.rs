//! Which rows a list shows: found by index where one holds them, else looked for in order, a bounded number at a time.
//!
//! Of all ways to the rows the one with the fewest candidates is taken, as far as kept counters tell. Each way is a few
//! streams in the list's order, and every stream is asked for all conditions, so that ways differ in speed alone.

use std::rc::Rc;

use rusqlite::{Connection, OptionalExtension};

use super::conditions::Wanted;
use super::filter::{Bound, Where};
use super::ops::meta;
use super::shared::Shared;
use crate::domain::ids::DeliveryId;
use crate::domain::time::Timestamp;
use crate::store::Between;
use crate::store::archive::{Edge, Page};

mod keys;
mod near;
mod routes;
mod stream;
#[cfg(test)]
mod tests;
mod text;
mod walk;
mod ways;

pub use keys::request_key;
pub use text::Text;

use routes::Route;
use stream::{Rows, Shape, Source, Span, Stream};
use walk::{PATIENCE, Walked, walk};
use ways::Ways;

/// Clocks are set back a little between two runs: receipt of a later event may be so much earlier.
const SET_BACK: i64 = 10_000_000;

/// The rows of a page.
pub struct Found {
    /// In the order the page is read, one more than it holds if there are more.
    pub ids: Vec<i64>,
    /// Where patience ended, and when the event there was received.
    pub end: Option<(i64, Timestamp)>,
}

/// A search for deliveries. What memory says is asked when it is made: before the disk is.
pub struct Search<'a>(Ways<'a>);

impl<'a> Search<'a> {
    pub fn new(shared: &'a Shared, wanted: &'a Wanted<'a>) -> Self {
        Self(Ways::new(shared, wanted))
    }

    /// The rows of a page, by id.
    pub fn page(&self, db: &Connection, page: Page) -> rusqlite::Result<Found> {
        let (ways, backward) = (&self.0, page.is_backward());
        if ways.wanted.filter.wanted_states().is_some_and(|states| states.is_empty()) {
            return Ok(Found { ids: Vec::new(), end: None });
        }
        let created = received_within(db, ways.wanted.filter.created)?;
        let ids = Span { low: created.low << 16, high: created.high << 16 | 0xffff };
        let mut streams = Route { ways, db, span: span_of(page).within(ids), backward }.streams()?;
        if created.low > 0 {
            let before = span_of(page).within(Span { high: ids.low - 1, ..Span::ALL });
            streams.push(routes::resent_later(ways.wanted, before, backward));
        }
        let walked = walk(db, streams, backward, page.limit, PATIENCE)?;
        found(db, walked, |id| DeliveryId(id).event().0 as i64)
    }
}

/// Events, by sequence.
pub fn events(db: &Connection, wanted: &Wanted<'_>, page: Page) -> rusqlite::Result<Found> {
    let span = span_of(page).within(received_within(db, wanted.filter.created)?);
    let streams = routes::to_events(db, wanted, span, page.is_backward())?;
    let walked = walk(db, streams, page.is_backward(), page.limit, PATIENCE)?;
    found(db, walked, |seq| seq)
}

fn found(db: &Connection, walked: Walked, event: impl Fn(i64) -> i64) -> rusqlite::Result<Found> {
    let end = match walked.end {
        Some(id) => Some((id, received_about(db, event(id))?)),
        None => None,
    };
    Ok(Found { ids: walked.ids, end })
}

/// The rows on the page's side of its edge.
fn span_of(page: Page) -> Span {
    match page.edge {
        Edge::Start => Span::ALL,
        Edge::After(row) => Span { high: row.saturating_sub(1), ..Span::ALL },
        Edge::Before(row) => Span { low: row.saturating_add(1).max(0), ..Span::ALL },
    }
}

/// When the event of this sequence was received, or one beside it if there is none.
fn received_about(db: &Connection, seq: i64) -> rusqlite::Result<Timestamp> {
    let beside = "SELECT received FROM event WHERE seq <= ?1 ORDER BY seq DESC LIMIT 1";
    let found = db.prepare_cached(beside)?.query_row([seq], |r| r.get(0)).optional()?;
    if let Some(received) = found {
        return Ok(Timestamp(received));
    }
    let oldest = db.prepare_cached("SELECT received FROM event ORDER BY seq LIMIT 1")?.query_row([], |r| r.get(0));
    Ok(Timestamp(oldest.optional()?.unwrap_or(0)))
}

/// The sequences of all events that were received within a time; others may be among them.
fn received_within(db: &Connection, time: Between<Timestamp>) -> rusqlite::Result<Span> {
    let low = match time.gte {
        Some(at) => first_received(db, at.0.saturating_sub(SET_BACK))?,
        None => 0,
    };
    let high = match time.lt {
        Some(at) => first_received(db, at.0.saturating_add(SET_BACK))? - 1,
        None => i64::MAX >> 16,
    };
    Ok(Span { low, high })
}

/// The first sequence from which on events were received at `at` or later; one beyond the last if none was.
///
/// Sequences rise with receipt, so halving finds it.
fn first_received(db: &Connection, at: i64) -> rusqlite::Result<i64> {
    let ends = "SELECT coalesce(min(seq), 1), coalesce(max(seq), 0) FROM event";
    let (mut low, mut high): (i64, i64) = db.prepare_cached(ends)?.query_row([], |r| Ok((r.get(0)?, r.get(1)?)))?;
    high += 1;
    let mut next = db.prepare_cached("SELECT seq, received FROM event WHERE seq >= ?1 ORDER BY seq LIMIT 1")?;
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<(i64, i64)> = next.query_row([middle], |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
        match found {
            Some((seq, received)) if received < at => low = seq + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// Everything up to this event is in the index by key.
fn indexed_upto(db: &Connection) -> rusqlite::Result<i64> {
    Ok(meta(db, "indexed_upto")?.unwrap_or(0))
}

/// One stream of a source whose access has no values, or those given.
fn stream(source: &Source, conditions: &Where, span: Span, backward: bool) -> Stream {
    let shape = Shape::new(source, conditions, backward);
    let (access, conditions) = (source.access.bound().to_vec(), Rc::from(conditions.bound()));
    Stream { span, rows: Rows::Query { shape, access, conditions } }
}

/// The same for every one of several values of its access.
fn streams(
    source: &Source,
    conditions: &Where,
    values: impl IntoIterator<Item = (Vec<Bound>, Span)>,
    backward: bool,
) -> Vec<Stream> {
    let shape = Shape::new(source, conditions, backward);
    let bound: Rc<[Bound]> = Rc::from(conditions.bound());
    let one =
        |(access, span)| Stream { span, rows: Rows::Query { shape: shape.clone(), access, conditions: bound.clone() } };
    values.into_iter().map(one).collect()
}
