//! A way as streams: which index, and the SQL of it.

use std::collections::BTreeSet;
use std::rc::Rc;

use rusqlite::{Connection, params};

use super::near::At;
use super::stream::{Rows, Source, Span, Stream};
use super::ways::{STREAMS_MAX, Through, Ways};
use super::{indexed_upto, keys, stream, streams};
use crate::domain::attempt::ErrorKind;
use crate::domain::ids::EndpointId;
use crate::store::embedded::conditions::{STOPPED, UNFINISHED, Wanted};
use crate::store::embedded::filter::{Bound, Where};

const NONE: &str = "";
const WITH_EVENT: &str = "JOIN event e ON e.seq = d.id >> 16";
const PLACED: &str = "CROSS JOIN delivery d ON d.id = p.id";
const PLACED_WITH_EVENT: &str = "CROSS JOIN delivery d ON d.id = p.id CROSS JOIN event e ON e.seq = d.id >> 16";
const OF_EVENT: &str = "CROSS JOIN delivery d ON d.id BETWEEN e.seq << 16 AND (e.seq << 16) + 65535";
const EVENT_OF_KEY: &str = "CROSS JOIN event e ON e.seq = k.seq";
const OF_KEY: &str =
    "CROSS JOIN event e ON e.seq = k.seq CROSS JOIN delivery d ON d.id BETWEEN e.seq << 16 AND (e.seq << 16) + 65535";

/// One page's look at the disk for deliveries.
pub struct Route<'a> {
    pub ways: &'a Ways<'a>,
    pub db: &'a Connection,
    pub span: Span,
    pub backward: bool,
}

/// Deliveries that were made later than their events, by hand, among older ones.
pub fn resent_later(wanted: &Wanted<'_>, span: Span, backward: bool) -> Stream {
    let conditions = wanted.of_state().and(&wanted.of_delivery("d.endpoint")).and(&wanted.of_event());
    let source = rows("delivery d INDEXED BY delivery_resent", Where::of("d.created IS NOT NULL"), true);
    stream(&source, &conditions.and(&wanted.of_both()), span, backward)
}

/// Events: those that the index names, or all.
pub fn to_events(db: &Connection, wanted: &Wanted<'_>, span: Span, backward: bool) -> rusqlite::Result<Vec<Stream>> {
    let conditions = wanted.of_listed_event();
    let every = Source { row: "e.seq", joined: NONE, by_event: false, ..each_event() };
    let Some(keys) = keys::of(db, wanted.filter)? else {
        return Ok(vec![stream(&every, &conditions, span, backward)]);
    };
    let indexed = indexed_upto(db)?;
    let by_key = Source { row: "k.seq", joined: EVENT_OF_KEY, by_event: false, ..each_of_key() };
    let known = span.within(Span { high: indexed, ..Span::ALL });
    let mut found = streams(&by_key, &conditions, keys.into_iter().map(|key| (vec![Bound::Int(key)], known)), backward);
    let rest = span.within(Span { low: indexed + 1, ..Span::ALL });
    found.push(stream(&every, &conditions, rest, backward));
    Ok(found)
}

/// Deliveries that `access` finds in `table`.
fn rows(table: &'static str, access: Where, of_event: bool) -> Source {
    let joined = if of_event { WITH_EVENT } else { NONE };
    Source { key: "d.id", candidates: table, access, joined, row: "d.id", by_event: false }
}

/// Deliveries of all events.
fn each_event() -> Source {
    let access = Where::default();
    Source { key: "e.seq", candidates: "event e", access, joined: OF_EVENT, row: "d.id", by_event: true }
}

/// Deliveries of the events of a key.
fn each_of_key() -> Source {
    Source { key: "k.seq", candidates: "event_key k", access: is("k.key"), joined: OF_KEY, row: "d.id", by_event: true }
}

/// That a column has a value, which each stream has of its own.
fn is(column: &str) -> Where {
    Where::of(format!("{column} = ?"))
}

