//! What a filter says of deliveries and events, as conditions on `delivery d` and `event e`.

use super::filter::{Bound, Where};
use super::ops::{TEST, micros};
use super::search::Text;
use crate::domain::delivery::DeliveryState;
use crate::domain::ids::{DeliveryId, MAX_FANOUT};
use crate::domain::time::Timestamp;
use crate::store::admin::DefinitionSet;
use crate::store::{Between, Filter};

/// The conditions of the partial indexes, word for word.
pub const UNFINISHED: &str = "d.state < 2";
pub const STOPPED: &str = "d.state IN (3, 5)";

/// When a delivery was made: a resend later than its event was received.
pub const CREATED: &str = "coalesce(d.created, e.received)";

/// A filter with what only memory knows.
pub struct Wanted<'a> {
    pub filter: &'a Filter,
    /// These are `pending` or `retrying` on disk.
    pub in_flight: &'a [DeliveryId],
    pub text: Option<Text>,
}

impl<'a> Wanted<'a> {
    pub fn new(filter: &'a Filter, in_flight: &'a [DeliveryId], set: &DefinitionSet) -> Self {
        let text = filter.q.as_deref().filter(|q| !q.is_empty()).map(|q| Text::new(q, set));
        Self { filter, in_flight, text }
    }

    /// What is said of the event alone, text aside.
    pub fn of_event(&self) -> Where {
        let text = |values: &[String]| values.iter().cloned().map(Bound::Text).collect::<Vec<_>>();
        let mut all = Where::default();
        all.any_of("e.label", text(&self.filter.models));
        all.any_of("e.object_id", text(&self.filter.object_ids));
        all.any_of("e.type", self.filter.event_types.iter().map(|t| Bound::Int(t.code())));
        all.any_of("e.request_id", text(&self.filter.request_ids));
        all
    }

    /// Of the delivery alone, states and text aside. `endpoint`: how the column is written.
    pub fn of_delivery(&self, endpoint: &str) -> Where {
        let filter = self.filter;
        let mut all = Where::default();
        all.any_of("d.webhook", filter.webhooks.iter().map(|id| Bound::Int(id.0.into())));
        all.any_of(endpoint, filter.endpoints.iter().map(|id| Bound::Int(id.0.into())));
        all.any_of("d.error", filter.errors.iter().map(|kind| Bound::Int(*kind as i64)));
        all.any_of("d.code", filter.status_codes.iter().map(|code| Bound::Int((*code).into())));
        if let Some(test) = filter.test {
            all.with(format!("coalesce(d.flags, 0) & {TEST} {} 0", if test { "<>" } else { "=" }), []);
        }
        between(&mut all, "d.attempts", filter.attempts, |n| n.into());
        between(&mut all, "d.latency", filter.latency, micros);
        between(&mut all, "d.due", filter.next_attempt, |at| at.0);
        if !filter.events.is_empty() {
            let ranges = vec!["d.id BETWEEN ? AND ?"; filter.events.len()].join(" OR ");
            let ends = filter.events.iter().map(|seq| DeliveryId::new(*seq, 0).0);
            all.with(format!("({ranges})"), ends.flat_map(|first| [first, first + MAX_FANOUT as i64]).map(Bound::Int));
        }
        all
    }

    /// Of both together.
    pub fn of_both(&self) -> Where {
        let created = self.created(CREATED);
        self.text.iter().fold(created, |all, text| all.and(&text.anywhere()))
    }

    /// `column`: what the times are compared with.
    pub fn created(&self, column: &str) -> Where {
        let mut all = Where::default();
        between(&mut all, column, self.filter.created, |at: Timestamp| at.0);
        all
    }

    /// For lists of events: all that is said of the event.
    pub fn of_listed_event(&self) -> Where {
        let mut all = self.of_event().and(&self.created("e.received"));
        if let Some(matched) = self.filter.matched {
            // Of one that no webhook wanted only the mark is kept.
            all = all.and(&Where::of(if matched { "e.body IS NOT NULL" } else { "e.body IS NULL" }));
        }
        self.text.iter().fold(all, |all, text| all.and(&text.in_event()))
    }

    /// Any of the wanted states.
    pub fn of_state(&self) -> Where {
        match self.filter.wanted_states() {
            None => Where::default(),
            Some(_) => Where::either(self.in_states()),
        }
    }

    /// One condition for each index that holds some of the wanted states; if any are, one that holds always.
    pub fn in_states(&self) -> Vec<Where> {
        use DeliveryState as S;
        let Some(states) = self.filter.wanted_states() else { return vec![Where::default()] };
        let wanted = |state: &S| states.contains(state);
        let among = |group: &[S]| group.iter().filter(|state| wanted(state)).map(|s| s.code()).collect::<Vec<_>>();
        let mut parts = Vec::new();
        if [S::Pending, S::Retrying, S::InFlight].iter().all(wanted) {
            parts.push(Where::of(UNFINISHED));
        } else {
            let ids = Bound::Text(serde_json::to_string(self.in_flight).unwrap_or_default());
            let waiting = among(&[S::Pending, S::Retrying]);
            if !waiting.is_empty() {
                let mut part = Where::of(UNFINISHED).and(&one_of(&waiting));
                if !self.in_flight.is_empty() {
                    part.with("d.id NOT IN (SELECT value FROM json_each(?))", [ids.clone()]);
                }
                parts.push(part);
            }
            if wanted(&S::InFlight) {
                let mut part = Where::of(UNFINISHED);
                part.with("d.id IN (SELECT value FROM json_each(?))", [ids]);
                parts.push(part);
            }
        }
        let stopped = among(&[S::Failed, S::Canceled]);
        if !stopped.is_empty() {
            parts.push(Where::of(STOPPED).and(&one_of(&stopped)));
        }
        let done = among(&[S::Delivered, S::Superseded]);
        if !done.is_empty() {
            parts.push(one_of(&done));
        }
        parts
    }
}

fn one_of(codes: &[i64]) -> Where {
    let codes: Vec<String> = codes.iter().map(i64::to_string).collect();
    Where::of(format!("d.state IN ({})", codes.join(", ")))
}

fn between<T: Copy>(all: &mut Where, column: &str, range: Between<T>, value: impl Fn(T) -> i64) {
    for (operator, edge) in [(">=", range.gte), ("<", range.lt)] {
        if let Some(edge) = edge {
            all.with(format!("{column} {operator} ?"), [Bound::Int(value(edge))]);
        }
    }
}
