//! Failed deliveries by what came of them.
//!
//! The index of those that failed alike is walked group by group: one seek to the next group, one for its first and one
//! for its last time. Only the count reads the group, and of it nothing but the index.

use rusqlite::{Connection, OptionalExtension, params};

use super::ops::error_kind;
use crate::domain::ids::EndpointId;
use crate::domain::time::Timestamp;
use crate::store::archive::FailedGroup;

/// The rows of the index, in the words of its condition; 1 is [`TEST`](super::ops::TEST).
const ALIKE: &str = "FROM delivery INDEXED BY delivery_failed_alike WHERE state = 3 AND coalesce(flags, 0) & 1 = 0";

/// Where a group lies in the index. Whatever has failed has an error; a code only if an answer came.
#[derive(Clone, Copy, Debug)]
struct Place {
    endpoint: i64,
    error: i64,
    code: Option<u16>,
}

/// Before every group.
const START: Place = Place { endpoint: -1, error: -1, code: None };

/// All of them, tests aside, the largest group first.
pub fn groups(db: &Connection) -> rusqlite::Result<Vec<FailedGroup>> {
    // One moment for all: what fails while the groups are walked is in none of them.
    let moment = db.unchecked_transaction()?;
    let mut groups = Vec::new();
    let mut at = START;
    while let Some(place) = next(&moment, at)? {
        groups.extend(group(&moment, place)?);
        at = place;
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.deliveries));
    Ok(groups)
}

/// The first group behind `at`.
fn next(db: &Connection, at: Place) -> rusqlite::Result<Option<Place>> {
    db.prepare_cached(&next_sql())?
        .query_row(params![at.endpoint, at.error, at.code.unwrap_or(0)], |r| {
            Ok(Place { endpoint: r.get(0)?, error: r.get(1)?, code: r.get(2)? })
        })
        .optional()
}

/// Another code of the same error, else another error of the same endpoint, else another endpoint.
fn next_sql() -> String {
    let behind = ["endpoint = ?1 AND error = ?2 AND code > ?3", "endpoint = ?1 AND error > ?2", "endpoint > ?1"];
    let first = |condition| {
        format!(
            "SELECT * FROM (SELECT endpoint, error, code {ALIKE} AND {condition} ORDER BY endpoint, error, code LIMIT 1)"
        )
    };
    format!("{} LIMIT 1", behind.map(first).join(" UNION ALL "))
}

/// `None`: its error is none of ours.
fn group(db: &Connection, place: Place) -> rusqlite::Result<Option<FailedGroup>> {
    let Some(error) = error_kind(place.error) else { return Ok(None) };
    db.prepare_cached(&group_sql())?.query_row(params![place.endpoint, place.error, place.code], |r| {
        Ok(Some(FailedGroup {
            endpoint: EndpointId(place.endpoint as u32),
            error,
            status_code: place.code,
            deliveries: r.get::<_, i64>(0)? as u64,
            first: Timestamp(r.get::<_, Option<i64>>(1)?.unwrap_or(0)),
            last: Timestamp(r.get::<_, Option<i64>>(2)?.unwrap_or(0)),
        }))
    })
}

/// Each by itself: only alone the least and the largest are found by a seek.
fn group_sql() -> String {
    let of = |what| format!("(SELECT {what} {ALIKE} AND endpoint = ?1 AND error = ?2 AND code IS ?3)");
    format!("SELECT {}", ["count(*)", "min(finished)", "max(finished)"].map(of).join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attempt::ErrorKind;
    use crate::store::embedded::ops::TEST;
    use crate::store::embedded::schema::SCHEMA;

    fn database() -> Connection {
        let db = Connection::open_in_memory().expect("a database");
        db.execute_batch(SCHEMA).expect("the schema");
        db
    }

    /// Endpoint, state, error, code, flags.
    type Row = (u32, i64, Option<ErrorKind>, Option<u16>, Option<i64>);

    /// Finished at their place in the list.
    fn insert(db: &Connection, rows: &[Row]) {
        for (at, (endpoint, state, error, code, flags)) in rows.iter().enumerate() {
            let error = error.map(|kind| kind as i64);
            db.execute(
                "INSERT INTO delivery(id, endpoint, webhook, state, attempts, finished, code, error, flags)
                 VALUES(?1, ?2, 1, ?3, 1, ?1, ?4, ?5, ?6)",
                params![at as i64, endpoint, state, code, error, flags],
            )
            .expect("inserted");
        }
    }

    #[test]
    fn what_failed_alike_is_one_group_and_tests_are_in_none() {
        use ErrorKind::{Dns, HttpStatus, Timeout};
        let db = database();
        assert_eq!(groups(&db).expect("read"), []);
        insert(
            &db,
            &[
                (1, 3, Some(HttpStatus), Some(500), None),
                (1, 3, Some(HttpStatus), Some(404), Some(0)),
                (1, 3, Some(Timeout), None, None),
                (2, 3, Some(Dns), None, None),
                (1, 3, Some(HttpStatus), Some(500), Some(2)),
                (1, 3, Some(HttpStatus), Some(500), Some(TEST)),
                (1, 5, Some(HttpStatus), Some(500), None),
                (1, 2, None, Some(200), None),
                (1, 1, Some(HttpStatus), Some(500), None),
                (1, 3, Some(HttpStatus), Some(500), None),
                (9, 3, Some(Dns), None, None),
            ],
        );
        let of = |endpoint, error, status_code, deliveries, first, last| FailedGroup {
            endpoint: EndpointId(endpoint),
            error,
            status_code,
            deliveries,
            first: Timestamp(first),
            last: Timestamp(last),
        };
        let expected = [
            of(1, HttpStatus, Some(500), 3, 0, 9),
            of(1, Timeout, None, 1, 2, 2),
            of(1, HttpStatus, Some(404), 1, 1, 1),
            of(2, Dns, None, 1, 3, 3),
            of(9, Dns, None, 1, 10, 10),
        ];
        assert_eq!(groups(&db).expect("read"), expected);
    }

    /// A statement that read rows, or more of the index than a group, would be right and slow.
    #[test]
    fn groups_are_found_by_seeks_in_the_index_alone() {
        let db = database();
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'delivery'";
        let table: i64 = db.query_row(root, [], |r| r.get(0)).expect("the table");
        for sql in [next_sql(), group_sql()] {
            let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect(&sql);
            let steps = plan.query_map([1, 1, 1], |r| r.get::<_, String>(3)).expect(&sql);
            let steps: Vec<_> = steps.map(|s| s.expect("a step")).filter(|s| s.contains(" delivery")).collect();
            let seek = |s: &String| s.starts_with("SEARCH delivery USING INDEX delivery_failed_alike (");
            assert!(steps.len() == 3 && steps.iter().all(seek), "{steps:?}");
            let mut code = db.prepare(&format!("EXPLAIN {sql}")).expect(&sql);
            let code = code.query_map([1, 1, 1], |r| Ok((r.get::<_, String>(1)?, r.get::<_, i64>(2)?, r.get(3)?)));
            let code: Vec<(String, i64, i64)> = code.and_then(Iterator::collect).expect(&sql);
            let of_table = |cursor| code.iter().any(|(op, p1, p2)| op == "OpenRead" && *p1 == cursor && *p2 == table);
            let reads = code.iter().filter(|(op, p1, _)| op == "Column" && of_table(*p1));
            assert_eq!(reads.count(), 0, "{sql}");
        }
    }
}
