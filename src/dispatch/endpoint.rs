//! The actor of one endpoint: a thin shell around [`Core`], which its attempts share.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, MessageResult, ResponseFuture};

use super::arbiters::Home;
use super::core::Core;
use super::messages::{Crashed, Drain, Inspect, Retire, Wake};
use crate::store::StoredEndpoint;

/// Requests that may wait for one endpoint. Wakes need no place: they coalesce beside the address.
const MAILBOX: usize = 16;

/// Wakes of one endpoint: the router counts them, and sends a message only when none is on its way.
#[derive(Debug, Default)]
pub struct Wakes {
    pub count: AtomicU64,
    pub on_its_way: AtomicBool,
}

pub struct EndpointActor {
    home: Home,
    stored: Arc<StoredEndpoint>,
    wakes: Arc<Wakes>,
    core: Option<Rc<Core>>,
}

impl EndpointActor {
    pub fn new(home: Home, stored: Arc<StoredEndpoint>, wakes: Arc<Wakes>) -> Self {
        Self { home, stored, wakes, core: None }
    }

    fn core(&self) -> Option<&Rc<Core>> {
        self.core.as_ref()
    }
}

impl Actor for EndpointActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        let me = ctx.address();
        // Without a place in the mailbox the next wake finds it over.
        let crashed = Box::new(move || drop(me.try_send(Crashed)));
        let core = Core::new(self.home.clone(), self.stored.clone(), crashed);
        core.woken(self.wakes.count.load(Ordering::Acquire));
        self.core = Some(core);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if let Some(core) = self.core.take() {
            core.end();
        }
    }
}

impl Handler<Wake> for EndpointActor {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        // Cleared before the look at the store: a wake that comes meanwhile causes another look.
        self.wakes.on_its_way.store(false, Ordering::Release);
        let count = self.wakes.count.load(Ordering::Acquire);
        let Some(core) = self.core() else { return };
        core.woken(count);
        if core.is_over() {
            // It broke, and the message that says so found no place in the mailbox.
            ctx.stop();
        }
    }
}

impl Handler<Retire> for EndpointActor {
    type Result = ();

    fn handle(&mut self, _: Retire, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Handler<Crashed> for EndpointActor {
    type Result = ();

    fn handle(&mut self, _: Crashed, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Handler<Drain> for EndpointActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        let drained = self.core().map(Core::drain);
        Box::pin(async move {
            if let Some(drained) = drained {
                // An endpoint that ended has nothing in flight either.
                let _ = drained.await;
            }
        })
    }
}

impl Handler<Inspect> for EndpointActor {
    type Result = MessageResult<Inspect>;

    fn handle(&mut self, _: Inspect, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.core().map(|core| Arc::new(core.inspect())))
    }
}
