//! Deliveries made beside intake's plan: resends and tests.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::params;

use super::accept::insert_event;
use super::body;
use super::destination;
use super::index;
use super::ledger::Entry;
use super::load::any_entry;
use super::ops::Op;
use super::places;
use super::queue::state_of;
use super::tx::Tx;
use crate::domain::attempt::{Attempt, ErrorKind, Outcome, Timings};
use crate::domain::delivery::DeliveryState;
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, EndpointId, EventSeq, MAX_FANOUT};
use crate::domain::time::Timestamp;
use crate::store::{NewEvent, Planned, StoreError, TestSlot};

/// A new delivery of a delivered one's event, at the end of its key. It has its row; the caller hands it to the ledger.
pub fn resend(tx: &mut Tx<'_>, id: DeliveryId) -> Result<(EndpointId, Entry), StoreError> {
    tx.spill_event(id.event()).map_err(|e| tx.error(e))?;
    let old = any_entry(tx.db, id).map_err(|e| tx.error(e))?;
    let old = old.ok_or_else(|| StoreError::NotFound("delivery".to_owned()))?;
    let (state, at) = state_of(tx, id)?.ok_or_else(|| StoreError::NotFound("delivery".to_owned()))?;
    if state != DeliveryState::Delivered {
        return Err(StoreError::Conflict("only a delivered delivery can be resent; retry the others".to_owned()));
    }
    let set = tx.definitions();
    let webhook = set.webhooks.binary_search_by_key(&old.webhook, |w| w.id).ok().map(|at| &set.webhooks[at]);
    let webhook = webhook.ok_or_else(|| StoreError::NotFound(format!("webhook {}", old.webhook)))?;
    let endpoint = destination::of(tx, webhook, id.event(), at)?;
    let place = free_place(tx, id.event())?;
    // Its sequence orders it behind everything accepted so far.
    let position = DeliveryId::new(tx.next_seq(), 0);
    super::ops::set_meta(tx.db, "next_seq", position.event().0 as i64 + 1).map_err(|e| tx.error(e))?;
    let new_id = DeliveryId::new(id.event(), place);
    let mut entry = Entry::new(new_id, old.webhook, Some(old.object_key), old.event_type, old.received);
    (entry.position, entry.rowed) = (position, true);
    tx.apply(Op::Open { endpoint, entry: entry.clone() }).map_err(|e| tx.error(e))?;
    tx.apply(Op::Resend { id: new_id, of: id, at: tx.now }).map_err(|e| tx.error(e))?;
    places::put(tx.db, endpoint, new_id).map_err(|e| tx.error(e))?;
    Ok((endpoint, entry))
}

/// The first place of an event that no delivery of it ever had.
fn free_place(tx: &Tx<'_>, seq: EventSeq) -> Result<u16, StoreError> {
    let range = seq.deliveries();
    let (last, places): (i64, i64) = tx
        .db
        .query_row(
            "SELECT coalesce((SELECT max(id) FROM delivery WHERE id BETWEEN ?1 AND ?2), ?1 - 1), places FROM event
             WHERE seq = ?3",
            params![range.start(), range.end(), seq.0 as i64],
            |r| Ok((r.get(0)?, r.get(1)?)),
        )
        .map_err(|e| tx.error(e))?;
    let place = (last + 1 - range.start()).max(places);
    let place = u16::try_from(place).ok().filter(|p| usize::from(*p) < MAX_FANOUT);
    place.ok_or_else(|| StoreError::Conflict("this event has no room for another delivery".to_owned()))
}

/// Sets a sequence aside for a test; also after a crash nothing else gets it.
pub fn reserve(tx: &mut Tx<'_>) -> Result<TestSlot, StoreError> {
    let seq = tx.next_seq();
    super::ops::set_meta(tx.db, "next_seq", seq.0 as i64 + 1).map_err(|e| tx.error(e))?;
    Ok(TestSlot { id: DeliveryId::new(seq, 0), received: tx.now })
}

/// Stores a request that was sent beside the queue: an event of its own with one ended delivery, counted apart.
pub fn test(
    tx: &mut Tx<'_>,
    slot: TestSlot,
    event: Arc<Event>,
    planned: Planned,
    attempt: Attempt,
) -> Result<(), StoreError> {
    let TestSlot { id, received } = slot;
    let body = body::compress(event.raw())?;
    // An empty plan: nothing of it is ever derived at a restart.
    let new = NewEvent::planned(event.clone(), Vec::new());
    insert_event(tx.db, id.event(), received, &new, Some(&body))
        .and_then(|()| index::insert(tx.db, id.event(), &event))
        .and_then(|()| places::put(tx.db, planned.endpoint, id))
        .map_err(|e| tx.error(e))?;
    let state = if attempt.succeeded() { DeliveryState::Delivered } else { DeliveryState::Failed };
    tx.db
        .execute(
            "INSERT INTO delivery(id, endpoint, webhook, state, attempts, finished, flags) VALUES(?1, ?2, ?3, ?4, 1, ?5, ?6)",
            params![id.0, planned.endpoint.0, planned.webhook.0, state.code(), tx.now.0, super::ops::TEST],
        )
        .map_err(|e| tx.error(e))?;
    tx.apply(Op::Attempt { id, number: 1, attempt: Box::new(attempt) }).map_err(|e| tx.error(e))?;
    tx.count_event();
    tx.count_test(planned.endpoint, planned.webhook, state);
    Ok(())
}

/// An attempt that could not be made because of a fault of ours.
pub fn never_sent(at: Timestamp, detail: &str) -> Attempt {
    Attempt {
        outcome: Outcome::Refused { kind: ErrorKind::Internal },
        started_at: at,
        timings: Timings { total: Duration::ZERO, ..Timings::default() },
        revision: 0,
        url: "".into(),
        remote_address: None,
        detail: Some(detail.to_owned()),
        response_headers: None,
        response_excerpt: Vec::new(),
        response_truncated: false,
    }
}
