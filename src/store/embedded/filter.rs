//! Conditions as SQL. Values that a request gives are always bound, never written into the text. States are written: a
//! partial index serves a query only when the text of its condition is in it.

use rusqlite::types::{ToSqlOutput, Value as Sql};
use rusqlite::{Connection, Row, ToSql};
use serde::{Deserialize, Serialize};

use super::conditions::{UNFINISHED, Wanted};
use crate::domain::ids::DeliveryId;
use crate::store::archive::{Edge, Page};

/// Deliveries with their events.
pub const JOINED: &str = "FROM delivery d JOIN event e ON e.seq = d.id >> 16";

/// A bound value; kept with a bulk action over restarts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Bound {
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

/// Conditions that all hold.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Where {
    text: Vec<String>,
    bound: Vec<Bound>,
}

impl Where {
    /// One without values.
    pub fn of(condition: impl Into<String>) -> Self {
        Self { text: vec![condition.into()], bound: Vec::new() }
    }

    /// Without values it adds nothing.
    pub fn any_of(&mut self, column: &str, values: impl IntoIterator<Item = Bound>) {
        let start = self.bound.len();
        self.bound.extend(values);
        if self.bound.len() > start {
            let marks = vec!["?"; self.bound.len() - start].join(", ");
            self.text.push(format!("{column} IN ({marks})"));
        }
    }

    /// `condition` has one mark for each of the values.
    pub fn with(&mut self, condition: impl Into<String>, values: impl IntoIterator<Item = Bound>) {
        self.text.push(condition.into());
        self.bound.extend(values);
    }

    pub fn and(mut self, other: &Self) -> Self {
        self.text.extend(other.text.iter().cloned());
        self.bound.extend(other.bound.iter().cloned());
        self
    }

    /// One of them holds; of none, nothing does.
    pub fn either(parts: Vec<Self>) -> Self {
        let texts: Vec<String> = parts.iter().map(|part| format!("({})", part.sql())).collect();
        let text = if texts.is_empty() { "0".to_owned() } else { format!("({})", texts.join(" OR ")) };
        Self { text: vec![text], bound: parts.into_iter().flat_map(|part| part.bound).collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub fn sql(&self) -> String {
        if self.text.is_empty() { "1".to_owned() } else { self.text.join(" AND ") }
    }

    pub fn bound(&self) -> &[Bound] {
        &self.bound
    }
}

/// The rows of one page of a whole table, newest first, in the direction the page is read; one more tells whether there
/// are more. `column`: what names the row.
pub fn newest<T>(
    db: &Connection,
    (select, column): (&str, &str),
    page: Page,
    map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut part = Where::default();
    match page.edge {
        Edge::Start => {}
        Edge::After(row) => part.with(format!("{column} < ?"), [Bound::Int(row)]),
        Edge::Before(row) => part.with(format!("{column} > ?"), [Bound::Int(row)]),
    }
    let direction = if page.is_backward() { "ASC" } else { "DESC" };
    query(db, &[part], (select, column), &format!("{direction} LIMIT {}", page.limit + 1), map)
}

/// All deliveries that an order by filter means: conditions that exclude each other, each served by an index of its own;
/// what meets one of them is meant.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Selection {
    parts: Vec<Where>,
    /// The conditions speak of the event as well.
    of_event: bool,
}

impl Selection {
    pub fn new(wanted: &Wanted<'_>) -> Self {
        let of_event = wanted.of_event().and(&wanted.of_both());
        let part = |part: Where| {
            // Of an endpoint's rows few are stopped, so these are never found by endpoint.
            let endpoint = if part.text.iter().any(|text| text == UNFINISHED) { "d.endpoint" } else { "+d.endpoint" };
            part.and(&wanted.of_delivery(endpoint)).and(&of_event)
        };
        Self { parts: wanted.in_states().into_iter().map(part).collect(), of_event: !of_event.is_empty() }
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
        let parts = self.bounded(cursor, upper);
        let select = format!("SELECT d.id {}", self.from());
        query(db, &parts, (&select, "d.id"), &format!("ASC LIMIT {limit}"), |r| r.get(0).map(DeliveryId))
    }

    fn bounded(&self, cursor: i64, upper: i64) -> Vec<Where> {
        let mut parts = self.parts.clone();
        for part in &mut parts {
            // Read by id: by endpoint or webhook each page would sort their whole backlog.
            for text in &mut part.text {
                if text.starts_with("d.endpoint IN") || text.starts_with("d.webhook IN") {
                    text.insert(0, '+');
                }
            }
            part.with("d.id > ?", [Bound::Int(cursor)]);
            part.with("d.id <= ?", [Bound::Int(upper)]);
        }
        parts
    }

    fn from(&self) -> &'static str {
        if self.of_event { JOINED } else { "FROM delivery d" }
    }
}

/// The rows of all parts, ordered by `column`, the first that is selected. `end`: direction and limit.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::DeliveryState;
    use crate::domain::ids::{EndpointId, WebhookId};
    use crate::store::Filter;
    use crate::store::admin::DefinitionSet;
    use crate::store::embedded::schema;

    /// How SQLite would run it.
    fn plan(sql: &str, parts: &[Where]) -> String {
        let db = schema::in_memory();
        let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect(sql);
        let bound = parts.iter().flat_map(|part| &part.bound);
        let steps = plan.query_map(rusqlite::params_from_iter(bound), |r| r.get::<_, String>(3)).expect(sql);
        steps.collect::<rusqlite::Result<Vec<_>>>().expect(sql).join("; ")
    }

    fn selected(filter: &Filter) -> Selection {
        Selection::new(&Wanted::new(filter, &[DeliveryId(5)], &DefinitionSet::default()))
    }

    /// Both queries over the deliveries that an order means: their number, and a slice of them.
    fn plans(filter: &Filter) -> [String; 2] {
        let chosen = selected(filter);
        let from = chosen.from();
        let counts = chosen.parts.iter().map(|part| {
            plan(&format!("SELECT count(*), max(d.id) {from} WHERE {}", part.sql()), std::slice::from_ref(part))
        });
        let count = counts.collect::<Vec<_>>().join("; ");
        let bounded = chosen.bounded(0, 100);
        let page = sql_of(&bounded, (&format!("SELECT d.id {from}"), "d.id"), "ASC LIMIT 1000");
        [count, plan(&page, &bounded)]
    }

    fn of(states: &[DeliveryState]) -> Filter {
        Filter { states: states.to_vec(), ..Filter::default() }
    }

    #[test]
    fn what_waits_or_has_failed_is_found_by_partial_index() {
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
                    assert!(!plan.contains("SCAN e") && !plan.contains("delivery_endpoint"), "{filter:?}: {plan}");
                }
            }
            let [count, page] = plans(&of(states));
            // Of several parts the few rows that each gave are sorted.
            assert_eq!(page.contains("TEMP B-TREE"), page.contains("UNION ALL"), "{page}");
            assert!(!count.contains(" e "), "no event is looked at to count: {count}");
        }
    }

    #[test]
    fn a_state_is_never_a_parameter() {
        for state in DeliveryState::ALL {
            let chosen = selected(&of(&[state]));
            assert!(chosen.parts.iter().all(|p| !p.sql().contains("state IN (?")), "{chosen:?}");
        }
    }
}
