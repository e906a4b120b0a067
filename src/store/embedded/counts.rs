//! The kept counters on disk: exact after every crash, and cheap for a commit that touches a hundred of them.
//!
//! A commit appends what it changed as one row of `counter_change`; about once a second, and at open, those rows are
//! added up into `counter` and removed. What holds is the sum of both.

use foldhash::HashMap;
use rusqlite::{Connection, params};

use super::hours::{self, Hour, hour_of};
use crate::domain::delivery::DeliveryState;
use crate::domain::ids::{EndpointId, WebhookId};
use crate::domain::time::Timestamp;

/// Changes of the kept counters in one transaction, by endpoint, webhook and state.
pub type Deltas = HashMap<Key, i64>;
pub type Key = (EndpointId, WebhookId, i64);

/// The counter of stored events.
pub const EVENTS: Key = (EndpointId(0), WebhookId(0), 100);

/// Added to the code of a state in the counters of tests.
pub const TESTS: i64 = 10;

/// Added to the code of a state when a delivery has just ended in it: that counts in the hour of its commit as well, while
/// what is retried, moved or pruned leaves the hours as they are. Only in what is appended.
const ENDED: i64 = 20;

/// Bytes of one change: endpoint, webhook and state as 32 bit, the change as 64 bit, little-endian.
const CHANGE: usize = 20;

/// The change that a delivery makes which has just ended in this state.
pub fn ended(endpoint: EndpointId, webhook: WebhookId, state: DeliveryState) -> Key {
    let counts = matches!(state, DeliveryState::Delivered | DeliveryState::Failed);
    (endpoint, webhook, if counts { ENDED + state.code() } else { state.code() })
}

/// Appends the changes of a transaction, as part of it.
pub fn log(db: &Connection, deltas: &Deltas, now: Timestamp) -> rusqlite::Result<()> {
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
    db.prepare_cached("INSERT INTO counter_change(hour, changes) VALUES(?1, ?2)")?
        .execute(params![hour_of(now), changes])
        .map(drop)
}

/// Adds everything appended so far to the counters and hours, as part of the running transaction.
pub fn fold(db: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let (mut sums, mut hours) = (Deltas::default(), HashMap::default());
    {
        let mut read = db.prepare_cached("SELECT hour, changes FROM counter_change")?;
        let mut rows = read.query([])?;
        while let Some(row) = rows.next()? {
            let hour: Hour = row.get(0)?;
            for ((endpoint, webhook, mut state), n) in decode(row.get_ref(1)?.as_blob()?) {
                if DeliveryState::from_code(state - ENDED).is_some() {
                    state -= ENDED;
                    *hours.entry((hour, webhook, state)).or_default() += n;
                }
                *sums.entry((endpoint, webhook, state)).or_default() += n;
            }
        }
    }
    hours::write(db, &hours, now)?;
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
    use crate::store::embedded::schema::SCHEMA;

    #[test]
    fn counters_are_the_sum_of_what_commits_changed() {
        let db = Connection::open_in_memory().expect("memory");
        db.execute_batch(SCHEMA).expect("the schema");
        let now = Timestamp(0);
        let (a, b) = ((EndpointId(1), WebhookId(7), 2), (EndpointId(u32::MAX), WebhookId(1), 100));
        for (n, fold_now) in [(5, false), (-2, true), (4, false), (-9, true)] {
            log(&db, &Deltas::from_iter([(a, n), (b, 1), (EVENTS, 0)]), now).expect("logged");
            if fold_now {
                fold(&db, now).expect("folded");
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

    #[test]
    fn an_hour_counts_what_ended_in_it_and_nothing_that_is_put_right() {
        let db = Connection::open_in_memory().expect("memory");
        db.execute_batch(SCHEMA).expect("the schema");
        let of = |state| ended(EndpointId(1), WebhookId(7), state);
        let plain = |state: DeliveryState| (EndpointId(1), WebhookId(7), state.code());
        use DeliveryState::{Canceled, Delivered, Failed};
        let (first, second) = (Timestamp(0), Timestamp(3_600_000_000));
        log(&db, &Deltas::from_iter([(of(Failed), 2), (of(Canceled), 1)]), first).expect("logged");
        // One is retried and delivered an hour later; an older one is pruned.
        log(&db, &Deltas::from_iter([(plain(Failed), -1), (of(Delivered), 1), (plain(Delivered), -1)]), second)
            .expect("logged");
        fold(&db, second).expect("folded");
        let rows = |sql: &str| -> Vec<(i64, i64, i64)> {
            let mut read = db.prepare(sql).expect(sql);
            let rows = read.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).expect(sql);
            rows.collect::<rusqlite::Result<_>>().expect(sql)
        };
        let hours = rows("SELECT hour, state, n FROM webhook_hour ORDER BY hour");
        assert_eq!(hours, [(0, Failed.code(), 2), (1, Delivered.code(), 1)]);
        let counters = rows("SELECT webhook, state, n FROM counter WHERE n <> 0 ORDER BY state");
        assert_eq!(counters, [(7, Failed.code(), 1), (7, Canceled.code(), 1)]);
    }
}
