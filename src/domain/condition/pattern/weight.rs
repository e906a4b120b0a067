//! How much room a compiled pattern takes, estimated before it is compiled.

use super::ast::{Anchor, CharSet, Kind, Node, Repeat};

/// The most one pattern may weigh.
pub(super) const MAX_WEIGHT: u64 = 8_192;
/// `[\p{L}\p{N}_]`, some 60 KiB when compiled.
const UNICODE_WORD: u64 = 64;

/// Returns an upper estimate in KiB: counted repeats are written out when compiled.
pub(super) fn of(node: &Node) -> u64 {
    match node {
        Node::Empty | Node::Char(_) | Node::Any { .. } | Node::Reference(_) => 1,
        Node::Anchor(Anchor::Word { ascii: false, .. }) => 4 * UNICODE_WORD,
        Node::Anchor(_) => 1,
        Node::Set(set) => of_set(set),
        Node::Group { body, .. } | Node::Look { body, .. } | Node::Atomic(body) => of(body).saturating_add(1),
        Node::Repeat(Repeat { body, min, max, .. }) => {
            of(body).saturating_mul(u64::from(max.unwrap_or(*min).max(*min).max(1))).saturating_add(1)
        }
        Node::Sequence(parts) | Node::Choice(parts) => parts.iter().map(of).fold(0, u64::saturating_add),
    }
}

fn of_set(set: &CharSet) -> u64 {
    let categories = set.categories.iter().map(|category| match (category.kind, category.ascii) {
        (_, true) => 1,
        (Kind::Word, false) => UNICODE_WORD,
        (Kind::Digit, false) => UNICODE_WORD / 4,
        (Kind::Space, false) => 2,
    });
    // A few ranges fit into one KiB.
    1 + categories.sum::<u64>() + set.ranges.len() as u64 / 4
}
