//! RQ's own books, kept as one of its workers keeps them, so that NetBox's pages and API show what becomes of its jobs.
//!
//! | key | what |
//! | --- | --- |
//! | `rq:queue:<q>`, `rq:queue:<q>:intermediate` | lists of job ids: waiting; taken, but not begun |
//! | `rq:job:<id>` | a job |
//! | `rq:wip:<q>` | sorted set of what has begun, `<job>:<execution>`, by when it is given up |
//! | `rq:deferred:<q>`, `rq:finished:<q>`, `rq:failed:<q>` | sorted sets of job ids |
//! | `rq:executions:<id>`, `rq:execution:<id>:<execution>`, `rq:results:<id>` | runs of a job, and what came of them |
//!
//! A mark of ours in the job says which event it became, also after we were killed. Each change is one script: it happens
//! whole or not at all.
//!
//! # Source
//! `queue.py`, `job.py`, `executions.py`, `registry.py`, `results.py`, `worker.py` of rq 2.6.

use std::cell::Cell;
use std::io::Write;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use redis::{Script, ScriptInvocation};

use crate::domain::ids::PublicId;
use crate::domain::time::Timestamp;
use crate::intake::redis::{Link, LinkError};

/// Jobs taken at once.
pub const BATCH: usize = 256;
/// Bytes of jobs taken at once; one larger job still is.
const BATCH_BYTES: usize = 16 << 20;
/// RQ gives up what has begun when its time is over; what waits here waits as long as its receiver is down.
const HELD: Duration = Duration::from_secs(366 * 86_400);
/// How long RQ keeps results of jobs that succeeded (`Queue.enqueue`'s `result_ttl`).
const KEEP_FINISHED: Duration = Duration::from_secs(500);
/// The same of failed ones (`DEFAULT_FAILURE_TTL`).
const KEEP_FAILED: Duration = Duration::from_secs(31_536_000);
/// Our mark in a job: the event it became.
const EVENT_FIELD: &str = "netbox_webhookd_event";

/// Moves jobs from the head of the queue behind what is taken already, and returns all that is taken: id, `data`,
/// `enqueued_at`, our mark. A job whose hash is gone (deleted by a person) has no `data`.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local taken = redis.call('LRANGE', KEYS[2], 0, ARGV[1] - 1)
local bytes = 0
local jobs = {}
local function read(id)
    local key = 'rq:job:' .. id
    bytes = bytes + redis.call('HSTRLEN', key, 'data')
    if #jobs > 0 and bytes > tonumber(ARGV[2]) then return false end
    local job = redis.call('HMGET', key, 'data', 'enqueued_at', ARGV[3])
    jobs[#jobs + 1] = {id, job[1], job[2], job[3]}
    return true
end
for _, id in ipairs(taken) do
    if not read(id) then return jobs end
end
while #jobs < tonumber(ARGV[1]) do
    local id = redis.call('LINDEX', KEYS[1], 0)
    if not id or not read(id) then break end
    redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT')
end
return jobs
",
    )
});

/// Says of taken jobs that they have begun. ARGV: our mark, now as text, now and the end of its time in seconds, worker;
/// then of each job id, execution and event.
static BEGIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
for i = 6, #ARGV, 3 do
    local id, execution, event = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local key = 'rq:job:' .. id
    if redis.call('EXISTS', key) == 1 then
        redis.call('HSET', key, 'status', 'started', 'started_at', ARGV[2], 'ended_at', '', 'last_heartbeat', ARGV[2],
            'worker_name', ARGV[5], ARGV[1], event)
        redis.call('HDEL', key, 'meta', 'result', 'exc_info')
        redis.call('PERSIST', key)
        for registry = 3, #KEYS do redis.call('ZREM', KEYS[registry], id) end
        if execution == '' then
            redis.call('ZADD', KEYS[2], ARGV[4], id)
        else
            redis.call('HSET', 'rq:execution:' .. id .. ':' .. execution, 'id', execution, 'created_at', ARGV[3],
                'last_heartbeat', ARGV[3])
            redis.call('ZADD', 'rq:executions:' .. id, ARGV[4], execution)
            redis.call('ZADD', KEYS[2], ARGV[4], id .. ':' .. execution)
        end
    end
    redis.call('LREM', KEYS[1], 1, id)
    redis.call('DEL', KEYS[1] .. ':first_seen:' .. id)
