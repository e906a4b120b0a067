//! The database file: its schema, pragmas, and the lock on its folder.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::store::StoreError;

/// Name of the database inside the data folder.
pub const FILE: &str = "webhookd.sqlite3";
/// `PRAGMA user_version` this program writes. A newer file is refused, an older one would be migrated.
const VERSION: i64 = 1;
/// Marks the file as ours (`PRAGMA application_id`): "NBWD".
const APPLICATION_ID: i64 = 0x4e42_5744;
/// Length the write-ahead log is cut to at a restart of it.
const WAL_LIMIT_BYTES: i64 = 64 << 20;

/// Ids that are named elsewhere (by an audit line, an idempotency key, a counter) are never given twice: AUTOINCREMENT.
pub const SCHEMA: &str = "
CREATE TABLE event(
  seq INTEGER PRIMARY KEY, received INTEGER NOT NULL, type INTEGER NOT NULL, label TEXT NOT NULL, class TEXT NOT NULL,
  object_key INTEGER, object_id TEXT, request_id TEXT, places INTEGER NOT NULL, plan BLOB NOT NULL, body BLOB);
CREATE INDEX event_unmatched ON event(received) WHERE body IS NULL;
CREATE TABLE delivery(
  id INTEGER PRIMARY KEY, endpoint INTEGER NOT NULL, webhook INTEGER NOT NULL, state INTEGER NOT NULL,
  attempts INTEGER NOT NULL, finished INTEGER, code INTEGER, error INTEGER, latency INTEGER, revision INTEGER,
  excerpt BLOB, position INTEGER, key INTEGER, received INTEGER, counted INTEGER, due INTEGER, first_attempt INTEGER,
  folded_from INTEGER, successor INTEGER, resend_of INTEGER, flags INTEGER, created INTEGER);
CREATE INDEX delivery_open ON delivery(endpoint, position, state) WHERE state < 2;
CREATE INDEX delivery_key ON delivery(endpoint, key, position) WHERE state < 2;
CREATE INDEX delivery_failed ON delivery(webhook, id) WHERE state IN (3, 5);
CREATE INDEX delivery_unfinished ON delivery(id, state, webhook) WHERE state < 2;
CREATE INDEX delivery_stopped ON delivery(id, state) WHERE state IN (3, 5);
CREATE INDEX delivery_failed_alike ON delivery(endpoint, error, code, finished)
  WHERE state = 3 AND coalesce(flags, 0) & 1 = 0;
CREATE INDEX delivery_folded ON delivery(folded_from) WHERE folded_from IS NOT NULL;
CREATE TABLE prune_later(kind INTEGER NOT NULL, since INTEGER NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY(kind, since, seq)) WITHOUT ROWID;
CREATE TABLE canceling(id INTEGER PRIMARY KEY);
CREATE TABLE attempt(
  delivery INTEGER NOT NULL, number INTEGER NOT NULL, started INTEGER NOT NULL, revision INTEGER NOT NULL,
  code INTEGER, error INTEGER, detail TEXT, headers TEXT, excerpt BLOB, truncated INTEGER NOT NULL, url TEXT NOT NULL,
  remote TEXT, timings TEXT NOT NULL, retry_after INTEGER, PRIMARY KEY(delivery, number)) WITHOUT ROWID;
CREATE TABLE idempotency(
  seq INTEGER PRIMARY KEY, key BLOB NOT NULL, body BLOB NOT NULL, deliveries INTEGER NOT NULL, received INTEGER NOT NULL);
CREATE INDEX idempotency_key ON idempotency(key);
CREATE TABLE counter(
  endpoint INTEGER NOT NULL, webhook INTEGER NOT NULL, state INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY(endpoint, webhook, state)) WITHOUT ROWID;
