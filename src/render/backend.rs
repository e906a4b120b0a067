//! The body of NetBox's original webhook backend: `event`, `signal_received_timestamp`, `model`, `data`.

use super::{JsonObject, Source};

/// Bytes beside `data`, about.
const FRAME: usize = 128;

pub(super) fn json(source: Source<'_>) -> String {
    let event = source.event;
    let mut object = JsonObject::with_capacity(event.data().len() + FRAME);
    object.string("event", source.event_type().as_str());
    object.raw("signal_received_timestamp", &event.signal_received_timestamp);
    object.string("model", &event.model.class);
    object.raw("data", event.data());
    object.finish()
}

/// The same as an HTML form: top-level keys are fields, `data` is JSON text. (NetBox 2.4 to 2.7 sent only the keys of
/// `data` and lost the values; that is not repeated.)
pub(super) fn form(source: Source<'_>) -> String {
    let event = source.event;
    form_urlencoded::Serializer::new(String::with_capacity(event.data().len() * 2 + FRAME))
        .append_pair("event", source.event_type().as_str())
        .append_pair("signal_received_timestamp", &event.signal_received_timestamp)
        .append_pair("model", &event.model.class)
        .append_pair("data", event.data())
        .finish()
}
