//! A few threads that read what is committed, so that nothing else waits for the disk.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::schema;
use crate::store::StoreError;

const THREADS: usize = 3;
/// Reads that may wait; beyond it they are refused.
const WAITING_MAX: usize = 1_024;
/// SQLite instructions between two looks at the limit.
const STEP: i32 = 100_000;
/// A read is interrupted after this many steps (some seconds): a long one keeps the write-ahead log from shrinking.
const STEPS_MAX: u32 = 4_000;

type Read = Box<dyn FnOnce(Result<&Connection, StoreError>) + Send>;

pub struct Readers {
    queue: mpsc::SyncSender<Read>,
}

impl Readers {
    /// # Errors
    /// A thread cannot be started.
    pub fn start(folder: &Path) -> Result<Self, StoreError> {
        let (queue, reads) = mpsc::sync_channel(WAITING_MAX);
        // Shared by the reading threads: each takes the next read.
        let reads = Arc::new(Mutex::new(reads));
        for n in 0..THREADS {
            let (reads, folder) = (reads.clone(), folder.to_path_buf());
            std::thread::Builder::new()
                .name(format!("store-read-{n}"))
                .spawn(move || serve(&reads, &folder))
                .map_err(|e| StoreError::Unavailable(format!("cannot start a reading thread: {e}")))?;
        }
        Ok(Self { queue })
    }

    pub fn run<T, F>(&self, read: F) -> impl Future<Output = Result<T, StoreError>> + Send + 'static
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let queued = self.queue.try_send(Box::new(move |db: Result<&Connection, StoreError>| {
            let _ = reply.send(db.and_then(read));
        }));
        async move {
            queued.map_err(|_| StoreError::Unavailable("too many reads are waiting".to_owned()))?;
            answer.await.unwrap_or_else(|_| Err(StoreError::Unavailable("a read was given up".to_owned())))
        }
    }
}

fn serve(reads: &Mutex<mpsc::Receiver<Read>>, folder: &Path) {
    let mut db: Option<Connection> = None;
    loop {
        let next = reads.lock().recv();
        let Ok(read) = next else { return };
        if db.is_none() {
            match schema::open_reader(folder) {
                Ok(opened) => db = Some(opened),
                Err(error) => {
                    read(Err(error));
                    continue;
                }
            }
        }
        if let Some(db) = &mut db {
            bound(db);
            read(Ok(db));
        }
    }
}

fn bound(db: &mut Connection) {
    let steps = AtomicU32::new(0);
    // Without the handler a read is merely unbounded.
    let _ = db.progress_handler(STEP, Some(move || steps.fetch_add(1, Ordering::Relaxed) > STEPS_MAX));
}
