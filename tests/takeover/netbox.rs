//! The part of NetBox's REST API that is asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Received, Receiver, reply};

/// A NetBox with webhooks and event rules.
pub struct Netbox {
    pub receiver: Receiver,
    state: Arc<Mutex<State>>,
}

pub const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";

struct State {
    version: String,
    webhooks: Vec<Value>,
    rules: Vec<Value>,
    /// How long it takes to answer.
    slow: Duration,
}

impl Netbox {
    pub fn start() -> Self {
        let state =
            State { version: "4.4.10".to_owned(), webhooks: Vec::new(), rules: Vec::new(), slow: Duration::ZERO };
        let state = Arc::new(Mutex::new(state));
        let asked = state.clone();
        let receiver = Receiver::with(move |request| {
            let state = lock(&asked);
            let (status, body) = answer(&state, request);
            let json = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
            reply(status).header("Content-Type", "application/json").body(json).after(state.slow)
        });
        Self { receiver, state }
    }

    pub fn url(&self) -> String {
        self.receiver.url("")
    }

    /// Defines a webhook, or changes it.
    pub fn webhook(&self, id: u64, changes: &Value) {
        let mut webhook = json!({
            "id": id, "name": format!("webhook {id}"), "description": "", "payload_url": "", "http_method": "POST",
            "http_content_type": "application/json", "additional_headers": "", "body_template": "", "secret": "",
            "ssl_verification": true, "ca_file_path": null,
        });
        for (field, value) in changes.as_object().expect("fields") {
            webhook[field.as_str()] = value.clone();
        }
        let mut state = lock(&self.state);
        state.webhooks.retain(|known| known["id"] != id);
        state.webhooks.push(webhook);
    }

    pub fn remove_webhook(&self, id: u64) {
        lock(&self.state).webhooks.retain(|known| known["id"] != id);
    }

    pub fn rule(&self, rule: Value) {
        lock(&self.state).rules.push(rule);
    }

    pub fn slow(&self, slow: Duration) {
        lock(&self.state).slow = slow;
    }

    pub fn version(&self, version: &str) {
        lock(&self.state).version = version.to_owned();
    }
}

fn lock(state: &Arc<Mutex<State>>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(state: &State, request: &Received) -> (u16, Value) {
    if request.header("authorization") != Some(&format!("Token {TOKEN}")) {
        return (403, json!({"detail": "Invalid token"}));
    }
    let path = request.path.split('?').next().unwrap_or_default();
    let list =
        |results: &Vec<Value>| json!({"count": results.len(), "next": null, "previous": null, "results": results});
    if state.version.is_empty() {
        return (200, json!("<html>We will be back soon</html>"));
    }
    match path {
        "/api/status/" => (200, json!({"netbox-version": state.version, "installed-apps": {"django_rq": "3.2.2"}})),
        "/api/extras/webhooks/" => (200, list(&state.webhooks)),
        "/api/extras/event-rules/" => (200, list(&state.rules)),
        path => {
            let id = path
                .strip_prefix("/api/extras/webhooks/")
                .and_then(|rest| rest.trim_end_matches('/').parse::<u64>().ok());
            match id.and_then(|id| state.webhooks.iter().find(|webhook| webhook["id"] == id)) {
                Some(webhook) => (200, webhook.clone()),
                None => (404, json!({"detail": "No Webhook matches the given query."})),
            }
        }
    }
}