impl Route<'_> {
    /// The streams of the best way.
    pub fn streams(&self) -> rusqlite::Result<Vec<Stream>> {
        let filter = self.ways.wanted.filter;
        if !filter.events.is_empty() {
            return Ok(self.of_events());
        }
        match keys::of(self.db, filter)? {
            Some(keys) => self.by_key(keys),
            None => self.through(&self.ways.through),
        }
    }

    pub fn through(&self, way: &Through) -> rusqlite::Result<Vec<Stream>> {
        let ways = self.ways;
        let (conditions, of_event) = ways.whole();
        let one = |table, access| self.one(&rows(table, Where::of(access), of_event), &conditions);
        let unfinished = || one("delivery d INDEXED BY delivery_unfinished", UNFINISHED);
        Ok(match way {
            Through::All => self.through_all(),
            Through::States { unfinished: open, stopped } => {
                let stopped = stopped.then(|| one("delivery d INDEXED BY delivery_stopped", STOPPED));
                open.then(unfinished).into_iter().chain(stopped).collect()
            }
            Through::InFlight => vec![self.these(ways.wanted.in_flight.iter().map(|id| id.0).collect())],
            Through::Retrying => vec![self.these(retrying(self.db)?)],
            Through::OpenThere => {
                let there = ways.at.iter().flat_map(|at| &at.endpoints);
                vec![self.these(open_at(self.db, there)?)]
            }
            Through::StoppedOfWebhooks => {
                let webhooks: BTreeSet<u32> = ways.wanted.filter.webhooks.iter().map(|id| id.0).collect();
                let access = Where::of(STOPPED).and(&is("d.webhook"));
                let source = rows("delivery d INDEXED BY delivery_failed", access, of_event);
                self.each(&source, &conditions, webhooks.into_iter().map(i64::from))
            }
            Through::There => {
                let mut found: Vec<Stream> = ways.at.iter().flat_map(|at| self.at(at, &conditions, of_event)).collect();
                found.extend(ways.at.as_ref().filter(|at| at.elsewhere).map(|_| unfinished()));
                found
            }
            Through::Errors(kinds) => self.wrong(kinds, &conditions, of_event),
        })
    }

    /// Everything in order; what is said of events alone is asked once for each.
    fn through_all(&self) -> Vec<Stream> {
        let ways = self.ways;
        let every = |of_event| rows("delivery d NOT INDEXED", Where::default(), of_event);
        let (Some(text), Some(named)) = (&ways.wanted.text, &ways.named) else {
            let by_event = !ways.wanted.of_event().is_empty();
            let source = if by_event { each_event() } else { every(ways.of_event) };
            return vec![self.one(&source, &ways.conditions)];
        };
        // Each place that may have the text by a way of its own.
        if named.elsewhere || named.endpoints.len() > STREAMS_MAX {
            return vec![self.one(&every(true), &ways.whole().0)];
        }
        let beside = ways.conditions.clone().and(&text.in_delivery());
        let mut found = vec![self.one(&each_event(), &ways.conditions.clone().and(&text.in_event()))];
        found.extend(self.at(named, &beside, ways.of_event));
        found.extend(self.wrong(&ErrorKind::ALL, &beside, ways.of_event));
        if text.code.is_some_and(|code| (200..300).contains(&code)) {
            found.push(self.one(&every(ways.of_event), &beside));
        }
        found
    }

    fn of_events(&self) -> Vec<Stream> {
        let (conditions, of_event) = self.ways.whole();
        let source = rows("delivery d NOT INDEXED", Where::default(), of_event);
        let events: BTreeSet<_> = self.ways.wanted.filter.events.iter().collect();
        let ranges = events.into_iter().map(|seq| {
            let ids = seq.deliveries();
            (Vec::new(), self.span.within(Span { low: *ids.start(), high: *ids.end() }))
        });
        streams(&source, &conditions, ranges, self.backward)
    }

    /// By object or request; events that the index does not hold yet are looked at one by one.
    fn by_key(&self, keys: Vec<i64>) -> rusqlite::Result<Vec<Stream>> {
        let (conditions, _) = self.ways.whole();
        let indexed = indexed_upto(self.db)? << 16 | 0xffff;
        let known = self.span.within(Span { high: indexed, ..Span::ALL });
        let each = keys.into_iter().map(|key| (vec![Bound::Int(key)], known));
        let mut found = streams(&each_of_key(), &conditions, each, self.backward);
        let rest = self.span.within(Span { low: indexed + 1, ..Span::ALL });
        found.push(stream(&each_event(), &conditions, rest, self.backward));
        Ok(found)
    }

    /// What lies at some endpoints, and what waits to be said to lie there.
    fn at(&self, at: &At, conditions: &Where, of_event: bool) -> Vec<Stream> {
        let joined = if of_event { PLACED_WITH_EVENT } else { PLACED };
        let access = is("p.endpoint");
        let source = Source { key: "p.id", candidates: "placed p", access, joined, row: "p.id", by_event: false };
        let mut found = self.each(&source, conditions, at.endpoints.iter().map(|id| id.0.into()));
        found.push(self.some(at.waiting.clone(), conditions, of_event));
        found
    }

    fn wrong(&self, kinds: &[ErrorKind], conditions: &Where, of_event: bool) -> Vec<Stream> {
        let source = rows("delivery d INDEXED BY delivery_error", is("d.error"), of_event);
        self.each(&source, conditions, kinds.iter().map(|kind| *kind as i64))
    }

    fn one(&self, source: &Source, conditions: &Where) -> Stream {
        stream(source, conditions, self.span, self.backward)
    }

    /// A stream for each value of the source's access.
    fn each(&self, source: &Source, conditions: &Where, values: impl Iterator<Item = i64>) -> Vec<Stream> {
        let values = values.map(|value| (vec![Bound::Int(value)], self.span));
        streams(source, conditions, values, self.backward)
    }

    /// Of these deliveries those that are wanted.
    fn these(&self, ids: Vec<i64>) -> Stream {
        let (conditions, of_event) = self.ways.whole();
        self.some(ids, &conditions, of_event)
    }

    fn some(&self, mut ids: Vec<i64>, conditions: &Where, of_event: bool) -> Stream {
        ids.sort_unstable();
        let joined = if of_event { WITH_EVENT } else { NONE };
        let direction = if self.backward { "ASC" } else { "DESC" };
        let matches = format!(
            "SELECT d.id FROM delivery d {joined} WHERE d.id IN (SELECT value FROM json_each(?)) AND {}
             ORDER BY d.id {direction} LIMIT ?",
            conditions.sql()
        );
        let rows = Rows::Ids { ids, matches: matches.into(), conditions: Rc::from(conditions.bound()) };
        Stream { span: self.span, rows }
    }
}

/// Through the index that knows retries by age.
fn retrying(db: &Connection) -> rusqlite::Result<Vec<i64>> {
    db.prepare_cached("SELECT id FROM delivery INDEXED BY delivery_aging WHERE state = 1")?
        .query_map([], |r| r.get(0))?
        .collect()
}

/// Through the index that knows what is unfinished by its order.
fn open_at<'a>(db: &Connection, endpoints: impl Iterator<Item = &'a EndpointId>) -> rusqlite::Result<Vec<i64>> {
    let mut ids = Vec::new();
    let open = "SELECT id FROM delivery INDEXED BY delivery_open WHERE endpoint = ?1 AND state < 2";
    let mut open = db.prepare_cached(open)?;
    for endpoint in endpoints {
        for id in open.query_map(params![endpoint.0], |r| r.get(0))? {
            ids.push(id?);
        }
    }
    Ok(ids)
}
