//! The keys that events are found by: their object, and the request that caused them.

use rusqlite::Connection;

use crate::domain::event;
use crate::store::Filter;

/// Keys that are looked up for one page.
const MOST: usize = 2_000;

/// What names an object, see [`event::object_key`].
fn object_key(model: &str, object_id: &str) -> i64 {
    event::object_key(model, object_id) as i64
}

/// What names a request. No model is called so: their labels have a point.
pub fn request_key(request_id: &str) -> i64 {
    event::object_key("request", request_id) as i64
}

/// The keys of what a filter names; `None` when it names neither, or too much.
pub fn of(db: &Connection, filter: &Filter) -> rusqlite::Result<Option<Vec<i64>>> {
    if !filter.request_ids.is_empty() {
        let keys = filter.request_ids.iter().map(|id| request_key(id));
        return Ok((filter.request_ids.len() <= MOST).then(|| distinct(keys.collect())));
    }
    if filter.object_ids.is_empty() {
        return Ok(None);
    }
    let models = if filter.models.is_empty() { known_models(db)? } else { filter.models.clone() };
    if models.len() * filter.object_ids.len() > MOST {
        return Ok(None);
    }
    let keys = models.iter().flat_map(|model| filter.object_ids.iter().map(move |id| object_key(model, id)));
    Ok(Some(distinct(keys.collect())))
}

/// Labels of all models of which events were taken.
fn known_models(db: &Connection) -> rusqlite::Result<Vec<String>> {
    db.prepare_cached("SELECT label FROM event_model")?.query_map([], |r| r.get(0))?.collect()
}

fn distinct(mut keys: Vec<i64>) -> Vec<i64> {
    keys.sort_unstable();
    keys.dedup();
    keys
}
