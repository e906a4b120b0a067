//! Webhook jobs taken over from NetBox's own queue.
//!
//! NetBox puts a job on a queue for each of its rules that fires; `QUEUE_MAPPINGS` names a queue that only we serve. A job
//! is moved aside, made an event, committed, and entered in RQ's books as begun; when its delivery has ended, as ended.
//! Killed anywhere between, nothing is lost: what is aside is taken again and known by its id, and the books say which
//! event a begun job became.

mod definitions;
pub mod job;
mod orders;
mod outcomes;
mod registries;
mod taker;
mod worker;

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::Arbiter;
use futures_util::FutureExt;
use tokio::sync::{Mutex, Notify, oneshot, watch};

use self::definitions::Definitions;
use self::outcomes::Outcomes;
use self::registries::Books;
use self::worker::Worker;
use super::board::Board;
use super::redis::Link;
use crate::config::{Config, ConfigWatch};
use crate::dispatch::Dispatcher;
use crate::store::Store;

/// Its name on the status page.
const SOURCE: &str = "netbox_queue";
/// And that of the NetBox that is asked for definitions.
const NETBOX: &str = "netbox";
/// How long the last outcomes may take to be written at the end.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Waits after an error, doubling.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(15);

/// What it is given.
#[derive(Clone)]
pub struct Deps {
    pub store: Arc<dyn Store>,
    pub dispatcher: Dispatcher,
    pub config: ConfigWatch,
    pub board: Board,
}

/// It at work, on a thread of its own: unpacking jobs must not hold up requests.
pub struct NetboxQueue {
    arbiter: Arbiter,
    stop: watch::Sender<Stage>,
    stopped: Vec<oneshot::Receiver<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Taking,
    /// No more jobs; what ends is still written.
    Draining,
    Closing,
}

/// What its tasks share; they run on one thread.
struct Shared {
    deps: Deps,
    books: Books,
    worker: Worker,
    /// Held from before jobs are accepted until they are entered as begun: what ends sooner is entered after that.
    link: Mutex<Link>,
    definitions: Mutex<Definitions>,
    outcomes: RefCell<Outcomes>,
    ended: Notify,
    /// What enters jobs now.
    entering: RefCell<Option<tokio::task::JoinHandle<()>>>,
    /// The books may say of jobs that they run although they have ended.
    unsure: Cell<bool>,
}

impl Shared {
    fn config(&self) -> Arc<Config> {
        self.deps.config.borrow().clone()
    }

    /// Whether anything is taken at all.
    fn enabled(&self) -> bool {
        self.deps.config.borrow().webhooks.enabled
    }

    /// The books are compared with the store as soon as may be.
    fn doubt(&self) {
        self.unsure.set(true);
        self.ended.notify_one();
    }

    /// A problem is logged when it is news.
    fn hindered(&self, problem: &dyn std::fmt::Display) {
        let problem = problem.to_string();
        if self.deps.board.hindered(SOURCE, &problem) {
            tracing::warn!(problem, "no jobs are taken from NetBox's queue, they wait there");
        }
    }
}

impl NetboxQueue {
    pub fn start(deps: Deps) -> Self {
        let arbiter = Arbiter::new();
        let (stop, stage) = watch::channel(Stage::Taking);
        let (done, stopped): (Vec<_>, Vec<_>) = (0..2).map(|_| oneshot::channel()).unzip();
        arbiter.spawn_fn(move || run(deps, stage, done));
        Self { arbiter, stop, stopped }
    }

    /// Takes no more jobs; resolves when what was taken is accepted or left to the next start.
    pub async fn drain(&mut self) {
        self.stop.send_replace(Stage::Draining);
        if !self.stopped.is_empty() {
            let _ = tokio::time::timeout(LAST_WORDS, self.stopped.remove(0)).await;
        }
    }

    /// Writes what came of the last jobs, and says good-bye.
    pub async fn close(mut self) {
        self.stop.send_replace(Stage::Closing);
        for stopped in self.stopped.drain(..) {
            let _ = tokio::time::timeout(LAST_WORDS, stopped).await;
        }
        self.arbiter.stop();
    }
}

fn run(deps: Deps, stage: watch::Receiver<Stage>, done: Vec<oneshot::Sender<()>>) {
    let config = deps.config.borrow().clone();
    let queue = &config.intake.netbox_queue;
    let worker = Worker::new(&queue.queue);
    let definitions = Definitions::new(&config.netbox, deps.store.clone(), deps.dispatcher.clone());
    let shared = Rc::new(Shared {
        books: Books::new(&queue.queue, worker.name()),
        worker,
        link: Mutex::new(Link::new(queue.redis.clone())),
        definitions: Mutex::new(definitions),
        outcomes: RefCell::new(Outcomes::new(deps.store.changes().follow())),
        ended: Notify::new(),
        entering: RefCell::default(),
        unsure: Cell::new(true),
        deps,
    });
    let mut done = done.into_iter();
    let mut finish = move |task: std::pin::Pin<Box<dyn Future<Output = ()>>>| {
        let done = done.next();
        actix_rt::spawn(async move {
            task.await;
            if let Some(done) = done {
                // Nobody waits when the process ends in a hurry.
                let _ = done.send(());
            }
        });
    };
    let (taking, writing) = (shared.clone(), shared.clone());
    let (until, to_the_end) = (stage.clone(), stage.clone());
    finish(Box::pin(supervised(shared.clone(), move || taker::run(taking.clone(), until.clone()))));
    finish(Box::pin(supervised(shared.clone(), move || outcomes::run(writing.clone(), to_the_end.clone()))));
    let following = shared.clone();
    actix_rt::spawn(supervised(shared.clone(), move || outcomes::follow(following.clone())));
    actix_rt::spawn(worker::run(shared.clone(), stage.clone()));
    actix_rt::spawn(orders::run(shared.clone(), stage.clone()));
    actix_rt::spawn(refresh(shared, stage));
}

/// A fault of ours ends no task for good.
async fn supervised<F: Future<Output = ()>>(shared: Rc<Shared>, task: impl Fn() -> F) {
    while AssertUnwindSafe(task()).catch_unwind().await.is_err() {
        tracing::error!("a fault of ours ended a task of the queue, it is started again");
        shared.hindered(&"a fault of ours, see the log");
        shared.doubt();
        tokio::time::sleep(RETRY_MAX).await;
    }
}

/// Keeps definitions like NetBox's.
async fn refresh(shared: Rc<Shared>, mut stage: watch::Receiver<Stage>) {
    loop {
        let refreshed = shared.definitions.lock().await.refresh().await;
        let wait = match refreshed {
            Ok(about) => {
                shared.deps.board.took(NETBOX, 0);
                shared.books.as_rq_1(about.rq_1);
                definitions::REFRESH
            }
            Err(error) => {
                if shared.deps.board.hindered(NETBOX, &error.to_string()) {
                    tracing::warn!(%error, "NetBox's definitions could not be read, the last ones are used");
                }
                RETRY_MAX
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stage.wait_for(|stage| *stage > Stage::Taking) => return,
        }
    }
}

#[cfg(test)]
mod tests;