CREATE TABLE counter_change(id INTEGER PRIMARY KEY, hour INTEGER NOT NULL, changes BLOB NOT NULL);
CREATE TABLE webhook_hour(
  hour INTEGER NOT NULL, webhook INTEGER NOT NULL, state INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY(hour, webhook, state)) WITHOUT ROWID;
CREATE TABLE endpoint(
  id INTEGER PRIMARY KEY AUTOINCREMENT, url TEXT NOT NULL, origin TEXT NOT NULL, control TEXT NOT NULL, live TEXT NOT NULL,
  patch TEXT NOT NULL, UNIQUE(url, origin));
CREATE TABLE webhook(
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, revision INTEGER NOT NULL, spec TEXT NOT NULL,
  endpoint INTEGER NOT NULL, source TEXT NOT NULL, orphaned INTEGER NOT NULL, moving INTEGER NOT NULL,
  deleted INTEGER NOT NULL, purging INTEGER NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL);
CREATE INDEX webhook_purging ON webhook(id) WHERE purging = 1;
CREATE TABLE revision(webhook INTEGER NOT NULL, revision INTEGER NOT NULL, spec TEXT NOT NULL, replaced INTEGER,
  PRIMARY KEY(webhook, revision)) WITHOUT ROWID;
CREATE TABLE token(
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, scopes TEXT NOT NULL, hash BLOB NOT NULL, created INTEGER NOT NULL);
CREATE TABLE audit(
  id INTEGER PRIMARY KEY, time INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL,
  detail TEXT NOT NULL);
CREATE TABLE bulk(
  id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, filter TEXT NOT NULL, upper INTEGER NOT NULL, cursor INTEGER NOT NULL,
  matched INTEGER NOT NULL, done INTEGER NOT NULL, skipped INTEGER NOT NULL, state TEXT NOT NULL, created INTEGER NOT NULL);
CREATE TABLE meta(k TEXT PRIMARY KEY, v INTEGER NOT NULL) WITHOUT ROWID;
";

/// Retries by age. Made at open, for files that were made without it.
const AGING: &str = "CREATE INDEX IF NOT EXISTS delivery_aging ON delivery(webhook, first_attempt) WHERE state = 1";

/// What lists find rows by: what went wrong, what was sent again; events by key (object or request) and the models there
/// are; the deliveries of an endpoint. Made at open as well.
const LISTS: &str = "
CREATE INDEX IF NOT EXISTS delivery_error ON delivery(error) WHERE error IS NOT NULL;
CREATE INDEX IF NOT EXISTS delivery_resent ON delivery(id) WHERE created IS NOT NULL;
CREATE TABLE IF NOT EXISTS event_key(key INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(key, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event_model(label TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS placed(endpoint INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY(endpoint, id)) WITHOUT ROWID;
";

/// Opens the database for writing, making it when the folder is empty.
///
/// # Errors
/// A newer or foreign file, a damaged one, or one that cannot be opened.
pub fn open_writer(folder: &Path) -> Result<Connection, StoreError> {
    let path = folder.join(FILE);
    make_file(&path).map_err(|e| StoreError::Unavailable(format!("{}: {e}", path.display())))?;
    let db = Connection::open(&path).map_err(|e| classify(&path, e))?;
    let ours = |e| classify(&path, e);
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0)).map_err(ours)?;
    if tables == 0 {
        db.execute_batch("PRAGMA page_size = 4096; PRAGMA journal_mode = WAL;").map_err(ours)?;
        db.execute_batch(&format!(
            "BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; PRAGMA application_id = {APPLICATION_ID}; COMMIT;"
        ))
        .map_err(ours)?;
    }
    check_version(&db, &path)?;
    db.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}; PRAGMA cache_size = -32768; PRAGMA temp_store = MEMORY;"
    ))
    .map_err(ours)?;
    db.execute_batch(AGING).map_err(ours)?;
    db.execute_batch(LISTS).map_err(ours)?;
    db.execute_batch(super::accounts::TABLES).map_err(ours)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

