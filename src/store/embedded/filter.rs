//! Filters as SQL. Values that a request gives are always bound, never written into the text. States are written: a
//! partial index serves a query only when the text of its condition is in it.

use rusqlite::types::{ToSqlOutput, Value as Sql};
use rusqlite::{Connection, Row, ToSql};
use serde::{Deserialize, Serialize};

use super::ops::TEST;
use crate::domain::delivery::DeliveryState;
use crate::domain::ids::{DeliveryId, MAX_FANOUT};
use crate::domain::time::Timestamp;
use crate::store::Filter;
use crate::store::archive::{Edge, Page};

/// The conditions of the partial indexes, word for word.
const UNFINISHED: &str = "d.state < 2";
const STOPPED: &str = "d.state IN (3, 5)";

/// Deliveries with their events.
pub const JOINED: &str = "FROM delivery d JOIN event e ON e.seq = d.id >> 16";

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

    fn sql(&self) -> String {
        if self.text.is_empty() { "1".to_owned() } else { self.text.join(" AND ") }
    }
}

/// Conditions that exclude each other, each served by an index of its own; what meets one of them is meant.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Selection {
    parts: Vec<Where>,
    /// The conditions speak of the event as well.
    of_event: bool,
}

impl From<Where> for Selection {
    fn from(all: Where) -> Self {
        Self { parts: vec![all], of_event: true }
    }
}

impl Selection {
    /// The rows of one page of a list that is newest first, in the direction the page is read; one more tells whether
    /// there are more. `column`: what names the row, the first that is selected.
    pub fn query_page<T>(
        &self,
        db: &Connection,
        (select, column): (&str, &str),
        page: Page,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let mut parts = self.parts.clone();
        for part in &mut parts {
            match page.edge {
                Edge::Start => {}
                Edge::After(row) => part.compare(&format!("{column} < ?"), Bound::Int(row)),
                Edge::Before(row) => part.compare(&format!("{column} > ?"), Bound::Int(row)),
            }
        }
        let direction = if page.is_backward() { "ASC" } else { "DESC" };
        query(db, &parts, (select, column), &format!("{direction} LIMIT {}", page.limit + 1), map)
    }

    /// How many deliveries there are, and the highest id among them.
    pub fn count(&self, db: &Connection) -> rusqlite::Result<(u64, i64)> {
        let (mut all, mut upper) = (0, 0);
        for part in &self.parts {
            let sql = format!("SELECT count(*), coalesce(max(d.id), 0) {} WHERE {}", self.from(), part.sql());
            let found = db.prepare_cached(&sql)?.query_row(rusqlite::params_from_iter(&part.bound), |r| {
                Ok((r.get::<_, i64>(0)? as u64, r.get::<_, i64>(1)?))
            })?;
            all += found.0;
            upper = upper.max(found.1);
        }
        Ok((all, upper))
    }

    /// Ids of deliveries in `(cursor, upper]`, ascending.
    pub fn page(&self, db: &Connection, cursor: i64, upper: i64, limit: usize) -> rusqlite::Result<Vec<DeliveryId>> {
        let mut parts = self.parts.clone();
        for part in &mut parts {
            // Read by id: by endpoint or webhook each page would sort their whole backlog.
            for text in &mut part.text {
                if text.starts_with("d.endpoint IN") || text.starts_with("d.webhook IN") {
                    text.insert(0, '+');
                }
            }
            part.compare("d.id > ?", Bound::Int(cursor));
            part.compare("d.id <= ?", Bound::Int(upper));
        }
        let select = format!("SELECT d.id {}", self.from());
        query(db, &parts, (&select, "d.id"), &format!("ASC LIMIT {limit}"), |r| r.get(0).map(DeliveryId))
    }

    fn from(&self) -> &'static str {
        if self.of_event { JOINED } else { "FROM delivery d" }
    }
}

/// The rows of all parts, ordered by `column`. `end`: direction and limit.
fn query<T>(
    db: &Connection,
    parts: &[Where],
    (select, column): (&str, &str),
    end: &str,
    map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let sql = sql_of(parts, (select, column), end);
    let bound = parts.iter().flat_map(|part| &part.bound);
    db.prepare_cached(&sql)?.query_map(rusqlite::params_from_iter(bound), map)?.collect()
}

