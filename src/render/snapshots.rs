//! `snapshots`: the object before and after the change, each passed on as it came.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Source;
use crate::domain::event::Event;

#[derive(Default, Deserialize)]
struct Snapshots<'a> {
    #[serde(borrow, default)]
    prechange: Option<&'a RawValue>,
    #[serde(borrow, default)]
    postchange: Option<&'a RawValue>,
}

/// The event's own; of a folded one, from before the older change to after the newer one.
pub(super) fn of(source: Source<'_>) -> Option<Cow<'_, str>> {
    let own = source.event.member("snapshots");
    let Some(older) = source.folded_from else { return own.map(Cow::Borrowed) };
    if own.is_none() && older.member("snapshots").is_none() {
        return None;
    }
    let text = |value: Option<&RawValue>| value.map_or_else(|| "null".to_owned(), |v| v.get().to_owned());
    let (prechange, postchange) = (text(split(older).prechange), text(split(source.event).postchange));
    Some(Cow::Owned(format!("{{\"prechange\": {prechange}, \"postchange\": {postchange}}}")))
}

/// What is no object with such members has no snapshots.
fn split(event: &Event) -> Snapshots<'_> {
    event.member("snapshots").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}
