//! A copy of the whole store in one file.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::Backup;

use super::schema;
use crate::store::StoreError;

/// Copies the store in `folder` into the new file `to`, also while a service works on it: what was answered 202 before
/// is in the copy. Put into an empty data folder under the store's own file name, it is a store.
///
/// # Errors
/// There is no store, or `to` exists or cannot be written.
pub fn backup(folder: &Path, to: &Path) -> Result<(), StoreError> {
    if to.exists() {
        return Err(StoreError::Conflict(format!("{} exists already; name a new file", to.display())));
    }
    let source = folder.join(schema::FILE);
    if !source.exists() {
        return Err(StoreError::NotFound(format!("a store in {}", folder.display())));
    }
    let db = schema::open_reader(folder)?;
    let ours = |e| schema::classify(to, e);
    let mut copy = Connection::open(to).map_err(ours)?;
    // In one step: a copy in pieces begins anew with every commit between two of them.
    Backup::new(&db, &mut copy).and_then(|b| b.step(-1)).map(drop).map_err(ours)
}
