//! Deliveries as rows of a table.

use std::collections::HashMap;
use std::sync::Arc;

use super::frame::Frame;
use super::show;
use crate::domain::delivery::DeliveryState;
use crate::domain::ids::{EndpointId, WebhookId};
use crate::store::archive::DeliveryRow;
use crate::web::State;
use crate::web::api::delivery_view::{DeliveryView, Surroundings};
use crate::web::api::waiting::WaitingFor;

/// Names of webhooks and URLs of endpoints, read once for a page.
pub struct Names {
    webhooks: HashMap<WebhookId, Arc<str>>,
    endpoints: HashMap<EndpointId, Arc<str>>,
}

impl Names {
    pub fn of(state: &State) -> Self {
        let set = state.store.definitions();
        Self {
            webhooks: set.webhooks.iter().map(|w| (w.id, w.spec.name.as_str().into())).collect(),
            endpoints: set.endpoints.iter().map(|e| (e.endpoint.id, e.endpoint.url.clone())).collect(),
        }
    }

    /// Of a deleted one the number is left.
    pub fn webhook(&self, id: WebhookId) -> String {
        self.webhooks.get(&id).map_or_else(|| format!("deleted webhook {id}"), ToString::to_string)
    }

    pub fn has_webhook(&self, id: WebhookId) -> bool {
        self.webhooks.contains_key(&id)
    }

    pub fn endpoint(&self, id: EndpointId) -> String {
        self.endpoints.get(&id).map_or_else(|| format!("endpoint {id}"), ToString::to_string)
    }
}

/// Why a delivery waits, in words.
pub struct Waits {
    pub text: &'static str,
    /// A `<time>` element.
    pub until: Option<String>,
    /// The delivery before it.
    pub behind: Option<String>,
}

impl Waits {
    pub fn new(waiting: &WaitingFor, frame: &Frame) -> Self {
        Self {
            text: show::waiting(waiting.reason),
            until: waiting.until.map(|at| frame.when(&at)),
            behind: waiting.behind.map(|id| id.to_string()),
        }
    }
}

/// One row.
pub struct Row {
    pub id: String,
    /// A `<time>` element.
    pub created: String,
    pub event: &'static str,
    pub model: String,
    pub object: Option<String>,
    pub netbox: Option<String>,
    pub webhook: String,
    pub webhook_id: Option<WebhookId>,
    pub endpoint: String,
    pub endpoint_id: EndpointId,
    pub state: &'static str,
    pub colour: &'static str,
    pub waits: Option<Waits>,
    /// A `<time>` element, while it is retrying.
    pub next_attempt: Option<String>,
    pub attempts: u32,
    pub latency: Option<String>,
    pub result: Option<String>,
    pub test: bool,
    pub resend: bool,
}

impl Row {
    pub fn new(view: DeliveryView, names: &Names, frame: &Frame) -> Self {
        let state = view.status.as_str();
        let result = match (view.status_code, view.error) {
            (Some(code), _) => Some(code.to_string()),
            (None, Some(error)) => Some(show::words(error.as_str())),
            (None, None) => None,
        };
        let netbox = view.object_id.as_deref().and_then(|id| frame.netbox(view.event.event, &view.model, id));
        Self {
            id: view.id.to_string(),
            created: frame.when(&view.created),
            event: view.event.event.as_str(),
            netbox,
            webhook: names.webhook(view.webhook_id),
            webhook_id: Some(view.webhook_id).filter(|id| names.has_webhook(*id)),
            endpoint: names.endpoint(view.endpoint_id),
            endpoint_id: view.endpoint_id,
            state,
            colour: show::colour(state),
            waits: view.waiting_for.as_ref().map(|waiting| Waits::new(waiting, frame)),
            next_attempt: view.next_attempt_at.map(|at| frame.when(&at)),
            attempts: view.attempt_count,
            latency: view.latency_ms.filter(|_| view.attempt_count > 0).map(show::millis),
            result,
            test: view.test,
            resend: view.resend_of.is_some(),
            model: view.model,
            object: view.object_id,
        }
    }

    /// The list of what waits of its object at its endpoint.
    pub fn of_object(&self, frame: &Frame) -> Option<String> {
        let object = self.object.as_deref()?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(["pending", "retrying", "in_flight"].map(|state| ("status", state)));
        query.append_pair("endpoint_id", &self.endpoint_id.to_string());
        query.append_pair("model", &self.model).append_pair("object_id", object);
        Some(frame.at(&format!("/deliveries/?{}", query.finish())))
    }

    /// The state in words.
    pub fn state_text(&self) -> String {
        show::words(self.state)
    }
}

/// Rows for a page, with why each of them waits.
pub async fn rows(state: &State, deliveries: Vec<DeliveryRow>, frame: &Frame) -> Vec<Row> {
    let around = Surroundings::of(state, &deliveries).await;
    let names = Names::of(state);
    deliveries.into_iter().map(|row| Row::new(around.view(row), &names, frame)).collect()
}

/// The states that a list can be filtered by, with how they read.
pub fn states() -> Vec<(&'static str, String)> {
    DeliveryState::ALL.map(|state| (state.as_str(), show::words(state.as_str()))).to_vec()
}
