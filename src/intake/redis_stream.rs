//! Events that the NetBox plugin wrote into a Redis stream.
//!
//! They are read as one consumer of a group, accepted in batches, and acknowledged and deleted after the commit: killed
//! anywhere between, they are read again and known by their ids. What another consumer read and never acknowledged is
//! taken over. What is no event is set aside in `<stream>:refused`, with the reason.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use actix::Arbiter;
use futures_util::FutureExt;
use redis::streams::{StreamAutoClaimReply, StreamId, StreamReadReply};
use redis::{Cmd, FromRedisValue};
use tokio::sync::{oneshot, watch};
use xxhash_rust::xxh3::xxh3_128;

use super::board::Board;
use super::redis::{Link, LinkError};
use crate::catalog::{Catalog, Plan};
use crate::clock;
use crate::config::ConfigWatch;
use crate::dispatch::Dispatcher;
use crate::domain::event::Event;
use crate::domain::models::Models;
use crate::store::{AcceptError, Idempotency, NewEvent, Route};

/// Its name on the status page, and what its idempotency keys begin with.
const SOURCE: &str = "redis_stream";
const GROUP: &str = "netbox-webhookd";
/// One node reads the stream, so that its order is kept; the next one takes over under the same name.
const CONSUMER: &str = "netbox-webhookd";
const BATCH: usize = 256;
/// How long Redis is waited for when there is nothing to read.
const WAIT: Duration = Duration::from_secs(2);
/// What a consumer has not acknowledged for so long it never will.
const DEAD: Duration = Duration::from_secs(60);
/// How often is looked for that.
const LOOK: Duration = Duration::from_secs(30);
/// Entries kept of those that were refused.
const REFUSED_KEPT: usize = 10_000;
const OFF: Duration = Duration::from_secs(1);
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(15);

/// What it is given.
#[derive(Clone)]
pub struct Deps {
    pub dispatcher: Dispatcher,
    pub config: ConfigWatch,
    pub board: Board,
}

/// It at work, on a thread of its own.
pub struct RedisStream {
    arbiter: Arbiter,
    stop: watch::Sender<bool>,
    stopped: oneshot::Receiver<()>,
}

impl RedisStream {
    pub fn start(deps: Deps) -> Self {
        let arbiter = Arbiter::new();
        let (stop, mut stopping) = watch::channel(false);
        let (done, stopped) = oneshot::channel();
        arbiter.spawn(async move {
            tokio::select! {
                () = supervised(deps) => {}
                // Wherever it is left, what it read is read again at the next start.
                _ = stopping.wait_for(|stop| *stop) => {}
            }
            // Nobody waits when the process ends in a hurry.
            let _ = done.send(());
        });
        Self { arbiter, stop, stopped }
    }

    /// Reads no more.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let _ = self.stopped.await;
        self.arbiter.stop();
    }
}

/// A fault of ours does not end it for good.
async fn supervised(deps: Deps) {
    while AssertUnwindSafe(Reader::new(deps.clone()).run()).catch_unwind().await.is_err() {
        tracing::error!("a fault of ours ended the reading of the stream, it begins again");
        deps.board.hindered(SOURCE, "a fault of ours, see the log");
        tokio::time::sleep(RETRY_MAX).await;
    }
}

/// Why entries stay where they are for now.
#[derive(Debug, thiserror::Error)]
enum Hindered {
    #[error(transparent)]
    Redis(#[from] LinkError),
    #[error(transparent)]
    Accept(#[from] AcceptError),
}

/// Where the next entries come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// What was read before and not acknowledged.
    Own,
    New,
}

struct Reader {
    deps: Deps,
    stream: String,
    link: Link,
    from: From,
    looked: Option<crate::domain::time::Timestamp>,
}

impl Reader {
    fn new(deps: Deps) -> Self {
        let config = deps.config.borrow().clone();
        let stream = config.intake.redis_stream.stream.clone();
        Self { deps, stream, link: Link::new(config.redis.clone()), from: From::Own, looked: None }
    }

    async fn run(mut self) {
        let mut wait = RETRY_FIRST;
        loop {
            if !self.deps.config.borrow().webhooks.enabled {
                tokio::time::sleep(OFF).await;
                continue;
            }
            match self.round().await {
                Ok(()) => wait = RETRY_FIRST,
                Err(error) => {
                    if self.deps.board.hindered(SOURCE, &error.to_string()) {
                        tracing::warn!(%error, "no events are read from the stream, they wait there");
                    }
                    // What was read and not accepted is read again.
                    self.from = From::Own;
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RETRY_MAX);
                }
            }
        }
    }

    async fn round(&mut self) -> Result<(), Hindered> {
        let now = clock::now();
        if self.looked.is_none_or(|looked| now.since(looked) >= LOOK) {
            let claimed = self.claim().await?;
            if claimed.len() < BATCH {
                self.looked = Some(now);
            }
            self.take(claimed).await?;
        }
        let entries = self.read().await?;
        if entries.is_empty() {
            self.from = From::New;
        }
        self.take(entries).await?;
        self.deps.board.took(SOURCE, 0);
        Ok(())
    }

    /// Entries of consumers that are gone.
    async fn claim(&mut self) -> Result<Vec<StreamId>, LinkError> {
        let mut command = redis::cmd("XAUTOCLAIM");
        command.arg(&self.stream).arg(GROUP).arg(CONSUMER).arg(DEAD.as_millis() as u64).arg("0-0");
        command.arg("COUNT").arg(BATCH);
        let claimed: StreamAutoClaimReply = self.run_in_group(&command).await?;
        Ok(claimed.claimed)
    }

