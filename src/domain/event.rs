//! One change of one NetBox object, immutable once accepted.
//!
//! The JSON text is kept as it came: `data`, `snapshots` and unknown keys are slices of it and leave as they arrived
//! (big integers, float spelling, key order).

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::models::{ModelError, Models};
use super::time::Timestamp;

mod scan;
#[cfg(test)]
mod tests;
mod times;

use scan::Member;

/// Longest `id` of an event, and longest object id, in bytes.
pub const MAX_ID: usize = 255;

/// What is wrong with an event, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    #[error("not valid UTF-8 at byte {0}; JSON is UTF-8")]
    NotUtf8(usize),
    #[error("not valid JSON: {0}")]
    Json(String),
    #[error(
        "an event is a JSON object like {{\"event\": \"created\", \"model\": \"dcim.site\", \"data\": {{…}}}}, not {0}"
    )]
    NotAnObject(&'static str),
    #[error("an event may have at most {limit} bytes")]
    TooLong { limit: u32 },
    #[error("nested deeper than {limit} levels")]
    TooDeep { limit: usize },
    #[error("more than {limit} top-level members")]
    TooManyMembers { limit: usize },
    #[error("\"{0}\" appears twice; each member may appear once")]
    Duplicate(String),
    #[error("this is an envelope of events; send the events themselves, as a JSON array or one per line")]
    Envelope,
    #[error("\"{member}\" is missing: {expected}")]
    Missing { member: &'static str, expected: &'static str },
    #[error("\"{member}\" is {found}: {expected}")]
    Wrong { member: &'static str, found: String, expected: &'static str },
    #[error("\"{member}\": {error}")]
    Model { member: &'static str, error: ModelError },
    #[error("\"model\" says {model}, but \"object_type\" says {object_type}; they must name one model")]
    TwoModels { model: String, object_type: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    Created,
    Updated,
    Deleted,
    JobStarted,
    JobEnded,
}

impl EventType {
    pub const ALL: [EventType; 5] = [Self::Created, Self::Updated, Self::Deleted, Self::JobStarted, Self::JobEnded];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::JobStarted => "job_started",
            Self::JobEnded => "job_ended",
        }
    }

    /// Of `event` as NetBox writes it in bodies (`created`) and in its queue (`object_created`). All ends of a job are
    /// one, as in NetBox's own webhooks.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "created" | "object_created" => Self::Created,
            "updated" | "object_updated" => Self::Updated,
            "deleted" | "object_deleted" => Self::Deleted,
            "job_started" => Self::JobStarted,
            "job_ended" | "job_completed" | "job_failed" | "job_errored" => Self::JobEnded,
            _ => return None,
        })
    }

    pub const fn is_job(self) -> bool {
        matches!(self, Self::JobStarted | Self::JobEnded)
    }

    /// Number on disk.
    pub const fn code(self) -> i64 {
        self as i64
    }

    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.code() == code)
    }
}

/// A model by its two names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Model {
    /// `dcim.site`
    pub label: Arc<str>,
    /// `Site`, as the `backend` payload format spells it.
    pub class: Arc<str>,
}

impl Model {
    /// Whether `name` is its class (`Site`, `site`) or its label (`dcim.site`).
    pub fn is_named(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(&self.class) || name.eq_ignore_ascii_case(&self.label)
    }
}

/// An event as accepted. Made by [`Event::parse`] at the edge, by [`Event::restore`] from disk.
#[derive(Clone, Debug)]
pub struct Event {
    pub event_type: EventType,
    pub model: Model,
    /// `data.id` as text, quotes removed; `None`: it concerns no object (a job) and is its own ordering key.
    pub object_id: Option<Arc<str>>,
    /// The sender's own id of the event (`id`), its idempotency key.
    pub external_id: Option<Arc<str>>,
    /// Epoch seconds with up to six decimals, trailing zeros dropped, as JSON number text.
    pub signal_received_timestamp: Arc<str>,
    /// NetBox's `timestamp` as text (ISO 8601): as given, or made from the above.
    pub timestamp: Arc<str>,
    /// The text of the event object.
    raw: Bytes,
    /// Top-level members in the order they came: name, span of the value in `raw`.
    members: Vec<Member>,
}

