//! A few threads that read what is committed, so that nothing else waits for the disk.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::{Condvar, Mutex};
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
    queue: Arc<Queue>,
}

/// A condition instead of a channel behind a lock: threads that wait for the lock of a channel spin.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    reads: VecDeque<Read>,
    closed: bool,
}

impl Queue {
    fn push(&self, read: Read) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.reads.len() >= WAITING_MAX {
            return false;
        }
        waiting.reads.push_back(read);
        drop(waiting);
        self.changed.notify_one();
        true
    }

    /// Waits for the next read; `None` when nothing comes any more.
    fn next(&self) -> Option<Read> {
        let mut waiting = self.waiting.lock();
        loop {
            if let Some(read) = waiting.reads.pop_front() {
                return Some(read);
            }
            if waiting.closed {
                return None;
            }
            self.changed.wait(&mut waiting);
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue.waiting.lock().closed = true;
        self.queue.changed.notify_all();
    }
}

impl Readers {
    /// # Errors
    /// A thread cannot be started.
    pub fn start(folder: &Path) -> Result<Self, StoreError> {
        let readers = Self { queue: Arc::default() };
        for n in 0..THREADS {
            let (queue, folder) = (readers.queue.clone(), folder.to_path_buf());
            std::thread::Builder::new()
                .name(format!("store-read-{n}"))
                .spawn(move || serve(&queue, &folder))
                .map_err(|e| StoreError::Unavailable(format!("cannot start a reading thread: {e}")))?;
        }
        Ok(readers)
    }

    pub fn run<T, F>(&self, read: F) -> impl Future<Output = Result<T, StoreError>> + Send + 'static
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let queued = self.queue.push(Box::new(move |db: Result<&Connection, StoreError>| {
            let _ = reply.send(db.and_then(read));
        }));
        async move {
            if !queued {
                return Err(StoreError::Unavailable("too many reads are waiting".to_owned()));
            }
            answer.await.unwrap_or_else(|_| Err(StoreError::Unavailable("a read was given up".to_owned())))
        }
    }
}

fn serve(queue: &Queue, folder: &Path) {
    let mut db: Option<Connection> = None;
    while let Some(read) = queue.next() {
        if db.is_none() {
            match schema::open_reader(folder) {
                Ok(opened) => db = Some(opened),
                Err(error) => {
                    read(Err(error));
                    continue;
                }
            }
        }
        let Some(reading) = &mut db else { continue };
        bound(reading);
        let done = catch_unwind(AssertUnwindSafe(|| read(Ok(reading))));
        if done.is_err() {
            // Its caller is told by the dropped reply; the thread goes on with a fresh connection.
            db = None;
        }
    }
}

fn bound(db: &mut Connection) {
    let steps = AtomicU32::new(0);
    // Without the handler a read is merely unbounded.
    let _ = db.progress_handler(STEP, Some(move || steps.fetch_add(1, Ordering::Relaxed) > STEPS_MAX));
}
