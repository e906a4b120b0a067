//! Events coming in, whatever the source: made into [`crate::domain::event::Event`]s, accepted, then acknowledged.

pub mod board;
pub mod http;
pub mod netbox_queue;
mod redis;
pub mod redis_stream;
mod split;

pub use http::{IntakeError, Refused, Request, accept};
