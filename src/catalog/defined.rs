//! A webhook with its conditions and texts read, and an event as they look at it.

use std::cell::OnceCell;
use std::sync::Arc;

use serde_json::Value;

use crate::domain::condition::{Conditions, Subject, Verdict};
use crate::domain::event::Event;
use crate::domain::payload_url::Target;
use crate::domain::webhook::{Source, Webhook};
use crate::render::{self, DEFAULT_VERSION, Lazy, Prepared};

/// A webhook, read once per revision.
#[derive(Debug)]
pub struct Defined {
    pub webhook: Arc<Webhook>,
    pub prepared: Prepared,
    gate: Gate,
}

/// Why an event gets no delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its conditions are none.
    Unreadable(String),
    /// They do not hold, for this reason.
    Unmet(String),
}

/// What its conditions let through.
#[derive(Debug)]
enum Gate {
    Open,
    Conditions(Conditions),
    /// Conditions that cannot be read, as an older release or NetBox may hold them, let nothing through; says why.
    Broken(String),
}

/// An event while webhooks are looked up for it; what they look at is read when the first of them does.
pub(super) struct Seen<'a> {
    event: &'a Event,
    pub(super) lazy: Lazy<'a>,
    parsed: OnceCell<(Value, Value)>,
}

impl<'a> Seen<'a> {
    pub(super) fn new(event: &'a Event) -> Self {
        let source = render::Source { event, folded_from: None, version: DEFAULT_VERSION };
        Self { event, lazy: Lazy::new(source), parsed: OnceCell::new() }
    }

    fn subject(&self) -> Subject<'_> {
        let parse = |text: Option<&str>| text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
        let (data, snapshots) =
            self.parsed.get_or_init(|| (parse(Some(self.event.data())), parse(self.event.member("snapshots"))));
        Subject::new(data, Some(snapshots))
    }
}

impl Defined {
    pub(super) fn new(webhook: Arc<Webhook>) -> Self {
        let gate = match &webhook.spec.conditions {
            None => Gate::Open,
            Some(conditions) => match Conditions::parse(conditions) {
                Ok(conditions) => Gate::Conditions(conditions),
                Err(error) => Gate::Broken(error.to_string()),
            },
        };
        Self { prepared: Prepared::new(&webhook.spec), webhook, gate }
    }

    /// Whether it looks at an event beyond its model and type.
    pub(super) fn looks(&self) -> bool {
        matches!(self.gate, Gate::Conditions(_)) || matches!(self.webhook.target, Target::Template(_))
    }

    /// Why it gets no event at all by matching.
    pub(super) fn withheld(&self) -> Option<String> {
        let reason = match self.webhook.source {
            _ if !self.webhook.spec.enabled => "disabled",
            _ if self.webhook.orphaned => "its source no longer names it",
            // NetBox matches these itself; matching them again would send everything twice.
            Source::Netbox(_) => "NetBox's own: it gets the jobs of NetBox's queue only",
            Source::Api | Source::File => {
                let Gate::Broken(reason) = &self.gate else { return None };
                return Some(format!("its conditions cannot be read: {reason}"));
            }
        };
        Some(reason.to_owned())
    }

    /// Whether its conditions hold.
    pub(super) fn accepts(&self, seen: &Seen<'_>) -> bool {
        match &self.gate {
            Gate::Open => true,
            Gate::Conditions(conditions) => conditions.matches(&seen.subject()),
            Gate::Broken(_) => false,
        }
    }

    /// Why an event that was sent to it alone gets no delivery.
    pub fn refusal(&self, event: &Event) -> Refusal {
        match &self.gate {
            Gate::Broken(reason) => Refusal::Unreadable(reason.clone()),
            _ => Refusal::Unmet(self.objections(&Seen::new(event)).join("; ")),
        }
    }

    /// Why its conditions do not hold.
    pub(super) fn objections(&self, seen: &Seen<'_>) -> Vec<String> {
        let Gate::Conditions(conditions) = &self.gate else { return Vec::new() };
        match conditions.verdict(&seen.subject()) {
            Verdict::Match => Vec::new(),
            Verdict::NoMatch(unmet) => unmet.iter().map(|unmet| format!("condition {unmet}")).collect(),
            Verdict::Invalid(reason) => vec![format!("conditions cannot be evaluated: {reason}")],
        }
    }
}
