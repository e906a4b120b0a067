//! Carries the write-ahead log into the database from a second connection, so that no commit does.

use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::schema::{self, FILE};
use crate::store::StoreError;

const EVERY: Duration = Duration::from_millis(250);
/// A longer log is cut off, which holds up the writer for what is not carried over yet, and needs a moment without
/// readers.
const CUT_BYTES: u64 = if cfg!(test) { 1 << 20 } else { 64 << 20 };
/// The writer waits at most this long for readers to end when the log is cut off.
const CUT_WAIT: Duration = Duration::from_millis(20);
/// Rounds until it is tried again when a reader was in the way.
const CUT_AGAIN: u32 = 8;

pub struct Checkpointer {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Checkpointer {
    /// # Errors
    /// The file cannot be opened or the thread not started.
    pub fn start(folder: &Path) -> Result<Self, StoreError> {
        let (stop, stopped) = mpsc::channel();
        let db = schema::open_writer(folder)?;
        db.busy_timeout(CUT_WAIT).map_err(|e| schema::classify(folder, e))?;
        let wal = folder.join(format!("{FILE}-wal"));
        let run = move || {
            let mut pause = 0u32;
            while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(EVERY) {
                // Failing: the next round tries again, and the writer reports what is broken.
                let _ = checkpoint(&db, "PASSIVE");
                let long = std::fs::metadata(&wal).is_ok_and(|m| m.len() > CUT_BYTES);
                pause = match pause {
                    0 if long && !checkpoint(&db, "TRUNCATE").unwrap_or(false) => CUT_AGAIN,
                    waiting => waiting.saturating_sub(1),
                };
            }
        };
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(run)
            .map_err(|e| StoreError::Unavailable(format!("cannot start the checkpoint thread: {e}")))?;
        Ok(Self { stop, thread })
    }

    pub fn stop(self) {
        drop(self.stop);
        let _ = self.thread.join();
    }
}

/// `false`: something was in the way.
fn checkpoint(db: &Connection, mode: &str) -> rusqlite::Result<bool> {
    db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |r| r.get::<_, i64>(0)).map(|busy| busy == 0)
}