fn sql_of(parts: &[Where], (select, column): (&str, &str), end: &str) -> String {
    let of_part = |part: &Where| format!("{select} WHERE {} ORDER BY {column} {end}", part.sql());
    match parts {
        [] => format!("{select} WHERE 0"),
        [one] => of_part(one),
        several => {
            let parts: Vec<_> = several.iter().map(|part| format!("SELECT * FROM ({})", of_part(part))).collect();
            format!("{} ORDER BY 1 {end}", parts.join(" UNION ALL "))
        }
    }
}

/// For lists of deliveries and orders by filter. `in_flight`: what is in flight now, `pending` or `retrying` on disk.
pub fn deliveries(filter: &Filter, in_flight: &[DeliveryId]) -> Selection {
    // A resend was made later than its event was received.
    let mut common = about_events(filter, "coalesce(d.created, e.received)");
    let of_event = !common.is_empty();
    common.any_of("d.webhook", filter.webhooks.iter().map(|id| Bound::Int(id.0.into())));
    common.any_of("d.endpoint", filter.endpoints.iter().map(|id| Bound::Int(id.0.into())));
    common.any_of("d.error", filter.errors.iter().map(|kind| Bound::Int(*kind as i64)));
    common.any_of("d.code", filter.status_codes.iter().map(|code| Bound::Int((*code).into())));
    if let Some(test) = filter.test {
        common.text.push(format!("coalesce(d.flags, 0) & {TEST} {} 0", if test { "<>" } else { "=" }));
    }
    if !filter.events.is_empty() {
        common.text.push(format!("({})", vec!["d.id BETWEEN ? AND ?"; filter.events.len()].join(" OR ")));
        for seq in &filter.events {
            let first = DeliveryId::new(*seq, 0).0;
            common.bound.extend([Bound::Int(first), Bound::Int(first + MAX_FANOUT as i64)]);
        }
    }
    let parts = in_states(&filter.states, in_flight).into_iter().map(|mut part| {
        part.text.extend(common.text.iter().cloned());
        part.bound.extend(common.bound.iter().cloned());
        part
    });
    Selection { parts: parts.collect(), of_event }
}

/// One condition for each index that holds some of these states; without a wish, one that holds always.
fn in_states(states: &[DeliveryState], in_flight: &[DeliveryId]) -> Vec<Where> {
    use DeliveryState as S;
    if states.is_empty() {
        return vec![Where::default()];
    }
    let wanted = |state: &S| states.contains(state);
    let among = |group: &[S]| group.iter().filter(|state| wanted(state)).map(|s| s.code()).collect::<Vec<_>>();
    let mut parts = Vec::new();
    if [S::Pending, S::Retrying, S::InFlight].iter().all(wanted) {
        parts.push(Where { text: vec![UNFINISHED.to_owned()], bound: Vec::new() });
    } else {
        let ids = Bound::Text(serde_json::to_string(in_flight).unwrap_or_default());
        let waiting = among(&[S::Pending, S::Retrying]);
        if !waiting.is_empty() {
            let mut part = Where { text: vec![UNFINISHED.to_owned(), one_of(&waiting)], bound: Vec::new() };
            if !in_flight.is_empty() {
                part.compare("d.id NOT IN (SELECT value FROM json_each(?))", ids.clone());
            }
            parts.push(part);
        }
        if wanted(&S::InFlight) {
            let mut part = Where { text: vec![UNFINISHED.to_owned()], bound: Vec::new() };
            part.compare("d.id IN (SELECT value FROM json_each(?))", ids);
            parts.push(part);
        }
    }
    let stopped = among(&[S::Failed, S::Canceled]);
    if !stopped.is_empty() {
        parts.push(Where { text: vec![STOPPED.to_owned(), one_of(&stopped)], bound: Vec::new() });
    }
    let done = among(&[S::Delivered, S::Superseded]);
    if !done.is_empty() {
        parts.push(Where { text: vec![one_of(&done)], bound: Vec::new() });
    }
    parts
}

fn one_of(codes: &[i64]) -> String {
    let codes: Vec<String> = codes.iter().map(i64::to_string).collect();
    format!("d.state IN ({})", codes.join(", "))
}

/// For lists of events: what a filter says of the event.
pub fn events(filter: &Filter) -> Where {
    about_events(filter, "e.received")
}

