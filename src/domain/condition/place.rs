//! Where in a definition something stands: `or[1].and[0]`.

use std::fmt::Write as _;

/// Names the set's member `index` below `parent`.
pub(super) fn member(parent: &str, logic: &str, index: usize) -> String {
    let mut place = key(parent, logic);
    write!(place, "[{index}]").expect("writing to a string cannot fail");
    place
}

/// Names the key `name` below `parent`.
pub(super) fn key(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}
