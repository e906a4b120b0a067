//! From due heads to requests: load, start, attempt.

use std::rc::Rc;

use futures_util::FutureExt;

use super::places::{Flight, Places};
use super::{Core, State};
use crate::clock;
use crate::dispatch::attempt;
use crate::dispatch::queue::{Asked, Finished, Input};
use crate::domain::attempt::{ErrorKind, Outcome};
use crate::domain::ids::DeliveryId;
use crate::domain::retry::expired;
use crate::domain::time::Timestamp;
use crate::store::{Granted, Ready, Start, StoreError};
use crate::telemetry::metrics;

impl Core {
    pub(super) fn load(self: &Rc<Self>, now: Timestamp, limit: usize, held: Vec<DeliveryId>) {
        let mut answer = self.home.common.store.ready(self.id, now, limit, held);
        if let Some(ready) = (&mut answer).now_or_never() {
            return self.loaded(ready);
        }
        let core = self.clone();
        actix_rt::spawn(async move {
            let ready = answer.await;
            core.run(|| core.loaded(ready));
        });
    }

    fn loaded(&self, ready: Result<Ready, StoreError>) {
        let now = clock::now();
        let input = match ready {
            Ok(ready) => Input::Loaded(ready),
            Err(error) => {
                self.store_error(&error);
                Input::StoreFailed(Asked::Load)
            }
        };
        self.state.borrow_mut().queue.handle(input, now);
    }

    pub(super) fn store_error(&self, error: &StoreError) {
        metrics().store_errors.inc();
        tracing::warn!(endpoint.id = %self.id, %error, "the store did not answer, asking again");
    }

    pub(super) fn start(self: &Rc<Self>, ids: Vec<DeliveryId>, places: Places) {
        let mut answer = self.home.common.store.start(self.id, ids);
        if let Some(started) = (&mut answer).now_or_never() {
            return self.started(started, places);
        }
        let core = self.clone();
        actix_rt::spawn(async move {
            let started = answer.await;
            core.run(|| core.started(started, places));
        });
    }

    fn started(self: &Rc<Self>, started: Result<Vec<Start>, StoreError>, mut places: Places) {
        let now = clock::now();
        let started = match started {
            Ok(started) => started,
            Err(error) => {
                self.store_error(&error);
                let mut state = self.state.borrow_mut();
                state.queue.handle(Input::StoreFailed(Asked::Start), now);
                return self.unprobe(&mut state, now);
            }
        };
        let mut gone = Vec::new();
        let mut granted = Vec::new();
        for start in started {
            match start {
                Start::Granted(one) => {
                    let flight = Flight::new(self.seat.clone(), one.id, places.split_one());
                    granted.push((Rc::new(*one), flight));
                }
                Start::Gone(id) => gone.push(id),
            }
        }
        drop(places);
        // From here on what was granted goes back by itself.
        crate::crash::fault("started");
        {
            let mut state = self.state.borrow_mut();
            if state.over {
                // What was granted goes back with its flights.
                return;
            }
            if state.probing.is_some_and(|id| gone.contains(&id)) {
                self.unprobe(&mut state, now);
            }
            state.queue.handle(Input::Started { gone }, now);
        }
        granted.into_iter().for_each(|(one, flight)| self.attempt(one, flight));
    }

    /// The probe was not made after all: another may be.
    fn unprobe(&self, state: &mut State, now: Timestamp) {
        if state.probing.take().is_some() {
            state.live.breaker = state.live.breaker.restored(now);
        }
    }

    fn attempt(self: &Rc<Self>, granted: Rc<Granted>, flight: Flight) {
        let catalog = self.home.common.catalog();
        let now = clock::now();
        let Some(defined) = catalog.defined(granted.webhook).cloned() else {
            // Deleted this moment; the store cancels it once it is given back.
            drop(flight);
            let mut state = self.state.borrow_mut();
            self.unprobe(&mut state, now);
            let finished = Finished { id: granted.id, successor: None, retry_at: None };
            return state.queue.handle(Input::Finished(finished), now);
        };
        let policy = self.state.borrow().policy.clone();
        if granted.first_attempt_at.is_some_and(|first| expired(&policy, now.since(first))) {
            let outcome = Outcome::Refused { kind: ErrorKind::Expired };
            let detail = "it was not delivered within max_age of its first attempt".to_owned();
            let (webhook, url) = (&defined.webhook, defined.webhook.target.endpoint_key().clone());
            let attempt = attempt::not_sent(outcome, detail, now, webhook.revision, url);
            return self.ended(&granted, attempt, flight);
        }
        self.tell_started(&granted);
        metrics().in_flight.inc();
        self.state.borrow_mut().open.push_back((granted.id, now));
        let (core, origin) = (self.clone(), self.seat.origin.clone());
        actix_rt::spawn(async move {
            let attempt = attempt::make(core.thread.clone(), defined, Some(origin), granted.clone(), policy).await;
            metrics().in_flight.dec();
            core.run(|| core.ended(&granted, attempt, flight));
        });
    }
}
