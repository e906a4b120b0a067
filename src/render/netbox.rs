//! The body NetBox itself sends, key by key as each release has it.
//!
//! # Source
//! `extras/webhooks.py` of NetBox 2.4 to 4.7: `username` and `request_id` came with 2.5.9, `snapshots` with 2.11,
//! `object_type` and `context` with 4.4; `model` went with 4.5; `request` came with 4.6 and replaced `username` and
//! `request_id` in 4.7.

use super::{JsonObject, Source, json_string, snapshots};
use crate::config::NetboxVersion;

/// Bytes beside what is copied from the event, about.
const FRAME: usize = 256;

const ADDS_USER: NetboxVersion = NetboxVersion(2, 5);
/// From here on both are in every body; 2.5 itself has them only from 2.5.9.
const ALWAYS_USER: NetboxVersion = NetboxVersion(2, 6);
const ADDS_SNAPSHOTS: NetboxVersion = NetboxVersion(2, 11);
const ADDS_OBJECT_TYPE: NetboxVersion = NetboxVersion(4, 4);
const DROPS_MODEL: NetboxVersion = NetboxVersion(4, 5);
const ADDS_REQUEST: NetboxVersion = NetboxVersion(4, 6);
const DROPS_USER: NetboxVersion = NetboxVersion(4, 7);

pub(super) fn json(source: Source<'_>) -> String {
    let Source { event, version, .. } = source;
    let mut object = JsonObject::with_capacity(event.raw().len() + FRAME);
    object.string("event", source.event_type().as_str());
    // NetBox writes a text; a number is of a sender in the original backend's manner.
    match present(event.member("timestamp")).filter(|given| given.starts_with('"')) {
        Some(as_given) => object.raw("timestamp", as_given),
        None => object.string("timestamp", &event.timestamp),
    }
    if version >= ADDS_OBJECT_TYPE {
        object.string("object_type", &event.model.label);
    }
    if version < DROPS_MODEL {
        object.string("model", event.model.label.rsplit('.').next().unwrap_or_default());
    }
    if version >= ADDS_USER && version < DROPS_USER {
        user(&mut object, source);
    }
    object.raw("data", event.data());
    if version >= ADDS_REQUEST {
        optional(&mut object, "request", event.member("request"));
    }
    if version >= ADDS_SNAPSHOTS {
        optional(&mut object, "snapshots", snapshots::of(source).as_deref());
    }
    if version >= ADDS_OBJECT_TYPE {
        optional(&mut object, "context", event.member("context"));
    }
    object.finish()
}

/// `username` and `request_id`: as they came, else from a newer NetBox's `request`, else `null`.
fn user(object: &mut JsonObject, source: Source<'_>) {
    let Source { event, version, .. } = source;
    for (name, elsewhere) in [("username", event.username()), ("request_id", event.request_id())] {
        match (present(event.member(name)), elsewhere) {
            (Some(as_given), _) => object.raw(name, as_given),
            (None, Some(text)) => object.raw(name, &json_string(&text)),
            (None, None) if version >= ALWAYS_USER => object.raw(name, "null"),
            (None, None) => {}
        }
    }
}

fn optional(object: &mut JsonObject, name: &str, value: Option<&str>) {
    if let Some(value) = present(value) {
        object.raw(name, value);
    }
}

/// NetBox leaves these out rather than sending `null`.
fn present(value: Option<&str>) -> Option<&str> {
    value.filter(|v| *v != "null")
}
