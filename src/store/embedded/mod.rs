//! The store inside the process: SQLite under memory.
//!
//! The 202-commit appends one `event` row that carries body *and* plan: the whole durable promise. A delivery's row is
//! written once, in its final state; only deliveries that are still open after half a second get a row before, so
//! that a restart derives at most the last moments from their events. Heads, lanes and due times of what is waiting live
//! in one `ledger` per endpoint, which keeps a bounded part and finds the rest on disk.
//!
//! | file | what |
//! | --- | --- |
//! | `schema` | tables, pragmas, the lock on the folder |
//! | `shared` | what all threads see |
//! | `ledger` | order, in memory, pure |
//! | `queue` | [`Queue`](crate::store::Queue): deliveries in and out |
//! | `writer`, `tx`, `ops`, `counts`, `hours`, `accept`, `index`, `places`, `idempotency`, `plan`, `body` | the one transaction after another |
//! | `load` | rows back into a ledger |
//! | `recovery` | opening, and saving what a damaged file still holds |
//! | `definitions`, `tokens`, `accounts`, `retry`, `cancel`, `bulk`, `moving`, `purge`, `beside` | what people order |
//! | `prune`, `leftovers`, `expire`, `standstill` | what time ends, and when it stands still |
//! | `reads`, `blocked`, `rows`, `failed`, `readers`, `search`, `conditions`, `filter` | [`Archive`](crate::store::Archive) |

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock;
use crate::store::{StoreConfig, StoreError};
use parking_lot::Mutex;

mod accept;
mod accounts;
mod backup;
mod ballast;
mod beside;
mod blocked;
mod body;
mod bulk;
mod cancel;
mod checkpoint;
mod conditions;
mod counts;
mod definitions;
mod destination;
mod endpoints;
mod expire;
mod failed;
mod filter;
mod hours;
mod idempotency;
mod index;
mod ledger;
mod leftovers;
mod load;
mod moving;
mod ops;
mod places;
mod plan;
mod prune;
mod purge;
mod queue;
mod readers;
mod reads;
mod recovery;
mod retry;
mod rows;
mod schema;
mod search;
mod shared;
mod standstill;
#[cfg(test)]
mod tests;
mod tokens;
mod tx;
mod writer;

pub use backup::backup;
pub use recovery::{RecoverReport, recover};

use shared::{Shared, WriterEnd};
use writer::{COMMANDS_MAX, Command, Writer};

/// How long closing waits for the writer.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// A store in a folder of this machine.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    writer: JoinHandle<()>,
    checkpointer: checkpoint::Checkpointer,
    lock: schema::FolderLock,
}

impl EmbeddedStore {
    /// Opens the store, making the folder and the file when they are missing.
    ///
    /// # Errors
    /// The folder is in use or not writable, the file is damaged, foreign or newer than this program.
    pub fn open(config: StoreConfig) -> Result<Self, StoreError> {
        let lock = schema::FolderLock::take(&config.path)?;
        let folder = config.path.clone();
        let mut db = schema::open_writer(&folder)?;
        if lock.unclean {
            recovery::verify(&mut db, &folder)?;
        }
        let (commands, received) = mpsc::sync_channel(COMMANDS_MAX);
        let readers = readers::Readers::start(&folder)?;
        let shared = Arc::new(Shared::new(config, commands, readers));
        let intake = recovery::restore(&db, &shared, clock::now())?;
        let ballast = ballast::Ballast::take(&folder);
        let writer = Writer::new(shared.clone(), received, db, intake, ballast);
        let writer = std::thread::Builder::new()
            .name("store-write".to_owned())
            .spawn(move || writer.run())
            .map_err(|e| StoreError::Unavailable(format!("cannot start the writing thread: {e}")))?;
        let checkpointer = checkpoint::Checkpointer::start(&folder)?;
        Ok(Self { shared, threads: Mutex::new(Some(Threads { writer, checkpointer, lock })) })
    }

    /// Resolves when the store cannot go on in this process, with the reason; never when it is closed in order.
    pub async fn broken(&self) -> String {
        match self.shared.writer_ended().await {
            WriterEnd::Broken(reason) => reason,
            WriterEnd::Closed => std::future::pending().await,
        }
    }

    /// Writes what is applied, and closes the file. Later calls answer `Unavailable`.
    pub fn close(&self) {
        let Some(threads) = self.threads.lock().take() else { return };
        let Threads { writer, checkpointer, lock } = threads;
        checkpointer.stop();
        if self.shared.commands.send(Command::Close).is_ok() && join_within(writer, CLOSE_WAIT) {
            lock.closed_cleanly();
        }
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.close();
    }
}

fn join_within(writer: JoinHandle<()>, wait: Duration) -> bool {
    let (done, ended) = mpsc::channel();
    let joiner = std::thread::Builder::new().name("store-close".to_owned()).spawn(move || {
        let _ = done.send(writer.join().is_ok());
    });
    joiner.is_ok() && ended.recv_timeout(wait).unwrap_or(false)
}
