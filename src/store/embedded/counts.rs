//! The kept counters on disk: exact after every crash, and cheap for a commit that touches a hundred of them.
//!
//! A commit appends what it changed as one row of `counter_change`; about once a second, and at open, those rows are
//! added up into `counter` and removed. What holds is the sum of both.

use foldhash::HashMap;
use rusqlite::{Connection, params};

use crate::domain::ids::{EndpointId, WebhookId};

/// Changes of the kept counters in one transaction, by endpoint, webhook and state.
pub type Deltas = HashMap<Key, i64>;
pub type Key = (EndpointId, WebhookId, i64);

/// The counter of stored events.
pub const EVENTS: Key = (EndpointId(0), WebhookId(0), 100);

/// Added to the code of a state in the counters of tests.
pub const TESTS: i64 = 10;

/// Bytes of one change: endpoint, webhook and state as 32 bit, the change as 64 bit, little-endian.
const CHANGE: usize = 20;

/// Appends the changes of a transaction, as part of it.
pub fn log(db: &Connection, deltas: &Deltas) -> rusqlite::Result<()> {
    let mut changes = Vec::with_capacity(deltas.len() * CHANGE);
    for ((endpoint, webhook, state), n) in deltas.iter().filter(|(_, n)| **n != 0) {
        changes.extend_from_slice(&endpoint.0.to_le_bytes());
        changes.extend_from_slice(&webhook.0.to_le_bytes());
        changes.extend_from_slice(&(*state as u32).to_le_bytes());
        changes.extend_from_slice(&n.to_le_bytes());
    }
    if changes.is_empty() {
        return Ok(());
    }
    db.prepare_cached("INSERT INTO counter_change(changes) VALUES(?1)")?.execute([changes]).map(drop)
}

/// Adds everything appended so far to the counters, as part of the running transaction.
pub fn fold(db: &Connection) -> rusqlite::Result<()> {
    let mut sums = Deltas::default();
    {
        let mut read = db.prepare_cached("SELECT changes FROM counter_change")?;
        let mut rows = read.query([])?;
        while let Some(row) = rows.next()? {
            for (key, n) in decode(row.get_ref(0)?.as_blob()?) {
                *sums.entry(key).or_default() += n;
            }
        }
    }
    let mut upsert = db.prepare_cached(
        "INSERT INTO counter(endpoint, webhook, state, n) VALUES(?1, ?2, ?3, ?4)
         ON CONFLICT(endpoint, webhook, state) DO UPDATE SET n = n + ?4",
    )?;
    for ((endpoint, webhook, state), n) in sums.iter().filter(|(_, n)| **n != 0) {
        upsert.execute(params![endpoint.0, webhook.0, state, n])?;
    }
    db.prepare_cached("DELETE FROM counter_change")?.execute([]).map(drop)
}

fn decode(changes: &[u8]) -> impl Iterator<Item = (Key, i64)> {
    let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    changes.chunks_exact(CHANGE).map(move |change| {
        let n = u64::from(word(&change[12..])) | u64::from(word(&change[16..])) << 32;
        ((EndpointId(word(change)), WebhookId(word(&change[4..])), i64::from(word(&change[8..]))), n as i64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_the_sum_of_what_commits_changed() {
        let db = Connection::open_in_memory().expect("memory");
        db.execute_batch(
            "CREATE TABLE counter(endpoint, webhook, state, n, PRIMARY KEY(endpoint, webhook, state)) WITHOUT ROWID;
             CREATE TABLE counter_change(id INTEGER PRIMARY KEY, changes BLOB NOT NULL);",
        )
        .expect("tables");
        let (a, b) = ((EndpointId(1), WebhookId(7), 2), (EndpointId(u32::MAX), WebhookId(1), 100));
        for (n, fold_now) in [(5, false), (-2, true), (4, false), (-9, true)] {
            log(&db, &Deltas::from_iter([(a, n), (b, 1), (EVENTS, 0)])).expect("logged");
            if fold_now {
                fold(&db).expect("folded");
            }
        }
        let n = |key: Key| -> i64 {
            let find = "SELECT n FROM counter WHERE endpoint = ?1 AND webhook = ?2 AND state = ?3";
            db.query_row(find, params![key.0.0, key.1.0, key.2], |r| r.get(0)).expect("a counter")
        };
        assert_eq!((n(a), n(b)), (-2, 4));
        let left: i64 = db.query_row("SELECT count(*) FROM counter_change", [], |r| r.get(0)).expect("a count");
        assert_eq!(left, 0);
    }
}
