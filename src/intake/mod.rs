//! Events coming in, whatever the source: made into [`crate::domain::event::Event`]s, accepted, then acknowledged.

pub mod http;
mod split;

pub use http::{IntakeError, Refused, Request, accept};
