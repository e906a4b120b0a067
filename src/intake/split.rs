//! Cutting a request body into the texts of its events, without copying and without building trees.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::http::IntakeError;

/// The members of a JSON array, each a slice of `body`.
///
/// # Errors
/// `body` is not a JSON array, or has more than `max` members.
pub(super) fn array(body: &Bytes, max: usize) -> Result<Vec<Bytes>, IntakeError> {
    let text = std::str::from_utf8(body).map_err(|e| IntakeError::NotUtf8(e.valid_up_to()))?;
    let mut members = Vec::new();
    let mut too_many = false;
    let mut json = serde_json::Deserializer::from_str(text);
    let visitor = Members { max, members: &mut members, too_many: &mut too_many };
    let read = json.deserialize_seq(visitor).and_then(|()| json.end());
    if too_many {
        return Err(IntakeError::TooManyEvents { max });
    }
    read.map_err(|e| IntakeError::Json(e.to_string()))?;
    Ok(members.into_iter().map(|member| body.slice_ref(member.as_bytes())).collect())
}

/// The lines that are not blank, each a slice of `body`.
///
/// # Errors
/// More than `max` of them.
pub(super) fn lines(body: &Bytes, max: usize) -> Result<Vec<Bytes>, IntakeError> {
    let mut members = Vec::new();
    for line in body.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
        if members.len() == max {
            return Err(IntakeError::TooManyEvents { max });
        }
        members.push(body.slice_ref(line));
    }
    Ok(members)
}

struct Members<'m, 'de> {
    max: usize,
    members: &'m mut Vec<&'de str>,
    too_many: &'m mut bool,
}

impl<'de> Visitor<'de> for Members<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(member) = seq.next_element::<&'de RawValue>()? {
            if self.members.len() == self.max {
                *self.too_many = true;
                return Err(A::Error::custom("too many"));
            }
            self.members.push(member.get());
        }
        Ok(())
    }
}