end
",
    )
});

/// Says what came of jobs. ARGV: now as text, now in seconds, how long finished and failed ones are kept, worker; then of
/// each job id, execution, status, what RQ keeps as its result, the text as the pages show it, a dictionary of it, and the
/// text as RQ pickles it.
/// KEYS: what is taken, where it may be listed, and last where those that finished and failed are.
static END: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local count = {0, 0}
for i = 6, #ARGV, 7 do
    local id, execution, status = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local key = 'rq:job:' .. id
    local before = redis.call('HGET', key, 'status')
    redis.call('ZREM', KEYS[2], id .. ':' .. execution)
    redis.call('DEL', 'rq:execution:' .. id .. ':' .. execution, 'rq:executions:' .. id)
    -- One that a person has put on the queue again is not over, and neither is one that is not entered as begun yet.
    local over = before ~= 'queued' or execution == ''
    if not before or over then redis.call('LREM', KEYS[1], 1, id) end
    if before and over then
        local kind = status == 'finished' and 1 or 2
        local keep = tonumber(ARGV[2 + kind])
        for registry = 2, #KEYS do redis.call('ZREM', KEYS[registry], id) end
        redis.call('HSET', key, 'status', status, 'ended_at', ARGV[1], 'meta', ARGV[i + 5])
        if kind == 2 then
            redis.call('HSET', key, 'exc_info', ARGV[i + 4], 'result', ARGV[i + 6])
            if redis.call('HEXISTS', key, 'retries_left') == 1 then redis.call('HSET', key, 'retries_left', 0) end
        end
        redis.call('ZADD', KEYS[#KEYS - 2 + kind], ARGV[2] + keep, id)
        redis.call('XADD', 'rq:results:' .. id, 'MAXLEN', '~', 10, '*', 'type', kind, 'worker_name', ARGV[5],
            kind == 1 and 'return_value' or 'exc_string', ARGV[i + 3])
        redis.call('EXPIRE', 'rq:results:' .. id, keep)
        redis.call('EXPIRE', key, keep)
        count[kind] = count[kind] + 1
    end
end
local worker = 'rq:worker:' .. ARGV[5]
if redis.call('EXISTS', worker) == 1 then
    redis.call('HINCRBY', worker, 'successful_job_count', count[1])
    redis.call('HINCRBY', worker, 'failed_job_count', count[2])
end
",
    )
});

/// Shows what has waited long as deferred. ARGV: from which and up to which end of time, how many, a dictionary that says why.
static DEFER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local waiting = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2], 'BYSCORE', 'LIMIT', 0, ARGV[3])
for _, member in ipairs(waiting) do
    local id = string.match(member, '^[^:]+')
    redis.call('ZREM', KEYS[1], member)
    redis.call('DEL', 'rq:execution:' .. member, 'rq:executions:' .. id)
    if redis.call('EXISTS', 'rq:job:' .. id) == 1 then
        redis.call('HSET', 'rq:job:' .. id, 'status', 'deferred', 'meta', ARGV[4])
        redis.call('ZADD', KEYS[2], '+inf', id)
    end
end
return #waiting
",
    )
});

/// Puts what is taken and not begun back to the head of the queue, in its order.
static PUT_BACK: LazyLock<Script> =
    LazyLock::new(|| Script::new("while redis.call('LMOVE', KEYS[2], KEYS[1], 'RIGHT', 'LEFT') do end"));

/// A job as taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub id: String,
    /// `None`: a person deleted it meanwhile.
    pub data: Option<Vec<u8>>,
    pub enqueued_at: String,
    /// The event it became when it was taken before.
    pub event: Option<PublicId>,
}

