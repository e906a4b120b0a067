//! Canceling a delivery, wherever it is: waiting in memory, waiting on disk, or in flight.

use super::ledger::{Entry, Ledger};
use super::load::any_entry;
use super::ops::{Ended, Op};
use super::queue::{look_up, state_of};
use super::shared::Shared;
use super::tx::Tx;
use crate::domain::delivery::DeliveryState;
use crate::domain::ids::{DeliveryId, EndpointId};
use crate::domain::time::Timestamp;
use crate::store::StoreError;

/// What became of an order to cancel.
pub enum Canceled {
    Now(EndpointId),
    /// It is in flight: nothing follows its attempt.
    WithItsAttempt(EndpointId),
}

impl Canceled {
    pub fn endpoint(self) -> EndpointId {
        match self {
            Self::Now(endpoint) | Self::WithItsAttempt(endpoint) => endpoint,
        }
    }
}

/// Cancels what waits; what is in flight ends with its attempt.
pub fn cancel(tx: &mut Tx<'_>, id: DeliveryId) -> Result<Canceled, StoreError> {
    let (_, endpoint) = look_up(tx, id)?;
    let ledger = tx.shared.ledger(endpoint);
    // Under the lock nobody starts or ends it; what ended before is drained, so that the row says what it is now.
    let mut ledger = ledger.lock();
    tx.drain().map_err(|e| tx.error(e))?;
    let state = state_of(tx, id)?.map_or(DeliveryState::Canceled, |(state, _)| state);
    if !state.unfinished() {
        return Err(StoreError::Conflict(format!("a delivery that is {} cannot be canceled", state.as_str())));
    }
    let entry = match ledger.cancel(id) {
        Some(None) => {
            tx.apply(Op::Canceling(id)).map_err(|e| tx.error(e))?;
            return Ok(Canceled::WithItsAttempt(endpoint));
        }
        Some(Some(entry)) => entry,
        None => {
            let row = any_entry(tx.db, id).map_err(|e| tx.error(e))?;
            let entry = row.ok_or_else(|| StoreError::NotFound("the event of this delivery".to_owned()))?;
            ledger.forget(id, entry.due.is_some());
            entry
        }
    };
    end_canceled_now(tx, &mut ledger, &entry)?;
    Ok(Canceled::Now(endpoint))
}

/// The same within the running transaction.
fn end_canceled_now(tx: &mut Tx<'_>, ledger: &mut Ledger, entry: &Entry) -> Result<(), StoreError> {
    ledger.touch(entry.id);
    tx.shared.ended(ledger.endpoint, entry.webhook, DeliveryState::Canceled);
    tx.tell(ledger.endpoint, entry, DeliveryState::Canceled);
    let ended = Ended::of(ledger.endpoint, entry, DeliveryState::Canceled, tx.now);
    tx.apply(Op::Final(Box::new(ended))).map_err(|e| tx.error(e))
}

/// A delivery that was canceled in flight came back unsent: that is its end.
pub fn end_canceled(shared: &Shared, ledger: &mut Ledger, entry: &Entry, now: Timestamp) {
    ledger.touch(entry.id);
    shared.ended(ledger.endpoint, entry.webhook, DeliveryState::Canceled);
    shared.changes.tell(|| entry.change(ledger.endpoint, DeliveryState::Canceled, None));
    shared.push(Op::Final(Box::new(Ended::of(ledger.endpoint, entry, DeliveryState::Canceled, now))));
}
