//! The ways to deliveries, and which has the fewest candidates as far as kept counters tell.

use std::collections::BTreeSet;

use super::near::{self, At};
use crate::domain::attempt::ErrorKind;
use crate::domain::delivery::DeliveryState;
use crate::domain::ids::WebhookId;
use crate::store::embedded::conditions::{CREATED, Wanted};
use crate::store::embedded::filter::Where;
use crate::store::embedded::shared::Shared;

/// Streams of one kind that are read side by side.
pub const STREAMS_MAX: usize = 1_000;
/// Ids that are read and sorted before the first row is looked at.
const IDS_MAX: u64 = 50_000;

struct Way {
    candidates: u64,
    through: Through,
}

pub enum Through {
    /// Everything, in order.
    All,
    /// By the indexes of states: what is unfinished, what is stopped.
    States { unfinished: bool, stopped: bool },
    /// What memory knows to be in flight.
    InFlight,
    /// Everything that is retrying.
    Retrying,
    /// What is unfinished where it lies.
    OpenThere,
    /// What is stopped, by webhook.
    StoppedOfWebhooks,
    /// Everything where it lies.
    There,
    /// What went wrong like this.
    Errors(Vec<ErrorKind>),
}

/// What is asked of memory for a page.
pub struct Ways<'a> {
    shared: &'a Shared,
    pub wanted: &'a Wanted<'a>,
    /// All conditions, text aside.
    pub conditions: Where,
    /// Whether they speak of the event.
    pub of_event: bool,
    /// Where all that is wanted lies, if the filter says so.
    pub at: Option<At>,
    /// Where all lies whose webhook or payload URL has the text that is looked for.
    pub named: Option<At>,
    /// The way with the fewest candidates.
    pub through: Through,
}

impl<'a> Ways<'a> {
    pub fn new(shared: &'a Shared, wanted: &'a Wanted<'a>) -> Self {
        let of_event = wanted.of_event().and(&wanted.created(CREATED));
        let conditions = wanted.of_state().and(&wanted.of_delivery("d.endpoint")).and(&of_event);
        let (at, named, through) = (At::wanted(shared, wanted), At::named(shared, wanted), Through::All);
        let mut ways = Self { shared, wanted, conditions, of_event: !of_event.is_empty(), at, named, through };
        ways.through = ways.best();
        match ways.through {
            Through::There => ways.at.iter_mut().for_each(|at| at.look(shared)),
            Through::All => ways.named.iter_mut().for_each(|at| at.look(shared)),
            _ => {}
        }
        ways
    }

    /// Conditions with the text looked for everywhere, and whether they speak of the event.
    pub fn whole(&self) -> (Where, bool) {
        match &self.wanted.text {
            None => (self.conditions.clone(), self.of_event),
            Some(text) => (self.conditions.clone().and(&text.anywhere()), true),
        }
    }

    fn best(&self) -> Through {
        let mut ways = self.by_state();
        ways.extend(self.by_endpoint());
        ways.extend(self.by_error());
        let all = near::ended(self.shared, |_, _, _| true) + near::open(self.shared).0;
        let best = ways.into_iter().min_by_key(|way| way.candidates).filter(|way| way.candidates < all);
        best.map_or(Through::All, |way| way.through)
    }

    fn by_state(&self) -> Vec<Way> {
        use DeliveryState as S;
        let Some(states) = self.wanted.filter.wanted_states() else { return Vec::new() };
        if states.iter().any(|s| matches!(s, S::Delivered | S::Superseded)) {
            return Vec::new();
        }
        let (open, retrying) = near::open(self.shared);
        let (unfinished, stopped) = (states.iter().any(|s| s.unfinished()), states.iter().any(|s| !s.unfinished()));
        let mut candidates = if unfinished { open } else { 0 };
        if stopped {
            candidates += near::ended(self.shared, |_, _, state| matches!(state, S::Failed | S::Canceled));
        }
        let mut ways = vec![Way { candidates, through: Through::States { unfinished, stopped } }];
        if !stopped && states.iter().all(|s| *s == S::InFlight) {
            ways.push(Way { candidates: self.wanted.in_flight.len() as u64, through: Through::InFlight });
        }
        if !stopped && states.iter().all(|s| *s == S::Retrying) && retrying <= IDS_MAX {
            ways.push(Way { candidates: retrying, through: Through::Retrying });
        }
        if !stopped && let Some(At { endpoints, elsewhere: false, .. }) = &self.at {
            let candidates = endpoints.iter().map(|endpoint| near::open_at(self.shared, *endpoint)).sum();
            ways.extend((candidates <= IDS_MAX).then_some(Way { candidates, through: Through::OpenThere }));
        }
        let webhooks = &self.wanted.filter.webhooks;
        if !unfinished && !webhooks.is_empty() && webhooks.len() <= STREAMS_MAX {
            let of = |w: WebhookId, s| webhooks.contains(&w) && matches!(s, S::Failed | S::Canceled);
            let candidates = near::ended(self.shared, |_, webhook, state| of(webhook, state));
            ways.push(Way { candidates, through: Through::StoppedOfWebhooks });
        }
        ways
    }

    fn by_endpoint(&self) -> Option<Way> {
        let at = self.at.as_ref().filter(|at| at.endpoints.len() <= STREAMS_MAX)?;
        let mut candidates: u64 = at.endpoints.iter().map(|endpoint| near::open_at(self.shared, *endpoint)).sum();
        candidates += near::ended(self.shared, |endpoint, _, _| at.endpoints.binary_search(&endpoint).is_ok());
        if at.elsewhere {
            candidates += near::open(self.shared).0;
        }
        Some(Way { candidates, through: Through::There })
    }

    fn by_error(&self) -> Option<Way> {
        use DeliveryState as S;
        let filter = self.wanted.filter;
        let wrong = |code: &u16| !(200..300).contains(code);
        let kinds = if !filter.errors.is_empty() {
            let kinds: BTreeSet<_> = filter.errors.iter().map(|kind| *kind as i64).collect();
            ErrorKind::ALL.into_iter().filter(|kind| kinds.contains(&(*kind as i64))).collect()
        } else if !filter.status_codes.is_empty() && filter.status_codes.iter().all(wrong) {
            vec![ErrorKind::HttpStatus]
        } else {
            return None;
        };
        let ended = near::ended(self.shared, |_, _, state| matches!(state, S::Failed | S::Canceled | S::Superseded));
        Some(Way { candidates: ended + near::open(self.shared).1, through: Through::Errors(kinds) })
    }
}
