//! Conditions on an object's state before and after a change (NetBox 4.7).

use serde_json::{Map, Value};

use super::Subject;
use super::verdict::Problem;
use super::walk::{EmptyList, Found};

/// The key under which the snapshots are reached by a path.
pub(super) const SNAPSHOTS: &str = "snapshots";
const BEFORE: &str = "prechange";
const AFTER: &str = "postchange";

/// Whether `keys` read a snapshot that this kind of event does not have, by a path that makes sense.
///
/// A created object has no `prechange` and a deleted one no `postchange`; such a path reads `null`. The rest of the
/// path has to lead somewhere in the other snapshot, so that a misspelt attribute is not taken for an absent one.
///
/// # Source
/// NetBox 4.7, `netbox/extras/conditions.py`.
pub(super) fn is_absent(keys: &[Box<str>], subject: &Subject<'_>) -> bool {
    let [first, which, rest @ ..] = keys else { return false };
    let Some(snapshots) = subject.snapshots() else { return false };
    let other = match &**which {
        BEFORE => AFTER,
        AFTER => BEFORE,
        _ => return false,
    };
    if &**first != SNAPSHOTS || snapshots.get(&**which) != Some(&Value::Null) {
        return false;
    }
    // `snapshots.prechange.` has an empty rest, which is none.
    let names_snapshot = matches!(rest, []) || matches!(rest, [only] if only.is_empty());
    match snapshots.get(other) {
        None | Some(Value::Null) => true,
        Some(_) if names_snapshot => true,
        Some(other) => Found::One(other).walk(rest, EmptyList::IsMissing).is_ok(),
    }
}

/// What `keys` lead to before and after the change; at least one side is there.
pub(super) fn both<'a>(
    keys: &'a [Box<str>],
    subject: &Subject<'a>,
) -> Result<(Option<Found<'a>>, Option<Found<'a>>), Problem<'a>> {
    let snapshots = subject.snapshots().ok_or(Problem::NoSnapshots)?;
    let (before, after) = (present(snapshots, BEFORE), present(snapshots, AFTER));
    if before.is_none() && after.is_none() {
        return Err(Problem::NoSnapshots);
    }
    let walk = |snapshot: Option<&'a Value>| Found::One(snapshot?).walk(keys, EmptyList::IsMissing).ok();
    match (walk(before), walk(after)) {
        (None, None) => Err(Problem::InNeitherSnapshot),
        sides => Ok(sides),
    }
}

fn present<'a>(snapshots: &'a Map<String, Value>, which: &str) -> Option<&'a Value> {
    snapshots.get(which).filter(|snapshot| !snapshot.is_null())
}
