//! For how long ages stood still: while a webhook was disabled, while the whole service was off. (What an endpoint was
//! paused is kept with its live state.)

use std::sync::Arc;

use foldhash::HashMap;
use parking_lot::RwLock;
use rusqlite::Connection;

use super::ops::{meta, set_meta};
use crate::domain::ids::WebhookId;
use crate::domain::time::Timestamp;
use crate::domain::webhook::Webhook;

/// Stands for the whole service among the webhooks.
const SERVICE: WebhookId = WebhookId(0);

/// Microseconds it stood still in all, and since when it does now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stood {
    total: i64,
    since: Option<Timestamp>,
}

impl Stood {
    fn at(self, now: Timestamp) -> i64 {
        self.total + self.since.map_or(0, |since| (now.0 - since.0).max(0))
    }

    /// It goes on, or stops, now; `false`: as before.
    fn set(&mut self, goes: bool, now: Timestamp) -> bool {
        let changes = goes == self.since.is_some();
        if changes {
            *self = Self { total: self.at(now), since: (!goes).then_some(now) };
        }
        changes
    }
}

/// Read at every first outcome, changed by people. A lock, held for nanoseconds.
#[derive(Debug, Default)]
pub struct Standstill {
    stood: RwLock<HashMap<WebhookId, Stood>>,
}

impl Standstill {
    pub fn load(&self, db: &Connection) -> rusqlite::Result<()> {
        let mut stood = HashMap::default();
        let mut rows = db.prepare("SELECT substr(k, 7), v FROM meta WHERE k LIKE 'still.%'")?;
        let found = rows.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, i64>(1)?)))?;
        for row in found {
            let (id, total) = row?;
            let Ok(id) = id.parse() else { continue };
            let since = meta(db, &since_key(WebhookId(id)))?.filter(|t| *t > 0).map(Timestamp);
            stood.insert(WebhookId(id), Stood { total, since });
        }
        *self.stood.write() = stood;
        Ok(())
    }

    /// How far the clock that a webhook's deliveries age by is behind, in microseconds.
    pub fn at(&self, webhook: WebhookId, now: Timestamp) -> i64 {
        let stood = self.stood.read();
        let of = |id| stood.get(&id).map_or(0, |s: &Stood| s.at(now));
        of(webhook) + of(SERVICE)
    }

    /// These definitions are in force.
    pub fn follow(&self, webhooks: &[Arc<Webhook>], now: Timestamp) {
        let mut stood = self.stood.write();
        for webhook in webhooks {
            if !webhook.active() || stood.contains_key(&webhook.id) {
                stood.entry(webhook.id).or_default().set(webhook.active(), now);
            }
        }
    }

    /// The service is on, or off.
    pub fn follow_service(&self, on: bool, now: Timestamp) {
        self.stood.write().entry(SERVICE).or_default().set(on, now);
    }

    /// Writes that a webhook's deliveries are sent from now on, or are not.
    pub fn write(&self, db: &Connection, webhook: WebhookId, goes: bool, now: Timestamp) -> rusqlite::Result<()> {
        let mut stood = self.stood.read().get(&webhook).copied().unwrap_or_default();
        if !stood.set(goes, now) {
            return Ok(());
        }
        set_meta(db, &format!("still.{}", webhook.0), stood.total)?;
        set_meta(db, &since_key(webhook), stood.since.map_or(0, |t| t.0))
    }

    /// The same for the whole service.
    pub fn write_service(&self, db: &Connection, goes: bool, now: Timestamp) -> rusqlite::Result<()> {
        self.write(db, SERVICE, goes, now)
    }
}

fn since_key(webhook: WebhookId) -> String {
    format!("still_since.{}", webhook.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stands_still_between_stop_and_go() {
        let t = Timestamp;
        let mut stood = Stood::default();
        assert!(!stood.set(true, t(5)) && stood.at(t(5)) == 0);
        assert!(stood.set(false, t(10)));
        assert_eq!((stood.at(t(10)), stood.at(t(15))), (0, 5));
        assert!(stood.set(true, t(20)) && stood.set(false, t(30)));
        assert_eq!((stood.at(t(31)), stood.at(t(40))), (11, 20));
    }
}
