//! Coalescing: folding what has not been sent yet into a newer event of the same object and webhook.

use super::event::EventType;

/// The event type of the folded delivery, or `None` where nothing is folded: a deletion is never folded away, nor is
/// created + deleted.
pub fn fold(older: EventType, newer: EventType) -> Option<EventType> {
    use EventType::{Created, Deleted, Updated};
    match (older, newer) {
        (Created, Updated) => Some(Created),
        (Updated, Updated) => Some(Updated),
        (Updated, Deleted) => Some(Deleted),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_whole_table() {
        use EventType::{Created, Deleted, JobEnded, JobStarted, Updated};
        for older in EventType::ALL {
            for newer in EventType::ALL {
                let expected = match (older, newer) {
                    (Created, Updated) => Some(Created),
                    (Updated, Updated) => Some(Updated),
                    (Updated, Deleted) => Some(Deleted),
                    (Created | Updated | Deleted | JobStarted | JobEnded, _) => None,
                };
                assert_eq!(fold(older, newer), expected, "{older:?} then {newer:?}");
            }
        }
    }

    proptest! {
        /// Whatever is folded, the receiver still learns that the object came and that it went.
        #[test]
        fn no_creation_and_no_deletion_is_ever_lost(kinds in prop::collection::vec(0usize..3, 1..40)) {
            let kinds: Vec<EventType> = kinds.into_iter().map(|k| EventType::ALL[k]).collect();
            let mut sent: Vec<EventType> = Vec::new();
            for newer in &kinds {
                match sent.last().and_then(|older| fold(*older, *newer)) {
                    Some(folded) => { sent.pop(); sent.push(folded); }
                    None => sent.push(*newer),
                }
            }
            let count = |of: EventType, list: &[EventType]| list.iter().filter(|k| **k == of).count();
            prop_assert_eq!(count(EventType::Created, &sent), count(EventType::Created, &kinds));
            prop_assert_eq!(count(EventType::Deleted, &sent), count(EventType::Deleted, &kinds));
        }
    }
}