    async fn read(&mut self) -> Result<Vec<StreamId>, LinkError> {
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(CONSUMER).arg("COUNT").arg(BATCH);
        let after = match self.from {
            From::Own => "0",
            From::New => {
                command.arg("BLOCK").arg(WAIT.as_millis() as u64);
                ">"
            }
        };
        command.arg("STREAMS").arg(&self.stream).arg(after);
        let reply: Option<StreamReadReply> = self.run_in_group(&command).await?;
        Ok(reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids).collect())
    }

    /// A Redis that was restarted without its data, or emptied, has forgotten the group.
    async fn run_in_group<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, LinkError> {
        match self.link.run(command).await {
            Err(LinkError::Redis { error, .. }) if error.code() == Some("NOGROUP") => {
                let mut create = redis::cmd("XGROUP");
                create.arg("CREATE").arg(&self.stream).arg(GROUP).arg("0").arg("MKSTREAM");
                match self.link.run::<()>(&create).await {
                    // Somebody else was faster.
                    Err(LinkError::Redis { error, .. }) if error.code() == Some("BUSYGROUP") => {}
                    made => made?,
                }
                self.link.run(command).await
            }
            answer => answer,
        }
    }

    /// Accepts entries in their order, then lets go of them.
    async fn take(&mut self, entries: Vec<StreamId>) -> Result<(), Hindered> {
        if entries.is_empty() {
            return Ok(());
        }
        let config = self.deps.config.borrow().clone();
        let models = Models::with_extra(&config.webhooks.models).unwrap_or_else(|_| Models::builtin());
        let mut refused = Vec::new();
        let mut taken = Vec::new();
        let catalog = self.deps.dispatcher.catalog();
        for entry in &entries {
            match read_entry(entry, &models, &catalog) {
                Ok(event) => taken.push((entry, event)),
                Err(reason) => refused.push((entry, reason)),
            }
        }
        crate::crash::point("stream_read");
        self.accept(&mut taken, &mut refused, &catalog).await?;
        crate::crash::point("stream_accepted");
        let (count, bad) = (taken.len(), refused.len());
        for (entry, reason) in &refused {
            tracing::warn!(
                stream = self.stream,
                entry = entry.id,
                reason,
                "an entry of the stream is refused and set aside"
            );
        }
        let done = self.let_go(&entries, &refused);
        self.link.pipe::<()>(&done).await?;
        self.deps.board.took(SOURCE, count);
        if bad > 0 {
            tracing::warn!(bad, "entries that are no events lie in {}:refused", self.stream);
        }
        Ok(())
    }

    /// One that repeats an id with another body is set aside; the others are taken.
    async fn accept<'a>(
        &self,
        taken: &mut Vec<(&'a StreamId, NewEvent)>,
        refused: &mut Vec<(&'a StreamId, String)>,
        catalog: &Arc<Catalog>,
    ) -> Result<(), AcceptError> {
        while !taken.is_empty() {
            let events = taken.iter().map(|(_, event)| event.clone()).collect();
            match self.deps.dispatcher.accept(events, catalog.clone()).await {
                Ok(_) => return Ok(()),
                Err(AcceptError::Conflict { index, key }) if index < taken.len() => {
                    let (entry, _) = taken.remove(index);
                    refused.push((entry, format!("the id \"{key}\" was used before with another body")));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Acknowledges and deletes entries; sets aside those that were refused. All of it or nothing.
    fn let_go(&self, entries: &[StreamId], refused: &[(&StreamId, String)]) -> redis::Pipeline {
        let mut pipe = redis::pipe();
        pipe.atomic();
        for (entry, reason) in refused {
            let mut aside = redis::cmd("XADD");
            aside.arg(format!("{}:refused", self.stream)).arg("MAXLEN").arg("~").arg(REFUSED_KEPT).arg("*");
            aside.arg("reason").arg(reason).arg("entry").arg(&entry.id);
            for name in ["id", "event"] {
                aside.arg(name).arg(entry.get::<Vec<u8>>(name).unwrap_or_default());
            }
            pipe.add_command(aside).ignore();
        }
        for name in ["XACK", "XDEL"] {
            let mut command = redis::cmd(name);
            command.arg(&self.stream);
            if name == "XACK" {
                command.arg(GROUP);
            }
            command.arg(entries.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>());
            pipe.add_command(command).ignore();
        }
        pipe
    }
}

/// An entry as an event, planned.
fn read_entry(entry: &StreamId, models: &Models, catalog: &Catalog) -> Result<NewEvent, String> {
    let text: Vec<u8> = entry.get("event").ok_or("it has no field \"event\"")?;
    let event = Event::parse(text.into(), models, clock::now()).map_err(|error| error.to_string())?;
    let Plan { deliveries: plan, missing } = catalog.plan(&event, Route::Match);
    // The sender's own id outlives an entry that is written twice.
    let id = event.external_id.as_deref().map(str::to_owned).or_else(|| entry.get("id"));
    let key = format!("{SOURCE}/{}", id.as_deref().unwrap_or(&entry.id));
    let idempotency = Some(Idempotency { key, body: xxh3_128(event.raw()) });
    Ok(NewEvent { event: Arc::new(event), route: Route::Match, plan, missing, idempotency })
}
