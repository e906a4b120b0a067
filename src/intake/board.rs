//! How the sources of events are, for the status page.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use serde::Serialize;

use crate::clock;
use crate::domain::time::Timestamp;

/// How a source is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SourceStatus {
    /// What keeps it from taking events; `None`: nothing does.
    pub problem: Option<String>,
    /// Events taken since the start.
    pub taken: u64,
    pub last_taken_at: Option<Timestamp>,
}

/// The sources by name. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<RwLock<BTreeMap<&'static str, SourceStatus>>>);

impl Board {
    pub fn all(&self) -> BTreeMap<&'static str, SourceStatus> {
        self.0.read().clone()
    }

    /// Events were taken: nothing keeps the source from it.
    pub fn took(&self, source: &'static str, events: usize) {
        let mut board = self.0.write();
        let status = board.entry(source).or_default();
        status.problem = None;
        if events > 0 {
            status.taken += events as u64;
            status.last_taken_at = Some(clock::now());
        }
    }

    /// Says what keeps it from taking events; whether that is news.
    pub fn hindered(&self, source: &'static str, problem: &str) -> bool {
        let mut board = self.0.write();
        let status = board.entry(source).or_default();
        let news = status.problem.as_deref() != Some(problem);
        status.problem = Some(problem.to_owned());
        news
    }
}
