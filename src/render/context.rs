//! What a template may refer to.
//!
//! # Source
//! `extras/webhooks.py` of NetBox: URL, headers and body of a webhook are rendered with the members of the body NetBox
//! would send. Here the members of all its releases are there together, and the original backend's
//! `signal_received_timestamp`.

use minijinja::value::Value;

use super::template::{Context, variable};
use super::{Source, snapshots};

pub(super) fn of(source: Source<'_>) -> Context {
    let event = source.event;
    // An accepted event is JSON throughout.
    let json = |text: &str| variable(text).unwrap_or_default();
    let optional =
        |found: Option<std::borrow::Cow<'_, str>>| found.map_or(Value::from(()), |found| Value::from(&*found));
    let given = event.member("timestamp").filter(|given| given.starts_with('"'));
    let mut members = vec![
        ("event", Value::from(source.event_type().as_str())),
        ("timestamp", given.map_or_else(|| Value::from(&*event.timestamp), json)),
        ("object_type", Value::from(&*event.model.label)),
        ("model", Value::from(event.model.label.rsplit('.').next().unwrap_or_default())),
        ("username", optional(event.username())),
        ("request_id", optional(event.request_id())),
        ("data", json(event.data())),
        ("signal_received_timestamp", json(&event.signal_received_timestamp)),
    ];
    let snapshots = snapshots::of(source);
    // What an event does not have is not defined, as in NetBox.
    for (name, member) in [
        ("snapshots", snapshots.as_deref()),
        ("request", event.member("request")),
        ("context", event.member("context")),
    ] {
        if let Some(member) = member.filter(|member| *member != "null") {
            members.push((name, json(member)));
        }
    }
    Context::new(members)
}
