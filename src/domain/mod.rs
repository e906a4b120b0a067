//! What the words mean: plain values and pure rules, without I/O, clock or actor.

pub mod attempt;
pub mod backoff;
pub mod breaker;
pub mod change;
pub mod coalesce;
pub mod condition;
pub mod credentials;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod ids;
pub mod models;
pub mod payload_url;
pub mod policy;
pub mod retry;
pub mod time;
pub mod webhook;
