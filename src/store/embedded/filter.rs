//! Filters as SQL. Values are always bound, never written into the text.

use rusqlite::types::{ToSqlOutput, Value as Sql};
use rusqlite::{Connection, Row, ToSql};
use serde::{Deserialize, Serialize};

use crate::domain::ids::{DeliveryId, MAX_FANOUT};
use crate::domain::time::Timestamp;
use crate::store::Filter;

/// A bound value; kept with a bulk action over restarts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Bound {
    Int(i64),
    Text(String),
}

impl ToSql for Bound {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Int(n) => ToSqlOutput::from(*n),
            Self::Text(t) => ToSqlOutput::Owned(Sql::Text(t.clone())),
        })
    }
}

/// A condition on `delivery d JOIN event e`, or on `event e` alone.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Where {
    text: Vec<String>,
    bound: Vec<Bound>,
}

impl Where {
    fn any_of(&mut self, column: &str, values: impl IntoIterator<Item = Bound>) {
        let start = self.bound.len();
        self.bound.extend(values);
        if self.bound.len() > start {
            let marks = vec!["?"; self.bound.len() - start].join(", ");
            self.text.push(format!("{column} IN ({marks})"));
        }
    }

    fn compare(&mut self, condition: &str, value: Bound) {
        self.text.push(condition.to_owned());
        self.bound.push(value);
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Newest first, below a row.
    pub fn before(mut self, column: &str, row: Option<i64>) -> Self {
        if let Some(row) = row {
            self.compare(&format!("{column} < ?"), Bound::Int(row));
        }
        self
    }

    pub fn sql(&self) -> String {
        if self.text.is_empty() { "1".to_owned() } else { self.text.join(" AND ") }
    }

    /// `select … WHERE <this> tail`, each row mapped.
    pub fn query<T>(
        &self,
        db: &Connection,
        select: &str,
        tail: &str,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        db.prepare_cached(&format!("{select} WHERE {} {tail}", self.sql()))?
            .query_map(rusqlite::params_from_iter(&self.bound), map)?
            .collect()
    }

    /// Two numbers of one row.
    pub fn query_row(&self, db: &Connection, select: &str, tail: &str) -> rusqlite::Result<(i64, i64)> {
        let rows = self.query(db, select, tail, |r| Ok((r.get(0)?, r.get(1)?)))?;
        Ok(rows.first().copied().unwrap_or_default())
    }

    /// Ids in `(cursor, upper]`, ascending.
    pub fn page(&self, db: &Connection, cursor: i64, upper: i64, limit: usize) -> rusqlite::Result<Vec<DeliveryId>> {
        let mut bounded = self.clone();
        bounded.compare("d.id > ?", Bound::Int(cursor));
        bounded.compare("d.id <= ?", Bound::Int(upper));
        let select = "SELECT d.id FROM delivery d JOIN event e ON e.seq = d.id >> 16";
        bounded.query(db, select, &format!("ORDER BY d.id LIMIT {limit}"), |r| r.get(0).map(DeliveryId))
    }
}

/// For lists of deliveries. `in_flight` is `pending` or `retrying` on disk.
pub fn deliveries(filter: &Filter) -> Where {
    let mut w = events(&Filter { states: Vec::new(), ..filter.clone() });
    w.any_of("d.state", filter.states.iter().map(|s| Bound::Int(s.code())));
    w.any_of("d.webhook", filter.webhooks.iter().map(|id| Bound::Int(id.0.into())));
    w.any_of("d.endpoint", filter.endpoints.iter().map(|id| Bound::Int(id.0.into())));
    let spans: Vec<String> = filter.events.iter().map(|_| "d.id BETWEEN ? AND ?".to_owned()).collect();
    if !spans.is_empty() {
        w.text.push(format!("({})", spans.join(" OR ")));
        for seq in &filter.events {
            let first = DeliveryId::new(*seq, 0).0;
            w.bound.extend([Bound::Int(first), Bound::Int(first + MAX_FANOUT as i64)]);
        }
    }
    w
}

/// For lists of events: what a filter says of the event.
pub fn events(filter: &Filter) -> Where {
    let mut w = Where::default();
    let text = |values: &[String]| values.iter().cloned().map(Bound::Text).collect::<Vec<_>>();
    w.any_of("e.label", text(&filter.models));
    w.any_of("e.object_id", text(&filter.object_ids));
    w.any_of("e.type", filter.event_types.iter().map(|t| Bound::Int(t.code())));
    w.any_of("e.request_id", text(&filter.request_ids));
    let mut instant = |condition: &str, at: Option<Timestamp>| {
        if let Some(at) = at {
            w.compare(condition, Bound::Int(at.0));
        }
    };
    instant("e.received >= ?", filter.created_gte);
    instant("e.received < ?", filter.created_lt);
    if let Some(q) = filter.q.as_deref().filter(|q| !q.is_empty()) {
        let pattern = format!("%{}%", q.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"));
        w.text.push(
            "(e.object_id LIKE ? ESCAPE '\\' OR e.request_id LIKE ? ESCAPE '\\' OR e.label LIKE ? ESCAPE '\\')"
                .to_owned(),
        );
        w.bound.extend(std::iter::repeat_n(Bound::Text(pattern), 3));
    }
    w
}
