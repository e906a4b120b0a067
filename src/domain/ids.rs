//! Identities and how they read outside.
//!
//! A delivery's row id is its event's sequence and its place in the event's plan, so an event's deliveries are
//! one range and need no index. The public form is a UUIDv7 (RFC 9562 §5.7) that encodes the same numbers
//! reversibly, so it needs none either.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::time::Timestamp;

/// Most deliveries one event may have: the last place stands for the event itself.
pub const MAX_FANOUT: usize = 65_535;
const EVENT_PLACE: u16 = u16::MAX;
/// Bits of the event sequence that fit a row id beside the 16 bits of the place.
const SEQ_MASK: u64 = (1 << 47) - 1;

macro_rules! numeric_id {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

numeric_id!(
    /// Position of an event in intake order; rises by commit, 47 bits.
    EventSeq, u64
);
numeric_id!(
    /// A webhook definition.
    WebhookId, u32
);
numeric_id!(
    /// A payload URL with its policy and state.
    EndpointId, u32
);

/// A delivery: event sequence × 65,536 + place in the event's plan. Orders as intake did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub i64);

impl DeliveryId {
    /// `place` is below [`MAX_FANOUT`]; the catalog refuses larger plans.
    pub const fn new(event: EventSeq, place: u16) -> Self {
        Self(((event.0 & SEQ_MASK) << 16) as i64 | place as i64)
    }

    pub const fn event(self) -> EventSeq {
        EventSeq((self.0 as u64) >> 16)
    }

    pub const fn place(self) -> u16 {
        self.0 as u16
    }

    /// The public id. `received` is when the event was accepted; only its milliseconds are kept.
    pub fn public(self, received: Timestamp) -> PublicId {
        PublicId::encode(received, self.event(), self.place())
    }
}

impl EventSeq {
    /// The public id, see [`DeliveryId::public`].
    pub fn public(self, received: Timestamp) -> PublicId {
        PublicId::encode(received, self, EVENT_PLACE)
    }

    /// The row ids its deliveries lie in.
    pub const fn deliveries(self) -> std::ops::RangeInclusive<i64> {
        DeliveryId::new(self, 0).0..=DeliveryId::new(self, EVENT_PLACE - 1).0
    }
}

/// What a public id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Event(EventSeq),
    Delivery(DeliveryId),
}

/// A UUIDv7 of an event or a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicId(pub Uuid);

impl PublicId {
    // 48 bits ms | 0111 | 12 bits: seq high | 10 | 62 bits: seq low 35, place 16, node 11 (0 on one node).
    fn encode(received: Timestamp, seq: EventSeq, place: u16) -> Self {
        let ms = received.as_millis().max(0) as u128 & ((1 << 48) - 1);
        let seq = (seq.0 & SEQ_MASK) as u128;
        let low = ((seq & ((1 << 35) - 1)) << 27) | ((place as u128) << 11);
        Self(Uuid::from_u128(ms << 80 | 0x7 << 76 | (seq >> 35) << 64 | 0b10 << 62 | low))
    }

    /// What it names, or `None` for a UUID we did not make.
    pub fn named(self) -> Option<Named> {
        let n = self.0.as_u128();
        if (n >> 76) & 0xf != 0x7 || (n >> 62) & 0b11 != 0b10 || n & 0x7ff != 0 {
            return None;
        }
        let seq = EventSeq((((n >> 64) & 0xfff) << 35 | (n >> 27) & ((1 << 35) - 1)) as u64);
        let place = (n >> 11) as u16;
        Some(if place == EVENT_PLACE { Named::Event(seq) } else { Named::Delivery(DeliveryId::new(seq, place)) })
    }

    /// The millisecond the event was accepted, as encoded.
    pub fn received_millis(self) -> i64 {
        (self.0.as_u128() >> 80) as i64
    }
}

impl fmt::Display for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl std::str::FromStr for PublicId {
    type Err = uuid::Error;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        s.parse().map(PublicId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_public_id_gives_back_what_it_encodes(ms in 0i64..1 << 47, seq in 0u64..1 << 47, place in 0u16..u16::MAX) {
            let at = Timestamp::from_millis(ms);
            let id = DeliveryId::new(EventSeq(seq), place);
            prop_assert_eq!(id.public(at).named(), Some(Named::Delivery(id)));
            prop_assert_eq!(id.public(at).0.get_version_num(), 7);
            prop_assert_eq!(id.public(at).received_millis(), ms);
            prop_assert_eq!(EventSeq(seq).public(at).named(), Some(Named::Event(EventSeq(seq))));
            prop_assert_eq!((id.event(), id.place()), (EventSeq(seq), place));
        }
    }

    #[test]
    fn a_foreign_uuid_names_nothing() {
        let foreign: PublicId = "0d534581-07c2-4521-bcab-ea4b2291bcad".parse().expect("a UUID");
        assert_eq!(foreign.named(), None);
    }
}
