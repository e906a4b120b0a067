//! State changes for those who look on.

use tokio::sync::broadcast;

use crate::domain::change::StateChange;

/// Changes that a slow follower may lag behind.
const KEPT: usize = 8_192;

/// Where changes are told. Nothing is made or kept while nobody follows; one that follows too slowly loses some, and is
/// told so.
#[derive(Clone, Debug)]
pub struct Changes(broadcast::Sender<StateChange>);

impl Default for Changes {
    fn default() -> Self {
        Self(broadcast::Sender::new(KEPT))
    }
}

impl Changes {
    /// Changes from now on.
    pub fn follow(&self) -> broadcast::Receiver<StateChange> {
        self.0.subscribe()
    }

    /// Whether anybody follows.
    pub fn followed(&self) -> bool {
        self.0.receiver_count() > 0
    }

    pub fn tell(&self, change: impl FnOnce() -> StateChange) {
        if self.followed() {
            // The last follower may have gone this moment.
            let _ = self.0.send(change());
        }
    }
}
