//! What an update changed: the snapshots before and after, key by key. Values stay as they were written. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

/// Objects are looked into so deep; below, they are compared as a whole.
const DEPTH: usize = 3;

/// One key that differs.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// `custom_fields.owner`
    pub key: String,
    /// `None`: it was not there.
    pub was: Option<String>,
    pub is: Option<String>,
}

type Object<'a> = BTreeMap<String, &'a RawValue>;

/// The differing keys of `{"prechange": …, "postchange": …}`; none where one of them is `null`.
pub fn changes(snapshots: &str) -> Vec<Change> {
    let mut found = Vec::new();
    if let Some(both) = object(snapshots)
        && let (Some(was), Some(is)) = (both.get("prechange"), both.get("postchange"))
    {
        compare("", (was.get(), is.get()), 0, &mut found);
    }
    found
}

fn object(text: &str) -> Option<Object<'_>> {
    serde_json::from_str(text).ok()
}

fn compare(path: &str, (was, is): (&str, &str), depth: usize, found: &mut Vec<Change>) {
    let objects = if depth < DEPTH { object(was).zip(object(is)) } else { None };
    let Some((before, after)) = objects else {
        if depth > 0 && was != is {
            found.push(Change { key: path.to_owned(), was: Some(was.to_owned()), is: Some(is.to_owned()) });
        }
        return;
    };
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let key_path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (before.get(key), after.get(key)) {
            (Some(was), Some(is)) => compare(&key_path, (was.get(), is.get()), depth + 1, found),
            (was, is) => {
                let text = |value: Option<&&RawValue>| value.map(|v| v.get().to_owned());
                found.push(Change { key: key_path, was: text(was), is: text(is) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told_exactly() {
        let text = r#"{"prechange": {"name": "a", "id": 9007199254740993, "cf": {"x": 1, "y": [1]}, "gone": true},
                       "postchange": {"name": "b", "id": 9007199254740995, "cf": {"x": 1, "y": [2]}, "new": null}}"#;
        let told: Vec<_> = changes(text).into_iter().map(|c| (c.key, c.was, c.is)).collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            told,
            [
                ("cf.y".to_owned(), some("[1]"), some("[2]")),
                ("gone".to_owned(), some("true"), None),
                ("id".to_owned(), some("9007199254740993"), some("9007199254740995")),
                ("name".to_owned(), some("\"a\""), some("\"b\"")),
                ("new".to_owned(), None, some("null")),
            ]
        );
    }

    #[test]
    fn without_both_there_is_nothing_to_compare() {
        assert_eq!(changes(r#"{"prechange": null, "postchange": {"a": 1}}"#), []);
        assert_eq!(changes("null"), []);
        assert_eq!(changes("not json"), []);
    }
}