/// A job and the event it became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    pub job: String,
    pub event: PublicId,
}

/// How a job ended, in words for NetBox's page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub job: String,
    /// `None`: it was refused before it became one.
    pub event: Option<PublicId>,
    pub ending: Ending,
    pub text: String,
}

/// RQ's word for an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Finished,
    Failed,
    /// By a person.
    Stopped,
}

impl Ending {
    const fn status(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// The books of one queue.
#[derive(Clone, Debug)]
pub struct Books {
    queue: String,
    worker: String,
    /// RQ 2 and later enter runs of a job, not the job, among what has begun.
    executions: Cell<bool>,
}

impl Books {
    pub fn new(queue: &str, worker: &str) -> Self {
        Self { queue: queue.to_owned(), worker: worker.to_owned(), executions: Cell::new(true) }
    }

    /// Keeps them as RQ 1 does, which NetBox had until 4.1.6.
    pub fn as_rq_1(&self, old: bool) {
        self.executions.set(!old);
    }

    fn waiting(&self) -> String {
        format!("rq:queue:{}", self.queue)
    }

    fn taken(&self) -> String {
        format!("rq:queue:{}:intermediate", self.queue)
    }

    fn registry(&self, name: &str) -> String {
        format!("rq:{name}:{}", self.queue)
    }

    /// Waits for a job and takes it; `false`: none came in time.
    pub async fn wait(&self, link: &mut Link, at_most: Duration) -> Result<bool, LinkError> {
        let mut command = redis::cmd("BLMOVE");
        command.arg(self.waiting()).arg(self.taken()).arg("LEFT").arg("RIGHT").arg(at_most.as_secs_f64());
        Ok(link.run::<Option<String>>(&command).await?.is_some())
    }

    /// What is taken and not begun yet, with more from the queue if there is room.
    pub async fn take(&self, link: &mut Link) -> Result<Vec<Taken>, LinkError> {
        let mut call = TAKE.key(self.waiting());
        call.key(self.taken()).arg(BATCH).arg(BATCH_BYTES).arg(EVENT_FIELD);
        type Row = (String, Option<Vec<u8>>, Option<String>, Option<String>);
        let rows: Vec<Row> = link.script(&call).await?;
        let taken = rows.into_iter().map(|(id, data, enqueued_at, event)| Taken {
            id,
            data,
            enqueued_at: enqueued_at.unwrap_or_default(),
            event: event.and_then(|event| event.parse().ok()),
        });
        Ok(taken.collect())
    }

    /// Leaves what is taken and not begun to whoever serves the queue.
    pub async fn put_back(&self, link: &mut Link) -> Result<(), LinkError> {
        link.script(PUT_BACK.key(self.waiting()).key(self.taken())).await
    }

    pub async fn begin(&self, link: &mut Link, jobs: &[Begun], now: Timestamp) -> Result<(), LinkError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let mut call = BEGIN.key(self.taken());
        for registry in ["wip", "deferred", "scheduled", "canceled", "finished", "failed"] {
            call.key(self.registry(registry));
        }
        call.arg(EVENT_FIELD).arg(now.to_string()).arg(seconds(now)).arg(seconds(now + HELD)).arg(&self.worker);
        for Begun { job, event } in jobs {
            call.arg(job).arg(self.execution(*event)).arg(event.to_string());
        }
        link.script(&call).await
    }

    pub async fn end(&self, link: &mut Link, jobs: &[Ended], now: Timestamp) -> Result<(), LinkError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let mut call: ScriptInvocation<'_> = END.key(self.taken());
        for registry in ["wip", "deferred", "scheduled", "canceled", "finished", "failed"] {
            call.key(self.registry(registry));
        }
        call.arg(now.to_string()).arg(seconds(now)).arg(KEEP_FINISHED.as_secs()).arg(KEEP_FAILED.as_secs());
        call.arg(&self.worker);
        for Ended { job, event, ending, text } in jobs {
            // Also where the books of this RQ know no executions: it says that the job became an event.
            call.arg(job).arg(event.map(execution).unwrap_or_default()).arg(ending.status());
            let result = if *ending == Ending::Finished { pickled(text) } else { deflated(text) };
            call.arg(BASE64.encode(result)).arg(text).arg(dictionary(text)).arg(pickled(text));
        }
        link.script(&call).await
    }

