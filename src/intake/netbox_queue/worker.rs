//! This service as one of RQ's workers, so that NetBox lists it and does not warn that nobody serves the queue.
//!
//! # Source
//! `worker.py` and `worker_registration.py` of rq 2.6.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;

use super::{RETRY_MAX, Shared, Stage};
use crate::clock;
use crate::domain::time::Timestamp;
use crate::intake::redis::{Link, LinkError};

/// Between signs of life.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Without one it is gone: RQ's `worker_ttl` of 420 s and a minute.
const ALIVE: Duration = Duration::from_secs(480);
/// How long one that ended is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);

pub struct Worker {
    name: String,
    host: String,
    queue: String,
    birth: Timestamp,
}

impl Worker {
    pub fn new(queue: &str) -> Self {
        let host = hostname().filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned());
        // It is part of addresses, and the same after a restart: NetBox sends orders for older jobs to it.
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name = format!("netbox-webhookd-{}", host.chars().map(plain).collect::<String>());
        Self { name, host, queue: queue.to_owned(), birth: clock::now() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    fn key(&self) -> String {
        format!("rq:worker:{}", self.name)
    }

    /// A sign of life. All is written each time: Redis may have forgotten it.
    async fn live(&self, link: &mut Link, state: &str) -> Result<(), LinkError> {
        let key = self.key();
        let now = clock::now().to_string();
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.cmd("HSET").arg(&key).arg("birth").arg(self.birth.to_string()).arg("last_heartbeat").arg(now);
        pipe.arg("queues").arg(&self.queue).arg("pid").arg(std::process::id()).arg("hostname").arg(&self.host);
        pipe.arg("ip_address").arg("127.0.0.1").arg("version").arg(env!("CARGO_PKG_VERSION"));
        pipe.arg("python_version").arg("").arg("state").arg(state).ignore();
        pipe.cmd("SADD").arg("rq:workers").arg(&key).ignore();
        pipe.cmd("SADD").arg(format!("rq:workers:{}", self.queue)).arg(&key).ignore();
        pipe.cmd("SADD").arg("rq:queues").arg(format!("rq:queue:{}", self.queue)).ignore();
        pipe.cmd("HDEL").arg(&key).arg("death").ignore();
        pipe.cmd("EXPIRE").arg(&key).arg(ALIVE.as_secs()).ignore();
        link.pipe(&pipe).await
    }

    async fn die(&self, link: &mut Link) -> Result<(), LinkError> {
        let key = self.key();
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.cmd("SREM").arg("rq:workers").arg(&key).ignore();
        pipe.cmd("SREM").arg(format!("rq:workers:{}", self.queue)).arg(&key).ignore();
        pipe.cmd("HSET").arg(&key).arg("death").arg(clock::now().to_string()).ignore();
        pipe.cmd("EXPIRE").arg(&key).arg(REMEMBERED.as_secs()).ignore();
        link.pipe(&pipe).await
    }
}

fn hostname() -> Option<String> {
    let mut name = [0_u8; 256];
    // SAFETY: it writes at most the length given; a name that is cut may lack its end, which is looked for below.
    let read = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) } == 0;
    let end = name.iter().position(|byte| *byte == 0).filter(|_| read)?;
    String::from_utf8(name[..end].to_vec()).ok()
}

/// Lives until the end is near.
pub async fn run(shared: Rc<Shared>, mut stage: watch::Receiver<Stage>) {
    let mut link = Link::new(shared.config().intake.netbox_queue.redis.clone());
    loop {
        let busy = shared.deps.store.pending_endpoints().iter().any(|endpoint| endpoint.unfinished > 0);
        let wait = match shared.worker.live(&mut link, if busy { "busy" } else { "idle" }).await {
            Ok(()) => HEARTBEAT,
            Err(_) => RETRY_MAX / 10,
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stage.wait_for(|stage| *stage > Stage::Taking) => break,
        }
    }
    // A worker that cannot say so is taken for dead soon.
    let _ = shared.worker.die(&mut link).await;
}
