//! Finding members in JSON text without building a tree of it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::EventError;

/// Deepest nesting taken: what reads an event as a tree later (serde_json itself among them) stops here too.
const MAX_DEPTH: usize = 100;
/// Most top-level members of an event; NetBox has at most 10.
const MAX_MEMBERS: usize = 256;

/// The members NetBox sends: their names need no memory of their own.
const KNOWN: [&str; 14] = [
    "event",
    "timestamp",
    "object_type",
    "model",
    "username",
    "request_id",
    "data",
    "snapshots",
    "request",
    "signal_received_timestamp",
    "context",
    "event_type",
    "object_id",
    "id",
];

/// A top-level member: its name and where its value lies in the text.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub name: Cow<'static, str>,
    pub value: Range<u32>,
}

/// Checks that `text` is one JSON object within bounds, and lists its members in order.
pub(super) fn members(text: &str) -> Result<Vec<Member>, EventError> {
    if u32::try_from(text.len()).is_err() {
        return Err(EventError::TooLong { limit: u32::MAX });
    }
    match text.as_bytes().first() {
        Some(b'{') => check_depth(text)?,
        Some(b'[') => return Err(EventError::NotAnObject("an array")),
        Some(b'"') => return Err(EventError::NotAnObject("a string")),
        Some(b't' | b'f' | b'n') => return Err(EventError::NotAnObject("a bare word")),
        Some(b'-' | b'0'..=b'9') => return Err(EventError::NotAnObject("a number")),
        Some(_) => {}
        None => return Err(EventError::NotAnObject("nothing")),
    }
    let mut collector = Collector { text, members: Vec::with_capacity(10), problem: None };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = json.deserialize_map(&mut collector).and_then(|()| json.end());
    if let Some(problem) = collector.problem {
        return Err(problem);
    }
    read.map_err(|e| EventError::Json(e.to_string()))?;
    Ok(collector.members)
}

/// The value of the first member of that name in an object known to be valid JSON. What follows it is not looked at.
pub(super) fn first<'a>(object: &'a str, name: &str) -> Result<Option<&'a str>, EventError> {
    let mut found = None;
    let read = serde_json::Deserializer::from_str(object).deserialize_map(First { name, found: &mut found });
    match (found, read) {
        (Some(value), _) => Ok(Some(value)),
        (None, Ok(())) => Ok(None),
        (None, Err(e)) => Err(EventError::Json(e.to_string())),
    }
}

/// The text of a JSON string; `None` for any other value.
pub(super) fn string(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(value).ok().map(Cow::Owned)
}

/// A number as it is spelled or a string without its quotes; `None` for any other value.
pub(super) fn id(value: &str) -> Option<Cow<'_, str>> {
    match value.as_bytes().first()? {
        b'"' => string(value),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(value)),
        _ => None,
    }
}

/// Counting brackets is far cheaper than following them, and settles nearly all events: without that many, none is
/// nested that deep.
fn check_depth(text: &str) -> Result<(), EventError> {
    if opening_brackets(text.as_bytes()) <= MAX_DEPTH || depth(text.as_bytes()) <= MAX_DEPTH {
        return Ok(());
    }
    Err(EventError::TooDeep { limit: MAX_DEPTH })
}

/// Number of `{` and `[`, in a form that compiles to vector instructions: they differ in bit 5 only, and no chunk
/// overflows its byte.
fn opening_brackets(text: &[u8]) -> usize {
    let in_chunk = |chunk: &[u8]| chunk.iter().map(|b| u8::from(b | 0x20 == b'{')).sum::<u8>();
    text.chunks(u8::MAX.into()).map(|chunk| usize::from(in_chunk(chunk))).sum()
}

/// Deepest nesting of JSON text; of anything else, some number.
fn depth(text: &[u8]) -> usize {
    let (mut now, mut deepest) = (0usize, 0);
    let mut bytes = text.iter();
    while let Some(b) = bytes.next() {
        match b {
            b'{' | b'[' => {
                now += 1;
                deepest = deepest.max(now);
            }
            b'}' | b']' => now = now.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    deepest
}

fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(b) = bytes.next() {
        match b {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

struct Collector<'a> {
    text: &'a str,
    members: Vec<Member>,
    /// What serde's error cannot carry.
    problem: Option<EventError>,
}

impl Collector<'_> {
    fn add(&mut self, name: Cow<'static, str>, value: &RawValue) -> Result<(), EventError> {
        if self.members.len() == MAX_MEMBERS {
            return Err(EventError::TooManyMembers { limit: MAX_MEMBERS });
        }
        if self.members.iter().any(|m| m.name == name) {
            return Err(EventError::Duplicate(super::shown(&name)));
        }
        // The value is borrowed from the text, so it lies within it, and the text is shorter than 4 GiB.
        let start = (value.get().as_ptr() as usize - self.text.as_ptr() as usize) as u32;
        self.members.push(Member { name, value: start..start + value.get().len() as u32 });
        Ok(())
    }
}

impl<'de> Visitor<'de> for &mut Collector<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Name)? {
            let value: &'de RawValue = map.next_value()?;
            if let Err(problem) = self.add(name, value) {
                self.problem = Some(problem);
                return Err(A::Error::custom("see problem"));
            }
        }
        Ok(())
    }
}

/// A member's name, without an allocation for those NetBox sends.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'static, str>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Cow<'static, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        let known = KNOWN.iter().find(|known| **known == name);
        Ok(known.map_or_else(|| Cow::Owned(name.to_owned()), |known| Cow::Borrowed(*known)))
    }
}

struct First<'n, 'f, 'de> {
    name: &'n str,
    found: &'f mut Option<&'de str>,
}

impl<'de> Visitor<'de> for First<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(hit) = map.next_key_seed(Is(self.name))? {
            if hit {
                let value: &'de RawValue = map.next_value()?;
                *self.found = Some(value.get());
                // Ends the walk: the caller has what it wants and ignores the error.
                return Err(A::Error::custom("found"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// Whether a name is this one.
struct Is<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<bool, D::Error> {
        d.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}