    /// Shows jobs as deferred that began before `since`; says how many.
    pub async fn defer(&self, link: &mut Link, since: Timestamp, now: Timestamp) -> Result<usize, LinkError> {
        let mut call = DEFER.key(self.registry("wip"));
        call.key(self.registry("deferred"));
        // What other workers began on this queue has its end soon.
        call.arg(seconds(now + HELD / 2)).arg(seconds(since + HELD)).arg(BATCH);
        call.arg(dictionary("waits at netbox-webhookd, which shows why"));
        link.script(&call).await
    }

    /// Jobs that began and have not ended, from place `from` on: at most [`BATCH`], and with those of other workers.
    pub async fn begun(&self, link: &mut Link, from: usize) -> Result<Vec<Option<Begun>>, LinkError> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.registry("wip")).arg(from).arg(from + BATCH - 1);
        let members: Vec<String> = link.run(&command).await?;
        let jobs = members.into_iter().map(|member| match member.split_once(':') {
            Some((job, _)) => job.to_owned(),
            None => member,
        });
        marked(link, jobs.collect()).await
    }

    /// The same of those shown as deferred.
    pub async fn deferred(&self, link: &mut Link, from: usize) -> Result<Vec<Option<Begun>>, LinkError> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.registry("deferred")).arg(from).arg(from + BATCH - 1);
        let jobs: Vec<String> = link.run(&command).await?;
        marked(link, jobs).await
    }

    /// The event that a job became.
    pub async fn event_of(&self, link: &mut Link, job: String) -> Result<Option<PublicId>, LinkError> {
        Ok(marked(link, vec![job]).await?.pop().flatten().map(|begun| begun.event))
    }

    fn execution(&self, event: PublicId) -> String {
        if self.executions.get() { execution(event) } else { String::new() }
    }
}

async fn marked(link: &mut Link, jobs: Vec<String>) -> Result<Vec<Option<Begun>>, LinkError> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let mut marks = redis::pipe();
    for job in &jobs {
        marks.cmd("HGET").arg(format!("rq:job:{job}")).arg(EVENT_FIELD);
    }
    let marks: Vec<Option<String>> = link.pipe(&marks).await?;
    let read = |(job, mark): (String, Option<String>)| Some(Begun { job, event: mark?.parse().ok()? });
    Ok(jobs.into_iter().zip(marks).map(read).collect())
}

/// RQ names executions by UUIDs without hyphens.
fn execution(event: PublicId) -> String {
    event.0.simple().to_string()
}

fn seconds(at: Timestamp) -> f64 {
    at.as_micros() as f64 / 1e6
}

/// A text as Python pickles it: RQ reads results with `pickle`.
fn pickled(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let mut pickle = Vec::with_capacity(text.len() + 8);
    // PROTO 2, BINUNICODE, STOP.
    pickle.extend_from_slice(b"\x80\x02X");
    pickle.extend_from_slice(&length.to_le_bytes());
    pickle.extend_from_slice(text.as_bytes());
    pickle.push(b'.');
    pickle
}

/// A dictionary with our word on a job, as Python pickles it: RQ keeps a job's `meta` so, and NetBox shows that.
fn dictionary(text: &str) -> Vec<u8> {
    let mut pickle = b"\x80\x02}X\x0f\x00\x00\x00netbox-webhookd".to_vec();
    // BINUNICODE, then SETITEM, STOP.
    pickle.extend_from_slice(pickled(text).get(2..).unwrap_or_default().strip_suffix(b".").unwrap_or_default());
    pickle.extend_from_slice(b"s.");
    pickle
}

fn deflated(text: &str) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Neither call can fail: it writes into memory.
    let _ = encoder.write_all(text.as_bytes());
    encoder.finish().unwrap_or_default()
}
