//! Evaluates as [`Node::holds`] does and keeps the reasons.

use super::node::Node;
use super::place;
use super::verdict::{Fault, Unmet};
use super::{MAX_UNMET, Subject};

impl Node {
    /// Whether the definition holds, collecting what does not; `place` is this node's.
    pub(super) fn explain(&self, subject: &Subject<'_>, place: &str, unmet: &mut Vec<Unmet>) -> Result<bool, Fault> {
        match self {
            Node::One(condition) => {
                let (holds, evidence) =
                    condition.holds(subject).map_err(|problem| Fault::new(place, condition, problem))?;
                if !holds && unmet.len() < MAX_UNMET {
                    unmet.push(Unmet::new(place, condition, &evidence));
                }
                Ok(holds)
            }
            Node::All(nodes) => {
                for (index, node) in nodes.iter().enumerate() {
                    if !node.explain(subject, &place::member(place, "and", index), unmet)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Node::Any(nodes) => {
                let before = unmet.len();
                for (index, node) in nodes.iter().enumerate() {
                    if node.explain(subject, &place::member(place, "or", index), unmet)? {
                        unmet.truncate(before);
                        return Ok(true);
                    }
                }
                if nodes.is_empty() && unmet.len() < MAX_UNMET {
                    unmet.push(Unmet::no_alternative(&place::key(place, "or")));
                }
                Ok(false)
            }
        }
    }
}
