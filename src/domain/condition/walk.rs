//! Follows a dotted path into an event's data.

use serde_json::Value;

use super::python;

/// What JSON `null` looks like when there is no value to point at.
pub(super) static NULL: Value = Value::Null;

/// What a path leads to.
#[derive(Clone, Debug)]
pub(super) enum Found<'a> {
    One(&'a Value),
    /// One value per element of a list the path went through.
    Each(Vec<&'a Value>),
}

/// Why a path leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost<'a> {
    /// A key is not there, or `null` stands before it.
    Missing { key: &'a str },
    /// A value before the key has no keys at all.
    Keyless { key: &'a str, kind: &'static str },
}

/// Whether a path may go on through a list without elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EmptyList {
    /// Leads to an empty list: an object without tags is no error for `tags.slug`.
    Passes,
    /// Proves nothing about the path, so it counts as missing.
    IsMissing,
}

impl<'a> Found<'a> {
    /// Takes one more step, `key`.
    pub(super) fn step(self, key: &'a str, empty: EmptyList) -> Result<Found<'a>, Lost<'a>> {
        match self {
            Found::One(Value::Array(items)) => each(items, key, empty),
            Found::One(value) => member(value, key).map(Found::One),
            Found::Each(items) => each(items, key, empty),
        }
    }

    /// Takes all steps of `keys`.
    pub(super) fn walk(self, keys: &'a [Box<str>], empty: EmptyList) -> Result<Found<'a>, Lost<'a>> {
        keys.iter().try_fold(self, |found, key| found.step(key, empty))
    }

    /// `self == other`, where elements gathered on the way are a list like any other.
    pub(super) fn equals(&self, other: &Found<'_>) -> bool {
        match (self, other) {
            (Found::One(a), Found::One(b)) => python::equal(a, b),
            (Found::Each(a), Found::Each(b)) => same(a, b.iter().copied()),
            (Found::Each(a), Found::One(Value::Array(b))) | (Found::One(Value::Array(b)), Found::Each(a)) => {
                same(a, b.iter())
            }
            (Found::Each(_), Found::One(_)) | (Found::One(_), Found::Each(_)) => false,
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Found::One(value) => python::kind(value),
            Found::Each(_) => "a list",
        }
    }
}

fn same<'a>(a: &[&Value], b: impl ExactSizeIterator<Item = &'a Value>) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| python::equal(a, b))
}

fn each<'a>(items: impl IntoIterator<Item = &'a Value>, key: &'a str, empty: EmptyList) -> Result<Found<'a>, Lost<'a>> {
    let values = items.into_iter().map(|item| member(item, key)).collect::<Result<Vec<_>, _>>()?;
    if values.is_empty() && empty == EmptyList::IsMissing {
        return Err(Lost::Missing { key });
    }
    Ok(Found::Each(values))
}

fn member<'a>(value: &'a Value, key: &'a str) -> Result<&'a Value, Lost<'a>> {
    match value {
        Value::Null => Err(Lost::Missing { key }),
        Value::Object(members) => members.get(key).ok_or(Lost::Missing { key }),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Lost::Keyless { key, kind: python::kind(value) })
        }
    }
}
