//! A webhook job as NetBox puts it on its queue (RQ), and what of it is worth keeping.
//!
//! The `data` of a job is a zlib-packed pickle of `(function, instance, args, kwargs)`. It is read by a machine of our
//! own that calls nothing. Of the result only what the request needs is kept: a job also holds session cookies, the
//! password hash of the user and, from NetBox 4.7 on, the secret of the webhook. Those are dropped here, and no error
//! and no `Debug` output repeats a value of a job.
//!
//! # Source
//! `extras/webhooks_worker.py` of NetBox 2.11 to 3.6; `extras/webhooks.py`, `extras/events.py`, `extras/event_rules.py`
//! and `utilities/request.py` of 3.7 to 4.7.

use std::fmt;

mod call;
mod class;
mod error;
mod inflate;
mod json;
mod pickle;
mod python;
mod request;
#[cfg(test)]
mod tests;
mod times;

pub use error::JobError;
pub use request::Request;

use crate::domain::event::EventType;

/// How much of a job is read before it is refused.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the pickle, unpacked.
    pub inflated: usize,
    /// Opcodes of the pickle; each takes at most some 50 bytes of memory beside the text.
    pub steps: usize,
    /// Values the pickle refers back to.
    pub memo: usize,
    /// Bytes of JSON text `data` and `snapshots` may become each. Parts that a pickle shares are written out each time.
    pub json: usize,
}

impl Default for Limits {
    /// About a thousand times what NetBox's jobs usually have.
    fn default() -> Self {
        Self { inflated: 64 << 20, steps: 4 << 20, memo: 2 << 20, json: 64 << 20 }
    }
}

/// Which function of NetBox the job is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `extras.webhooks_worker.process_webhook`, to 3.6: works by the webhook in the job and checks its conditions.
    ProcessWebhook,
    /// `extras.webhooks.send_webhook`, from 3.7: an event rule, whose conditions have been checked, names the webhook.
    SendWebhook,
}

/// Of a job's `event` (to 4.0) or `event_type` (from 4.1).
///
/// # Source
/// `WEBHOOK_EVENT_TYPES` in `extras/constants.py` 3.5 to 4.7; `ObjectChangeActionChoices` before.
fn event_type(name: &str) -> Option<EventType> {
    Some(match name {
        "create" | "object_created" => EventType::Created,
        "update" | "object_updated" => EventType::Updated,
        "delete" | "object_deleted" => EventType::Deleted,
        "job_start" | "job_started" => EventType::JobStarted,
        "job_end" | "job_completed" | "job_failed" | "job_errored" => EventType::JobEnded,
        _ => return None,
    })
}

/// Where the request's definition is found.
#[derive(Clone, PartialEq, Eq)]
pub struct Definition {
    /// NetBox's id of the webhook.
    pub webhook_id: i64,
    /// The event rule that led to it; none to 3.6.
    pub rule: Option<Rule>,
    /// JSON text of the conditions the webhook had, to 3.6: NetBox's worker does not send unless `data` meets them. Later
    /// versions check the rule's before they queue the job.
    pub conditions: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Rule {
    pub id: i64,
    pub name: String,
}

/// The model of the changed object, by the names NetBox has for it in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectType {
    /// Jobs before 4.4 do not give it; then it is known if `data.url` leads to an object of that model.
    pub app_label: Option<String>,
    pub model: String,
}

/// A job, without what must not be kept.
///
/// `data` is what NetBox sends in every version: where a rule adds `action_data` (4.1.11 and later), it has been merged
/// before the job was queued.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookJob {
    pub function: Function,
    pub definition: Definition,
    pub object_type: ObjectType,
    pub event: EventType,
    /// The event type in NetBox's own spelling, such as `object_created` or, to 4.0, `create`.
    pub netbox_event: String,
    /// As NetBox sends it.
    pub timestamp: String,
    /// From 4.7 on it is the request's.
    pub username: Option<String>,
    /// `None` for events of jobs.
    pub request_id: Option<String>,
    /// From 4.4 on; `None` for events of jobs.
    pub request: Option<Request>,
    data: String,
    snapshots: Option<String>,
}

impl WebhookJob {
    /// Reads the `data` field of a job's hash.
    ///
    /// # Errors
    /// Says what is wrong without repeating any value; classes in `data` whose JSON form is not known are named.
    pub fn decode(data: &[u8]) -> Result<Self, JobError> {
        Self::decode_within(data, &Limits::default())
    }

    /// As [`decode`](Self::decode), with other limits.
    ///
    /// # Errors
    /// As there.
    pub fn decode_within(data: &[u8], limits: &Limits) -> Result<Self, JobError> {
        let pickled = inflate::inflate(data, limits.inflated)?;
        call::read(&pickle::load(&pickled, limits)?, limits)
    }

    /// JSON text of `data`, byte for byte what NetBox's worker sends.
    pub fn data_json(&self) -> &str {
        &self.data
    }

    /// JSON text of `snapshots`, likewise; `None` where NetBox sends none.
    pub fn snapshots_json(&self) -> Option<&str> {
        self.snapshots.as_deref()
    }

    /// The event as one JSON object, with everything any version of NetBox has in its body. `object_type` is left out if
    /// it is not known.
    pub fn event_json(&self) -> String {
        const FRAME: usize = 512;
        let mut object = JsonObject(String::with_capacity(self.data.len() + self.snapshots().len() + FRAME));
        object.text("event", self.event.as_str());
        object.text("timestamp", &self.timestamp);
        if let Some(label) = self.object_type.label() {
            object.text("object_type", &label);
        }
        object.text("model", &self.object_type.model);
        object.optional("username", self.username.as_deref());
        object.optional("request_id", self.request_id.as_deref());
        object.raw("data", &self.data);
        if let Some(snapshots) = &self.snapshots {
            object.raw("snapshots", snapshots);
        }
        if let Some(request) = &self.request {
            object.raw("request", request.json());
        }
        object.0.push('}');
        object.0
    }

    fn snapshots(&self) -> &str {
        self.snapshots.as_deref().unwrap_or_default()
    }
}

impl ObjectType {
    /// `dcim.site`
    pub fn label(&self) -> Option<String> {
        self.app_label.as_ref().map(|app| format!("{app}.{}", self.model))
    }
}

/// A JSON object being written as Python writes it.
struct JsonObject(String);

impl JsonObject {
    fn name(&mut self, name: &str) {
        self.0.push_str(if self.0.is_empty() { "{" } else { ", " });
        python::push_text(&mut self.0, name);
        self.0.push_str(": ");
    }

    fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.0.push_str(json);
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        python::push_text(&mut self.0, text);
    }

    fn optional(&mut self, name: &str, text: Option<&str>) {
        match text {
            Some(text) => self.text(name, text),
            None => self.raw(name, "null"),
        }
    }
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rule, conditions) = (self.rule.as_ref().map(|rule| rule.id), self.conditions.is_some());
        f.debug_struct("Definition")
            .field("webhook_id", &self.webhook_id)
            .field("rule", &rule)
            .field("has_conditions", &conditions)
            .finish()
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Tells jobs apart without telling what is in them.
impl fmt::Debug for WebhookJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookJob")
            .field("function", &self.function)
            .field("definition", &self.definition)
            .field("object_type", &self.object_type)
            .field("event", &self.event)
            .field("data_bytes", &self.data.len())
            .field("snapshots_bytes", &self.snapshots().len())
            .finish_non_exhaustive()
    }
}
