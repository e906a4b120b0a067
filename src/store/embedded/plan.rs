//! The list of an event's deliveries inside its row: pairs of LEB128 numbers, webhook and endpoint.

use crate::domain::ids::{EndpointId, WebhookId};
use crate::store::Planned;

pub fn encode(plan: &[Planned]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plan.len() * 4);
    for planned in plan {
        put(&mut out, planned.webhook.0);
        put(&mut out, planned.endpoint.0);
    }
    out
}

/// `None` for bytes that are no plan.
pub fn decode(mut bytes: &[u8]) -> Option<Vec<Planned>> {
    let mut plan = Vec::new();
    while !bytes.is_empty() {
        let webhook = WebhookId(take(&mut bytes)?);
        let endpoint = EndpointId(take(&mut bytes)?);
        plan.push(Planned { webhook, endpoint });
    }
    Some(plan)
}

fn put(out: &mut Vec<u8>, mut n: u32) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u32> {
    let mut n = 0u32;
    for shift in (0..35).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u32::from(first & 0x7f).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_plan_reads_back(pairs in proptest::collection::vec((any::<u32>(), any::<u32>()), 0..50)) {
            let plan: Vec<_> = pairs.into_iter().map(|(w, e)| Planned { webhook: WebhookId(w), endpoint: EndpointId(e) }).collect();
            prop_assert_eq!(decode(&encode(&plan)), Some(plan));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }
}