impl Event {
    /// An event as it comes in, in any form NetBox has sent since 2.4 or in that of the webhook backend.
    ///
    /// `received` stands in where it names no time of its own.
    ///
    /// # Errors
    /// Names the first member that is wrong, and what would be right.
    pub fn parse(raw: Bytes, models: &Models, received: Timestamp) -> Result<Self, EventError> {
        Self::build(raw, received, |members| read_model(members, models))
    }

    /// An event that was accepted before, with the model it had then: needs no table, since a plugin's model may have
    /// been taken out of the configuration.
    ///
    /// # Errors
    /// The text is not that of an accepted event: it was damaged.
    pub fn restore(raw: Bytes, model: Model, received: Timestamp) -> Result<Self, EventError> {
        Self::build(raw, received, |_| Ok(model))
    }

    fn build(
        raw: Bytes,
        received: Timestamp,
        model: impl FnOnce(&Members<'_>) -> Result<Model, EventError>,
    ) -> Result<Self, EventError> {
        let raw = trimmed(raw);
        let text = std::str::from_utf8(&raw).map_err(|e| EventError::NotUtf8(e.valid_up_to()))?;
        let spans = scan::members(text)?;
        let members = Members { text, spans: &spans };
        let event_type = read_type(&members)?;
        let model = model(&members)?;
        let object_id = read_data(&members, event_type)?;
        let external_id = read_external_id(&members)?;
        let (signal_received_timestamp, timestamp) =
            times::read(members.get("signal_received_timestamp"), members.get("timestamp"), received)?;
        Ok(Self {
            event_type,
            model,
            object_id,
            external_id,
            signal_received_timestamp,
            timestamp,
            members: spans,
            raw,
        })
    }

    /// The whole event as it came.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Bytes of memory it takes, near enough to count by.
    pub fn weight(&self) -> usize {
        let texts = [&self.object_id, &self.external_id].into_iter().flatten().map(|text| text.len()).sum::<usize>();
        let names = self.members.iter().map(|m| m.name.len()).sum::<usize>();
        size_of::<Self>() + self.raw.len() + texts + names + self.members.capacity() * size_of::<Member>()
    }

    /// JSON text of a top-level member as it came.
    pub fn member(&self, name: &str) -> Option<&str> {
        self.members.iter().find(|m| m.name == name).and_then(|m| self.text(m))
    }

    /// JSON text of `data`.
    pub fn data(&self) -> &str {
        self.member("data").unwrap_or("null")
    }

    /// All top-level members in the order they came.
    pub fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members.iter().filter_map(|m| self.text(m).map(|value| (&*m.name, value)))
    }

    /// `request_id`, or `request.id` as NetBox 4.7 has it: what one request to NetBox caused.
    pub fn request_id(&self) -> Option<Cow<'_, str>> {
        self.text_of("request_id", "id")
    }

    /// `username`, or `request.user` as NetBox 4.7 has it.
    pub fn username(&self) -> Option<Cow<'_, str>> {
        self.text_of("username", "user")
    }

    /// 64-bit hash of model and object id: the ordering key under `ordering = "object"`. `None`: it is its own key.
    pub fn object_key(&self) -> Option<u64> {
        self.object_id.as_deref().map(|id| object_key(&self.model.label, id))
    }

    fn text(&self, member: &Member) -> Option<&str> {
        std::str::from_utf8(self.raw.get(member.value.start as usize..member.value.end as usize)?).ok()
    }

    fn text_of(&self, member: &str, in_request: &str) -> Option<Cow<'_, str>> {
        let own = self.member(member).and_then(scan::string);
        own.or_else(|| scan::first(self.member("request")?, in_request).ok().flatten().and_then(scan::string))
    }
}

/// 64-bit hash of a kind of thing, like a model's label, and an id among its kind.
pub fn object_key(kind: &str, id: &str) -> u64 {
    let mut text = Vec::with_capacity(kind.len() + 1 + id.len());
    text.extend_from_slice(kind.as_bytes());
    text.push(0);
    text.extend_from_slice(id.as_bytes());
    xxhash_rust::xxh3::xxh3_64(&text)
}

