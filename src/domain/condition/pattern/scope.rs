//! Refuses references to groups whose last capture is not certain.
//!
//! A group in a repeat or a look-around is captured again or forgotten while the engine goes back, and there engines
//! differ; a reference to it is only carried over from within the same part.

use super::ast::{Node, Repeat};

struct Scopes {
    /// Repeats and look-arounds around the current place, by number.
    path: Vec<usize>,
    opened: usize,
    /// The path at each capturing group.
    groups: Vec<(usize, Vec<usize>)>,
}

pub(super) fn check(tree: &Node) -> Result<(), String> {
    Scopes { path: Vec::new(), opened: 0, groups: Vec::new() }.visit(tree)
}

impl Scopes {
    fn visit(&mut self, node: &Node) -> Result<(), String> {
        match node {
            Node::Group { number, body } => {
                if let Some(number) = number {
                    self.groups.push((*number, self.path.clone()));
                }
                self.visit(body)
            }
            Node::Atomic(body) => self.visit(body),
            Node::Repeat(Repeat { body, .. }) | Node::Look { body, .. } => {
                self.opened += 1;
                self.path.push(self.opened);
                self.visit(body)?;
                self.path.pop();
                Ok(())
            }
            Node::Sequence(parts) | Node::Choice(parts) => parts.iter().try_for_each(|part| self.visit(part)),
            Node::Reference(number) => self.reference(*number),
            Node::Empty | Node::Char(_) | Node::Set(_) | Node::Any { .. } | Node::Anchor(_) => Ok(()),
        }
    }

    fn reference(&self, number: usize) -> Result<(), String> {
        let shared = self.groups.iter().any(|(group, path)| *group == number && self.path.starts_with(path));
        if shared {
            return Ok(());
        }
        Err(format!(
            "a reference to group {number} from outside of the repeat or look-around it is in is not supported"
        ))
    }
}
