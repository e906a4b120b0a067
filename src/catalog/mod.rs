//! The definitions at one moment, ready for matching: immutable, shared, replaced as a whole.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::event::{Event, EventType};
use crate::domain::ids::WebhookId;
use crate::domain::webhook::{Source, Webhook};
use crate::store::{Planned, admin::DefinitionSet};

mod fields;
mod from_file;
mod represent;
pub mod validate;

pub use from_file::{FromFile, from_file, load, reload};
pub use represent::{masked, to_json};

/// The matches of one model, by event type.
type ByType = [Vec<Planned>; EventType::ALL.len()];

/// A snapshot of the definitions, indexed by model and event type.
#[derive(Debug, Default)]
pub struct Catalog {
    set: Arc<DefinitionSet>,
    /// Place in the set.
    by_id: HashMap<WebhookId, usize>,
    /// By model label: what an event matches is looked up, so webhooks it does not concern cost it nothing.
    matches: HashMap<Box<str>, ByType>,
}

/// Where an event goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub deliveries: Vec<Planned>,
}

/// Why a webhook gets an event, or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    pub webhook: WebhookId,
    pub matched: bool,
    /// For people, when it did not match: "disabled", "model dcim.site is not among its models", …
    pub reason: Option<String>,
}

impl Catalog {
    pub fn new(set: Arc<DefinitionSet>) -> Self {
        let by_id = set.webhooks.iter().enumerate().map(|(place, w)| (w.id, place)).collect();
        let mut matches: HashMap<Box<str>, ByType> = HashMap::new();
        for webhook in set.webhooks.iter().filter(|w| withheld(w).is_none()) {
            for label in &webhook.spec.models {
                add(matches.entry(label.as_str().into()).or_default(), webhook);
            }
        }
        Self { set, by_id, matches }
    }

    pub fn revision(&self) -> u64 {
        self.set.revision
    }

    pub fn definitions(&self) -> &Arc<DefinitionSet> {
        &self.set
    }

    pub fn webhook(&self, id: WebhookId) -> Option<&Arc<Webhook>> {
        self.set.webhooks.get(*self.by_id.get(&id)?)
    }

    /// Pure and total: every event gets a plan, if an empty one.
    pub fn plan(&self, event: &Event) -> Plan {
        let by_type = self.matches.get(&*event.model.label);
        Plan { deliveries: by_type.map_or_else(Vec::new, |by_type| by_type[event.event_type as usize].clone()) }
    }

    /// The same decision with its reasons, for every webhook.
    pub fn explain(&self, event: &Event) -> Vec<Explanation> {
        let explained = self.set.webhooks.iter().map(|webhook| {
            let reasons = reasons_against(webhook, event);
            Explanation {
                webhook: webhook.id,
                matched: reasons.is_empty(),
                reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
            }
        });
        explained.collect()
    }
}

fn add(by_type: &mut ByType, webhook: &Webhook) {
    let planned = Planned { webhook: webhook.id, endpoint: webhook.endpoint };
    for event_type in EventType::ALL.into_iter().filter(|t| webhook.spec.wants(*t)) {
        let matched = &mut by_type[event_type as usize];
        // A model named twice is still one match.
        if matched.last() != Some(&planned) {
            matched.push(planned);
        }
    }
}

/// Why a webhook gets no event at all.
fn withheld(webhook: &Webhook) -> Option<&'static str> {
    match webhook.source {
        _ if !webhook.spec.enabled => Some("disabled"),
        _ if webhook.orphaned => Some("its source no longer names it"),
        // NetBox matches these itself; matching them again would send everything twice.
        Source::Netbox(_) => Some("NetBox's own: it gets the jobs of NetBox's queue only"),
        Source::Api | Source::File => None,
    }
}

fn reasons_against(webhook: &Webhook, event: &Event) -> Vec<String> {
    let mut reasons: Vec<String> = withheld(webhook).map(str::to_owned).into_iter().collect();
    let label = &*event.model.label;
    if !webhook.spec.models.iter().any(|m| m == label) {
        reasons.push(format!("model {label} is not among its models"));
    }
    if !webhook.spec.wants(event.event_type) {
        reasons.push(format!("event {} is not among its event types", event.event_type.as_str()));
    }
    reasons
}

#[cfg(test)]
mod tests;