/// The top-level members while the event is being made.
struct Members<'a> {
    text: &'a str,
    spans: &'a [Member],
}

impl<'a> Members<'a> {
    /// The JSON text of a member; `null` is as good as absent.
    fn get(&self, name: &str) -> Option<&'a str> {
        self.get_or_null(name).filter(|value| *value != "null")
    }

    fn get_or_null(&self, name: &str) -> Option<&'a str> {
        let member = self.spans.iter().find(|m| m.name == name)?;
        self.text.get(member.value.start as usize..member.value.end as usize)
    }
}

/// Without the white space around it.
fn trimmed(raw: Bytes) -> Bytes {
    let inner = raw.trim_ascii();
    if inner.len() == raw.len() { raw } else { raw.slice_ref(inner) }
}

fn read_type(members: &Members<'_>) -> Result<EventType, EventError> {
    const EXPECTED: &str = "give one of \"created\", \"updated\", \"deleted\", \"job_started\", \"job_ended\"";
    let (member, value) = match (members.get("event"), members.get("event_type")) {
        (Some(value), _) => ("event", value),
        (None, Some(value)) => ("event_type", value),
        (None, None) if members.get("events").is_some() => return Err(EventError::Envelope),
        (None, None) => return Err(EventError::Missing { member: "event", expected: EXPECTED }),
    };
    scan::string(value).and_then(|name| EventType::from_name(&name)).ok_or_else(|| wrong(member, value, EXPECTED))
}

fn read_model(members: &Members<'_>, models: &Models) -> Result<Model, EventError> {
    const EXPECTED: &str = "give a model like \"dcim.site\" or \"Site\"";
    let resolve = |member: &'static str, value: &str| {
        let name = scan::string(value).ok_or_else(|| wrong(member, value, EXPECTED))?;
        models.resolve(&name).map_err(|error| EventError::Model { member, error })
    };
    match (members.get("object_type"), members.get("model")) {
        (Some(object_type), None) => resolve("object_type", object_type),
        (None, Some(model)) => resolve("model", model),
        (Some(object_type), Some(model)) => {
            let resolved = resolve("object_type", object_type)?;
            let name = scan::string(model).ok_or_else(|| wrong("model", model, EXPECTED))?;
            if !resolved.is_named(&name) {
                return Err(EventError::TwoModels { model: shown(model), object_type: shown(object_type) });
            }
            Ok(resolved)
        }
        (None, None) => Err(EventError::Missing { member: "model", expected: EXPECTED }),
    }
}

/// Checks `data` and finds the id of the object in it.
fn read_data(members: &Members<'_>, event_type: EventType) -> Result<Option<Arc<str>>, EventError> {
    const EXPECTED: &str = "give the object as NetBox serialises it, a JSON object";
    const ID: &str = "give a number or a string of at most 255 bytes";
    let value = members.get_or_null("data").ok_or(EventError::Missing { member: "data", expected: EXPECTED })?;
    if event_type.is_job() && value == "null" {
        return Ok(None);
    }
    if !value.starts_with('{') {
        return Err(wrong("data", value, EXPECTED));
    }
    if event_type.is_job() {
        // A job's data is what the job left behind; an `id` in it is not the id of an object.
        return Ok(None);
    }
    let Some(id) = scan::first(value, "id")?.filter(|id| *id != "null") else { return Ok(None) };
    let text = scan::id(id).filter(|text| text.len() <= MAX_ID).ok_or_else(|| wrong("data.id", id, ID))?;
    Ok(Some(text.into()))
}

fn read_external_id(members: &Members<'_>) -> Result<Option<Arc<str>>, EventError> {
    const EXPECTED: &str = "give a string of 1 to 255 bytes that no other event has, or leave it out";
    let Some(value) = members.get("id") else { return Ok(None) };
    let text = scan::id(value).filter(|text| !text.is_empty() && text.len() <= MAX_ID);
    Ok(Some(text.ok_or_else(|| wrong("id", value, EXPECTED))?.into()))
}

fn wrong(member: &'static str, value: &str, expected: &'static str) -> EventError {
    EventError::Wrong { member, found: shown(value), expected }
}

/// The start of a value, for messages.
fn shown(value: &str) -> String {
    const SHOWN: usize = 60;
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}
