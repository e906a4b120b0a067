//! What of each webhook was delivered and failed in the hour that runs and in the 24 before it.
//!
//! On disk it comes along with the counters: a commit logs its ends with its hour, see [`counts`](super::counts), and when
//! they are added up they are added here as well. In memory a ring of hours answers; an hour that is used anew forgets
//! what it held, so also webhooks that are gone.

use foldhash::HashMap;
use rusqlite::{Connection, params};

use crate::domain::delivery::DeliveryState;
use crate::domain::ids::WebhookId;
use crate::domain::time::Timestamp;
use crate::store::archive::LastDay;

/// Hours that are kept, with the one that runs.
const KEPT: usize = 25;
const HOUR_US: i64 = 3_600_000_000;

/// A whole hour, counted from 1970.
pub type Hour = i64;

pub const fn hour_of(at: Timestamp) -> Hour {
    at.0.div_euclid(HOUR_US)
}

/// The first hour that counts at `now`.
const fn oldest(now: Timestamp) -> Hour {
    hour_of(now) - (KEPT as i64 - 1)
}

#[derive(Debug, Default)]
pub struct Hours {
    /// Each at its number modulo [`KEPT`].
    ring: [OneHour; KEPT],
}

#[derive(Debug, Default)]
struct OneHour {
    hour: Hour,
    ended: HashMap<WebhookId, LastDay>,
}

impl Hours {
    /// Counts `n` ends; what is neither delivered nor failed is not counted.
    pub fn add(&mut self, hour: Hour, webhook: WebhookId, state: DeliveryState, n: u64) {
        let kept = &mut self.ring[hour.rem_euclid(KEPT as i64) as usize];
        if kept.hour > hour {
            return;
        }
        if kept.hour < hour {
            *kept = OneHour { hour, ended: HashMap::default() };
        }
        let ended = kept.ended.entry(webhook).or_default();
        match state {
            DeliveryState::Delivered => ended.delivered += n,
            DeliveryState::Failed => ended.failed += n,
            other => debug_assert!(!other.unfinished(), "it has ended"),
        }
    }

    pub fn last_day(&self, webhook: WebhookId, now: Timestamp) -> LastDay {
        let mut sum = LastDay::default();
        for kept in self.ring.iter().filter(|kept| kept.hour >= oldest(now)) {
            let ended = kept.ended.get(&webhook).copied().unwrap_or_default();
            sum.delivered += ended.delivered;
            sum.failed += ended.failed;
        }
        sum
    }
}

/// Adds up on disk, as part of the running transaction, and drops what is over.
pub fn write(db: &Connection, sums: &HashMap<(Hour, WebhookId, i64), i64>, now: Timestamp) -> rusqlite::Result<()> {
    let mut upsert = db.prepare_cached(
        "INSERT INTO webhook_hour(hour, webhook, state, n) VALUES(?1, ?2, ?3, ?4)
         ON CONFLICT(hour, webhook, state) DO UPDATE SET n = n + ?4",
    )?;
    for ((hour, webhook, state), n) in sums {
        upsert.execute(params![hour, webhook.0, state, n])?;
    }
    db.prepare_cached("DELETE FROM webhook_hour WHERE hour < ?1")?.execute([oldest(now)]).map(drop)
}

/// What the disk holds. An hour to come is of a clock that was wrong, and would be counted when it comes.
pub fn load(db: &Connection, hours: &mut Hours, now: Timestamp) -> rusqlite::Result<()> {
    db.execute("DELETE FROM webhook_hour WHERE hour NOT BETWEEN ?1 AND ?2", params![oldest(now), hour_of(now)])?;
    let mut rows = db.prepare("SELECT hour, webhook, state, n FROM webhook_hour")?;
    let mut rows = rows.query([])?;
    while let Some(r) = rows.next()? {
        if let Some(state) = DeliveryState::from_code(r.get(2)?) {
            hours.add(r.get(0)?, WebhookId(r.get(1)?), state, r.get::<_, i64>(3)?.max(0) as u64);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::schema::SCHEMA;

    const A: WebhookId = WebhookId(1);

    const fn at(hour: Hour) -> Timestamp {
        Timestamp(hour * HOUR_US + 1)
    }

    fn day(hours: &Hours, webhook: WebhookId, hour: Hour) -> (u64, u64) {
        let LastDay { delivered, failed } = hours.last_day(webhook, at(hour));
        (delivered, failed)
    }

    #[test]
    fn an_hour_counts_until_it_is_25_hours_old() {
        let mut hours = Hours::default();
        hours.add(100, A, DeliveryState::Delivered, 1);
        hours.add(100, A, DeliveryState::Failed, 2);
        hours.add(100, A, DeliveryState::Canceled, 4);
        hours.add(101, A, DeliveryState::Delivered, 8);
        hours.add(101, WebhookId(2), DeliveryState::Delivered, 16);
        assert_eq!(day(&hours, A, 101), (9, 2));
        assert_eq!(day(&hours, A, 124), (9, 2));
        assert_eq!(day(&hours, A, 125), (8, 0));
        assert_eq!(day(&hours, A, 126), (0, 0));
        // The place of hour 100 is taken, and what comes late for it is not counted there.
        hours.add(125, A, DeliveryState::Delivered, 32);
        hours.add(100, A, DeliveryState::Delivered, 64);
        assert_eq!((day(&hours, A, 125), day(&hours, WebhookId(2), 125)), ((40, 0), (16, 0)));
    }

    #[test]
    fn hours_outlive_the_process_and_no_longer_than_they_count() {
        let db = Connection::open_in_memory().expect("a database");
        db.execute_batch(SCHEMA).expect("the schema");
        let (delivered, failed) = (DeliveryState::Delivered.code(), DeliveryState::Failed.code());
        let sums = |all: &[(Hour, i64, i64)]| all.iter().map(|(hour, state, n)| ((*hour, A, *state), *n)).collect();
        write(&db, &sums(&[(76, failed, 1), (77, delivered, 2), (100, delivered, 4)]), at(100)).expect("written");
        write(&db, &sums(&[(100, delivered, 8), (100, failed, 16)]), at(101)).expect("written");
        let mut hours = Hours::default();
        load(&db, &mut hours, at(101)).expect("read");
        assert_eq!(day(&hours, A, 101), (14, 16));
        let left = || db.query_row("SELECT count(*) FROM webhook_hour", [], |r| r.get::<_, i64>(0)).expect("a count");
        assert_eq!(left(), 3);
        write(&db, &sums(&[]), at(102)).expect("written");
        assert_eq!(left(), 2);
        load(&db, &mut Hours::default(), at(99)).expect("read");
        assert_eq!(left(), 0, "hours to come are none");
    }
}