/// `created`: what its times are compared with.
fn about_events(filter: &Filter, created: &str) -> Where {
    let mut w = Where::default();
    let text = |values: &[String]| values.iter().cloned().map(Bound::Text).collect::<Vec<_>>();
    w.any_of("e.label", text(&filter.models));
    w.any_of("e.object_id", text(&filter.object_ids));
    w.any_of("e.type", filter.event_types.iter().map(|t| Bound::Int(t.code())));
    w.any_of("e.request_id", text(&filter.request_ids));
    let mut instant = |operator: &str, at: Option<Timestamp>| {
        if let Some(at) = at {
            w.compare(&format!("{created} {operator} ?"), Bound::Int(at.0));
        }
    };
    instant(">=", filter.created_gte);
    instant("<", filter.created_lt);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{EndpointId, WebhookId};
    use crate::store::embedded::schema::SCHEMA;

    /// How SQLite would run it.
    fn plan(sql: &str, parts: &[Where]) -> String {
        let db = Connection::open_in_memory().expect("a database");
        db.execute_batch(SCHEMA).expect("the schema");
        let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect(sql);
        let bound = parts.iter().flat_map(|part| &part.bound);
        let steps = plan.query_map(rusqlite::params_from_iter(bound), |r| r.get::<_, String>(3)).expect(sql);
        steps.collect::<rusqlite::Result<Vec<_>>>().expect(sql).join("; ")
    }

    /// Every query over the deliveries that are chosen: a page of a list, a count, a page of a bulk action.
    fn plans(filter: &Filter) -> [String; 3] {
        let chosen = deliveries(filter, &[DeliveryId(5)]);
        let list = sql_of(&chosen.parts, (&format!("SELECT d.id, e.plan {JOINED}"), "d.id"), "DESC LIMIT 51");
        let from = chosen.from();
        let counts = chosen.parts.iter().map(|part| {
            plan(&format!("SELECT count(*), max(d.id) {from} WHERE {}", part.sql()), std::slice::from_ref(part))
        });
        let count = counts.collect::<Vec<_>>().join("; ");
        let mut bounded = chosen.parts.clone();
        bounded.iter_mut().for_each(|part| part.compare("d.id > ?", Bound::Int(0)));
        let page = sql_of(&bounded, (&format!("SELECT d.id {from}"), "d.id"), "ASC LIMIT 1000");
        [plan(&list, &chosen.parts), count, plan(&page, &bounded)]
    }

    fn of(states: &[DeliveryState]) -> Filter {
        Filter { states: states.to_vec(), ..Filter::default() }
    }

    #[test]
    fn what_waits_or_has_failed_is_found_by_index() {
        use DeliveryState as S;
        let wanted: [&[S]; 7] = [
            &[S::Failed],
            &[S::Canceled],
            &[S::Pending],
            &[S::Retrying, S::InFlight],
            &[S::Pending, S::Retrying, S::InFlight],
            &[S::Failed, S::Canceled, S::Retrying],
            &[S::InFlight],
        ];
        for states in wanted {
            let webhooks = Filter { webhooks: vec![WebhookId(1), WebhookId(2)], ..of(states) };
            let endpoint = Filter { endpoints: vec![EndpointId(1)], ..of(states) };
            let model = Filter { models: vec!["dcim.site".to_owned()], ..of(states) };
            for filter in [of(states), webhooks, endpoint, model] {
                for plan in plans(&filter) {
                    let scans = |step: &&str| step.starts_with("SCAN d") && !step.contains("INDEX delivery_");
                    assert_eq!(plan.split("; ").find(scans), None, "{filter:?}: {plan}");
                    assert!(!plan.contains("SCAN e"), "{filter:?}: {plan}");
                }
            }
            let [list, count, page] = plans(&of(states));
            // Of several parts the few rows that each gave are sorted.
            let sorted = list.contains("TEMP B-TREE") || page.contains("TEMP B-TREE");
            assert_eq!(sorted, list.contains("UNION ALL"), "{list} / {page}");
            assert!(!count.contains(" e "), "no event is looked at to count: {count}");
        }
    }

    #[test]
    fn a_state_is_never_a_parameter() {
        for state in DeliveryState::ALL {
            let chosen = deliveries(&of(&[state]), &[]);
            assert!(chosen.parts.iter().all(|p| !p.sql().contains("state IN (?")), "{chosen:?}");
        }
    }
}
