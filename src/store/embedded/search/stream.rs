//! One source of rows in their order: what an index, or a whole table, holds in a span of ids.

use std::rc::Rc;

use rusqlite::{Connection, OptionalExtension, params_from_iter};

use crate::store::embedded::filter::{Bound, Where};

/// Ids from `low` to `high`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub low: i64,
    pub high: i64,
}

impl Span {
    /// Ids are far from its ends, so that there is always something beyond.
    pub const ALL: Self = Self { low: 0, high: i64::MAX - 1 };

    pub fn within(self, other: Self) -> Self {
        Self { low: self.low.max(other.low), high: self.high.min(other.high) }
    }

    pub const fn is_empty(&self) -> bool {
        self.low > self.high
    }

    /// What is left of it behind `id`, in the direction it is read.
    fn behind(self, id: i64, backward: bool) -> Self {
        match backward {
            false => Self { high: id.saturating_sub(1), ..self },
            true => Self { low: id.saturating_add(1), ..self },
        }
    }

    /// The id it begins with, in the direction it is read.
    pub const fn start(&self, backward: bool) -> i64 {
        if backward { self.low } else { self.high }
    }
}

/// Where candidates are found, and what joins them to the rows that are meant.
pub struct Source {
    /// Names a candidate: an id of the list, or the event (`by_event`) whose deliveries are meant.
    pub key: &'static str,
    pub candidates: &'static str,
    /// What makes them candidates, served by an index.
    pub access: Where,
    pub joined: &'static str,
    /// Names a row of the list.
    pub row: &'static str,
    pub by_event: bool,
}

/// The two queries of a source. Streams that differ in values alone share them.
pub struct Shape {
    /// The candidate that is so many behind the start of a span.
    pub candidate: String,
    /// The rows that match, of a span of candidates.
    pub matches: String,
    pub by_event: bool,
}

impl Shape {
    pub fn new(source: &Source, conditions: &Where, backward: bool) -> Rc<Self> {
        let Source { key, candidates, access, joined, row, by_event } = source;
        let direction = if backward { "ASC" } else { "DESC" };
        let access = access.sql();
        let candidate = format!(
            "SELECT {key} FROM {candidates} WHERE {access} AND {key} BETWEEN ? AND ?
             ORDER BY {key} {direction} LIMIT 1 OFFSET ?"
        );
        let (within, order) = match by_event {
            // The range of the event's ids finds its deliveries, not this one.
            true => (format!("AND +{row} BETWEEN ? AND ?"), format!("{key} {direction}, {row} {direction}")),
            false => (String::new(), format!("{key} {direction}")),
        };
        let matches = format!(
            "SELECT {row} FROM {candidates} {joined} WHERE {access} AND {key} BETWEEN ? AND ? {within}
             AND {} ORDER BY {order} LIMIT ?",
            conditions.sql()
        );
        Rc::new(Self { candidate, matches, by_event: *by_event })
    }
}

pub enum Rows {
    Query {
        shape: Rc<Shape>,
        access: Vec<Bound>,
        conditions: Rc<[Bound]>,
    },
    /// These, rising; the shape's `matches` takes them as JSON.
    Ids {
        ids: Vec<i64>,
        matches: Rc<str>,
        conditions: Rc<[Bound]>,
    },
}

pub struct Stream {
    /// What was not looked at yet.
    pub span: Span,
    pub rows: Rows,
}

/// What one step found.
pub struct Step {
    /// In the order they are read.
    pub matches: Vec<i64>,
    /// Candidates that were looked at, at most.
    pub looked: usize,
}

impl Stream {
    /// Looks at the next `size` candidates, or fewer when `wanted` rows match before.
    pub fn step(&mut self, db: &Connection, backward: bool, size: usize, wanted: usize) -> rusqlite::Result<Step> {
        let (upto, matches) = match &self.rows {
            Rows::Query { shape, access, conditions } => {
                let chunk = chunk_of(db, shape, access, self.span, backward, size)?;
                let span = keys(shape, chunk);
                let mut values: Vec<Bound> = access.clone();
                values.extend([span.low, span.high].map(Bound::Int));
                if shape.by_event {
                    values.extend([chunk.low, chunk.high].map(Bound::Int));
                }
                values.extend(conditions.iter().cloned());
                (chunk, read(db, &shape.matches, values, wanted)?)
            }
            Rows::Ids { ids, matches, conditions } => {
                let (from, to) = (first_at(ids, self.span.low), first_at(ids, self.span.high.saturating_add(1)));
                let chunk = match backward {
                    false => &ids[to.saturating_sub(size).max(from)..to],
                    true => &ids[from..from.saturating_add(size).min(to)],
                };
                let mut upto = self.span;
                if chunk.len() < to - from {
                    let end = if backward { chunk.last() } else { chunk.first() };
                    let end = end.copied().unwrap_or(self.span.low);
                    upto = if backward { Span { high: end, ..upto } } else { Span { low: end, ..upto } };
                }
                let mut values = vec![Bound::Text(serde_json::to_string(chunk).unwrap_or_default())];
                values.extend(conditions.iter().cloned());
                (upto, read(db, matches, values, wanted)?)
            }
        };
        let end = match matches.last() {
            Some(last) if matches.len() >= wanted => *last,
            _ if backward => upto.high,
            _ => upto.low,
        };
        self.span = self.span.behind(end, backward);
        Ok(Step { matches, looked: size })
    }
}

/// Where `id` would be among rising ids.
fn first_at(ids: &[i64], id: i64) -> usize {
    ids.partition_point(|known| *known < id)
}

/// The part of the span that holds the next `size` candidates.
fn chunk_of(
    db: &Connection,
    shape: &Shape,
    access: &[Bound],
    span: Span,
    backward: bool,
    size: usize,
) -> rusqlite::Result<Span> {
    let whole = keys(shape, span);
    let mut values = access.to_vec();
    values.extend([whole.low, whole.high, size as i64 - 1].map(Bound::Int));
    let end: Option<i64> =
        db.prepare_cached(&shape.candidate)?.query_row(params_from_iter(&values), |r| r.get(0)).optional()?;
    let Some(end) = end else { return Ok(span) };
    let (low, high) = if shape.by_event { (end << 16, end << 16 | 0xffff) } else { (end, end) };
    Ok(span.within(if backward { Span { high, ..Span::ALL } } else { Span { low, ..Span::ALL } }))
}

/// A span of ids as one of candidates.
fn keys(shape: &Shape, span: Span) -> Span {
    if shape.by_event { Span { low: span.low >> 16, high: span.high >> 16 } } else { span }
}

fn read(db: &Connection, sql: &str, mut values: Vec<Bound>, wanted: usize) -> rusqlite::Result<Vec<i64>> {
    values.push(Bound::Int(wanted as i64));
    db.prepare_cached(sql)?.query_map(params_from_iter(&values), |r| r.get(0))?.collect()
}
