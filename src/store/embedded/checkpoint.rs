//! Carries the write-ahead log into the database from a second connection, so that no commit does.

use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::schema::{self, FILE};
use crate::store::StoreError;

const EVERY: Duration = Duration::from_millis(250);
/// A longer log is begun anew, which waits for readers.
const RESTART_BYTES: u64 = 64 << 20;

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
        db.busy_timeout(Duration::from_millis(100)).map_err(|e| schema::classify(folder, e))?;
        let wal = folder.join(format!("{FILE}-wal"));
        let run = move || {
            while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(EVERY) {
                let long = std::fs::metadata(&wal).is_ok_and(|m| m.len() > RESTART_BYTES);
                let mode = if long { "RESTART" } else { "PASSIVE" };
                // Busy or failing: the next round tries again, and the writer reports what is broken.
                let _ = db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
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
