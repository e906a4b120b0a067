//! The definitions at one moment, ready for matching: immutable, shared, replaced as a whole.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::event::{Event, EventType};
use crate::domain::ids::{EndpointId, WebhookId};
use crate::domain::payload_url::{Origin, Target, is_template};
use crate::domain::webhook::{Source, Webhook};
use crate::store::{NewEndpoint, Planned, Route, admin::DefinitionSet};

mod defined;
mod fields;
mod from_file;
mod represent;
pub mod validate;

use defined::Seen;
pub use defined::{Defined, Refusal};
pub use from_file::{FromFile, from_file, load, reload};
pub use represent::{masked, to_json};

/// The matches of one model and event type.
#[derive(Debug, Default)]
struct Matches {
    planned: Vec<Planned>,
    /// One of them looks at the event itself: at its conditions, or to render its payload URL.
    looks: bool,
}

type ByType = [Matches; EventType::ALL.len()];

/// A snapshot of the definitions, indexed by model and event type.
#[derive(Debug, Default)]
pub struct Catalog {
    set: Arc<DefinitionSet>,
    /// In the order of the set.
    defined: Vec<Arc<Defined>>,
    /// Place in the set.
    by_id: HashMap<WebhookId, usize>,
    /// The same by NetBox's id, of NetBox's own.
    by_netbox_id: HashMap<u64, usize>,
    /// By model label: what an event matches is looked up, so webhooks it does not concern cost it nothing.
    matches: HashMap<Box<str>, ByType>,
    /// Endpoints of templates, by template and origin.
    rendered: HashMap<(Arc<str>, Origin), EndpointId>,
}

/// Where an event goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub deliveries: Vec<Planned>,
    /// Endpoints of templates that are not there yet; the plan names the template's own in their place.
    pub missing: Vec<NewEndpoint>,
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
        Self::default().next(set)
    }

    /// The catalog of a changed set: what did not change is taken over as it was read.
    pub fn next(&self, set: Arc<DefinitionSet>) -> Self {
        let known = |webhook: &Arc<Webhook>| {
            let known = self.defined.get(*self.by_id.get(&webhook.id)?)?;
            Arc::ptr_eq(&known.webhook, webhook).then(|| known.clone())
        };
        let define = |webhook| known(webhook).unwrap_or_else(|| Arc::new(Defined::new(webhook.clone())));
        let defined: Vec<_> = set.webhooks.iter().map(define).collect();
        let by_id = set.webhooks.iter().enumerate().map(|(place, w)| (w.id, place)).collect();
        let netboxs = set.webhooks.iter().enumerate().filter_map(|(place, w)| match w.source {
            Source::Netbox(id) => Some((id, place)),
            Source::Api | Source::File => None,
        });
        let by_netbox_id = netboxs.collect();
        let mut matches: HashMap<Box<str>, ByType> = HashMap::new();
        for defined in defined.iter().filter(|d| d.withheld().is_none()) {
            for label in &defined.webhook.spec.models {
                add(matches.entry(label.as_str().into()).or_default(), defined);
            }
        }
        let templated = set.endpoints.iter().map(|e| &e.endpoint).filter(|e| is_template(&e.url));
        let rendered = templated.map(|e| ((e.url.clone(), e.origin.clone()), e.id)).collect();
        Self { set, defined, by_id, by_netbox_id, matches, rendered }
    }

    pub fn revision(&self) -> u64 {
        self.set.revision
    }

    pub fn definitions(&self) -> &Arc<DefinitionSet> {
        &self.set
    }

    pub fn defined(&self, id: WebhookId) -> Option<&Arc<Defined>> {
        self.defined.get(*self.by_id.get(&id)?)
    }

    pub fn webhook(&self, id: WebhookId) -> Option<&Arc<Webhook>> {
        self.defined(id).map(|defined| &defined.webhook)
    }

    /// The definition that is NetBox's webhook `id`.
    pub fn of_netbox(&self, id: u64) -> Option<&Arc<Webhook>> {
        self.set.webhooks.get(*self.by_netbox_id.get(&id)?)
    }

    /// Pure and total: every event gets a plan, if an empty one.
    pub fn plan(&self, event: &Event, route: Route) -> Plan {
        let planned = match route {
            Route::Match => {
                let by_type = self.matches.get(&*event.model.label).map(|by_type| &by_type[event.event_type as usize]);
                match by_type {
                    None => return Plan::default(),
                    Some(matches) if !matches.looks => {
                        return Plan { deliveries: matches.planned.clone(), missing: Vec::new() };
                    }
                    Some(matches) => matches.planned.iter().filter_map(|p| self.defined(p.webhook)).collect(),
                }
            }
            Route::Webhook(id) => self.defined(id).into_iter().collect::<Vec<_>>(),
        };
        let seen = Seen::new(event);
        let mut plan = Plan::default();
        for defined in planned.into_iter().filter(|defined| defined.accepts(&seen)) {
            self.place(defined, &seen, &mut plan);
        }
        plan
    }

    /// Adds the delivery, at the endpoint that the event's payload URL belongs to.
    fn place(&self, defined: &Defined, seen: &Seen<'_>, plan: &mut Plan) {
        let webhook = &defined.webhook;
        let mut planned = Planned { webhook: webhook.id, endpoint: webhook.endpoint };
        if let Target::Template(text) = &webhook.target
            && let Ok(url) = defined.prepared.url(&webhook.spec, &seen.lazy)
        {
            let (url, origin) = (text.clone(), url.origin);
            match self.rendered.get(&(url.clone(), origin.clone())) {
                Some(endpoint) => planned.endpoint = *endpoint,
                None => plan.missing.push(NewEndpoint { url, origin }),
            }
        }
        plan.deliveries.push(planned);
    }

    /// The same decision with its reasons, for every webhook.
    pub fn explain(&self, event: &Event) -> Vec<Explanation> {
        let seen = Seen::new(event);
        let explained = self.defined.iter().map(|defined| {
            let reasons = reasons_against(defined, event, &seen);
            Explanation {
                webhook: defined.webhook.id,
                matched: reasons.is_empty(),
                reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
            }
        });
        explained.collect()
    }
}

fn add(by_type: &mut ByType, defined: &Defined) {
    let webhook = &defined.webhook;
    let planned = Planned { webhook: webhook.id, endpoint: webhook.endpoint };
    for event_type in EventType::ALL.into_iter().filter(|t| webhook.spec.wants(*t)) {
        let matched = &mut by_type[event_type as usize];
        // A model named twice is still one match.
        if matched.planned.last() != Some(&planned) {
            matched.planned.push(planned);
        }
        matched.looks |= defined.looks();
    }
}

fn reasons_against(defined: &Defined, event: &Event, seen: &Seen<'_>) -> Vec<String> {
    let spec = &defined.webhook.spec;
    let mut reasons: Vec<String> = defined.withheld().into_iter().collect();
    let label = &*event.model.label;
    if !spec.models.iter().any(|m| m == label) {
        reasons.push(format!("model {label} is not among its models"));
    }
    if !spec.wants(event.event_type) {
        reasons.push(format!("event {} is not among its event types", event.event_type.as_str()));
    }
    reasons.extend(defined.objections(seen));
    reasons
}

#[cfg(test)]
mod tests;