fn check_version(db: &Connection, path: &Path) -> Result<(), StoreError> {
    let read = |pragma: &str| -> Result<i64, StoreError> {
        db.query_row(&format!("PRAGMA {pragma}"), [], |r| r.get(0)).map_err(|e| classify(path, e))
    };
    if read("application_id")? != APPLICATION_ID {
        return Err(StoreError::Corrupt(format!("{} is a database of another program", path.display())));
    }
    let version = read("user_version")?;
    if version > VERSION {
        return Err(StoreError::Conflict(format!(
            "{} was written by a newer release (schema {version}, this one knows {VERSION}); start that release",
            path.display()
        )));
    }
    Ok(())
}

/// Webhook secrets lie inside: what we make is for our user alone. What is there keeps its mode.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if folder.exists() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The same for the file; SQLite gives its log the mode of the database.
fn make_file(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

/// Opens a connection that only reads.
pub fn open_reader(folder: &Path) -> Result<Connection, StoreError> {
    let path = folder.join(FILE);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(&path, flags).map_err(|e| classify(&path, e))?;
    db.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY;")
        .map_err(|e| classify(&path, e))?;
    // Plans do not depend on values: a text that is looked for would be planned anew for each.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(|e| classify(&path, e))?;
    db.busy_timeout(Duration::from_secs(2)).map_err(|e| classify(&path, e))?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

/// Damage, lack of space and the rest, each with the file's name.
pub fn classify(path: &Path, error: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
    let text = format!("{}: {error}", path.display());
    let extended = error.sqlite_error().map(|e| e.extended_code);
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => StoreError::Corrupt(format!(
            "{text}; the file is left as it is, `netbox-webhookd recover DIR` writes what is readable to a new folder"
        )),
        Some(DiskFull) => StoreError::Full(text),
        // The index of the log could not grow.
        _ if extended == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE) => StoreError::Full(text),
        _ => StoreError::Unavailable(text),
    }
}

/// Holds the data folder for this process.
pub struct FolderLock {
    _file: File,
    clean: PathBuf,
    /// The last process did not end in order.
    pub unclean: bool,
}

impl FolderLock {
    /// # Errors
    /// Another process holds it, or the folder cannot be written; the message says which and what to do.
    pub fn take(folder: &Path) -> Result<Self, StoreError> {
        let problem = |what: &str, e: std::io::Error| {
            StoreError::Unavailable(format!("the data folder {} {what}: {e}", folder.display()))
        };
        make_folder(folder).map_err(|e| problem("cannot be made", e))?;
        let path = folder.join("lock");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .read(true)
            .open(&path)
            .map_err(|e| problem("cannot be written", e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(StoreError::Unavailable(format!(
                    "the data folder {} is in use by another process ({}); stop it or set another store.path",
                    folder.display(),
                    std::fs::read_to_string(&path).unwrap_or_default().trim()
                )));
            }
            Err(std::fs::TryLockError::Error(e)) => return Err(problem("cannot be locked", e)),
        }
        file.set_len(0).map_err(|e| problem("cannot be written", e))?;
        writeln!(file, "pid {}", std::process::id()).map_err(|e| problem("cannot be written", e))?;
        let clean = folder.join("clean");
        let unclean = folder.join(FILE).exists() && !clean.exists();
        let _ = std::fs::remove_file(&clean);
        Ok(Self { _file: file, clean, unclean })
    }

    /// The store was closed in order: the next start need not check the file.
    pub fn closed_cleanly(&self) {
        if let Err(error) = std::fs::write(&self.clean, b"") {
            tracing::warn!(%error, "could not mark the store as closed in order, the next start checks it");
        }
    }
}

/// The tables and indexes alone, for what queries would do.
#[cfg(test)]
pub fn in_memory() -> Connection {
    let db = Connection::open_in_memory().expect("a database");
    for sql in [SCHEMA, AGING, LISTS] {
        db.execute_batch(sql).expect("the schema");
    }
    db
}
