//! What is counted and told of an endpoint between its turns.

use std::rc::Rc;
use std::time::Duration;

use super::{Core, State, ailing};
use crate::clock;
use crate::domain::change::StateChange;
use crate::domain::time::Timestamp;
use crate::telemetry::{Throttle, metrics};

/// How often the time that due heads wait is added to its counter, should nothing else happen.
const SETTLE_EVERY: Duration = Duration::from_secs(10);

impl Core {
    /// After each turn: what holds now holds until the next one.
    pub(super) fn watch(self: &Rc<Self>) {
        let now = clock::now();
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        if state.over {
            return;
        }
        let waiting = state.blocked_by.filter(|_| state.queue.due() > 0);
        let throttle = waiting.and_then(|waiting| Throttle::named(waiting.reason));
        state.settle(throttle, now);
        if throttle.is_some() {
            self.arm(state, Some(now + SETTLE_EVERY));
        }
        // Only what ails it: that it sends and falls idle in turns is no news.
        let ailing = ailing(&state.live, now);
        if ailing != state.told {
            state.told = ailing;
            self.home.common.changes.tell(|| StateChange::Endpoint { id: self.id, state: state.activity(now) });
        }
    }
}

impl State {
    /// Adds the time since the last turn to the counter of what due heads waited for.
    pub(super) fn settle(&mut self, throttle: Option<Throttle>, now: Timestamp) {
        if let Some((reason, since)) = self.throttled {
            metrics().throttled(reason, now.since(since));
        }
        self.throttled = throttle.map(|reason| (reason, now));
    }
}
