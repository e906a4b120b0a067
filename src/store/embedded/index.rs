//! Events by key, object and request alike: written later than the events themselves, sorted, so that each page is
//! touched once. What waits is remembered; after a restart it is read again from the events behind `indexed_upto`.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::HashSet;
use rusqlite::{Connection, OptionalExtension, params};

use super::ops::{meta, set_meta};
use super::search::request_key;
use crate::domain::event::Event;
use crate::domain::ids::EventSeq;

/// Keys written at once.
const SLICE: usize = 32_768;
/// Events whose keys are written anew at once; an event has two at most.
const REBUILT: i64 = SLICE as i64 / 2;

/// What is not in the index yet.
#[derive(Default)]
pub struct Index {
    /// Events and their keys, in the order of the events.
    waiting: VecDeque<(u64, i64)>,
    /// The newest event, whether it has keys or not.
    newest: u64,
    /// Everything up to it is in the index.
    upto: u64,
    /// Models that the index knows, and those it is to learn.
    models: HashSet<Arc<str>>,
    new_models: Vec<Arc<str>>,
    /// What the running transaction has written: so many that waited, up to this event.
    written: Option<(usize, u64)>,
}

impl Index {
    /// Reads what the last process left to be written.
    pub fn restore(db: &Connection) -> rusqlite::Result<Self> {
        let mut models = db.prepare("SELECT label FROM event_model")?;
        let models =
            models.query_map([], |r| r.get::<_, String>(0).map(Arc::from))?.collect::<rusqlite::Result<_>>()?;
        let upto = meta(db, "indexed_upto")?.unwrap_or(0);
        let mut index = Self { newest: upto as u64, upto: upto as u64, models, ..Self::default() };
        index.read(db, upto, i64::MAX)?;
        Ok(index)
    }

    /// Notes events behind one, so many at most.
    fn read(&mut self, db: &Connection, behind: i64, most: i64) -> rusqlite::Result<()> {
        let mut events = db.prepare_cached(
            "SELECT seq, label, object_key, request_id FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        )?;
        let mut events = events.query([behind, most])?;
        while let Some(r) = events.next()? {
            let request: Option<String> = r.get(3)?;
            let keys = [r.get(2)?, request.as_deref().map(request_key)];
            self.note(EventSeq(r.get::<_, i64>(0)? as u64), &r.get::<_, String>(1)?.into(), keys);
        }
        Ok(())
    }

    /// An event goes into the index with the next slice.
    pub fn add(&mut self, seq: EventSeq, event: &Event) {
        self.note(seq, &event.model.label, keys_of(event));
    }

    fn note(&mut self, seq: EventSeq, model: &Arc<str>, keys: [Option<i64>; 2]) {
        self.newest = self.newest.max(seq.0);
        self.waiting.extend(keys.into_iter().flatten().map(|key| (seq.0, key)));
        if !self.models.contains(model) {
            self.models.insert(model.clone());
            self.new_models.push(model.clone());
        }
    }

    /// Writes a slice of what waits, as part of the running transaction.
    pub fn write(&mut self, db: &Connection) -> rusqlite::Result<()> {
        self.written = None;
        if self.newest == self.upto {
            return Ok(());
        }
        let mut count = self.waiting.len().min(SLICE);
        // All keys of an event together.
        while count > 0 && count < self.waiting.len() && self.waiting[count].0 == self.waiting[count - 1].0 {
            count += 1;
        }
        let whole = count == self.waiting.len();
        let upto = if whole { self.newest } else { self.waiting[count - 1].0 };
        for model in &self.new_models {
            insert_model(db, model)?;
        }
        let mut slice: Vec<(i64, u64)> = self.waiting.iter().take(count).map(|(seq, key)| (*key, *seq)).collect();
        slice.sort_unstable();
        for (key, seq) in slice {
            insert_key(db, key, seq)?;
        }
        set_meta(db, "indexed_upto", upto as i64)?;
        self.written = Some((count, upto));
        Ok(())
    }

    /// What was written last is on disk. (After a failed commit it is written again.)
    pub fn committed(&mut self) {
        if let Some((count, upto)) = self.written.take() {
            self.waiting.drain(..count);
            self.new_models.clear();
            self.upto = upto;
        }
    }

    /// Events of a key that the index does not hold yet.
    pub fn waiting(&self, key: u64) -> impl Iterator<Item = u64> {
        self.waiting.iter().filter(move |(_, known)| *known == key as i64).map(|(seq, _)| *seq)
    }
}

/// The same at once, for an event that is older than others which are in the index.
pub fn insert(db: &Connection, seq: EventSeq, event: &Event) -> rusqlite::Result<()> {
    insert_model(db, &event.model.label)?;
    keys_of(event).into_iter().flatten().try_for_each(|key| insert_key(db, key, seq.0))
}

/// Writes the keys of all events, as part of the running transaction.
pub fn rebuild(db: &Connection) -> rusqlite::Result<()> {
    let mut upto = 0;
    loop {
        let mut index = Index { upto, newest: upto, ..Index::default() };
        index.read(db, upto as i64, REBUILT)?;
        index.write(db)?;
        let Some((_, written)) = index.written else { return Ok(()) };
        upto = written;
    }
}

/// An event is about to be removed.
pub fn remove(db: &Connection, seq: EventSeq) -> rusqlite::Result<()> {
    let event = db
        .prepare_cached("SELECT object_key, request_id FROM event WHERE seq = ?1")?
        .query_row([seq.0 as i64], |r| Ok((r.get::<_, Option<i64>>(0)?, r.get::<_, Option<String>>(1)?)))
        .optional()?;
    let Some((object, request)) = event else { return Ok(()) };
    let mut delete = db.prepare_cached("DELETE FROM event_key WHERE key = ?1 AND seq = ?2")?;
    for key in [object, request.as_deref().map(request_key)].into_iter().flatten() {
        delete.execute(params![key, seq.0 as i64])?;
    }
    Ok(())
}

fn keys_of(event: &Event) -> [Option<i64>; 2] {
    [event.object_key().map(|key| key as i64), event.request_id().as_deref().map(request_key)]
}

fn insert_key(db: &Connection, key: i64, seq: u64) -> rusqlite::Result<()> {
    let insert = "INSERT OR IGNORE INTO event_key(key, seq) VALUES(?1, ?2)";
    db.prepare_cached(insert)?.execute(params![key, seq as i64]).map(drop)
}

fn insert_model(db: &Connection, label: &str) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR IGNORE INTO event_model(label) VALUES(?1)")?.execute([label]).map(drop)
}
