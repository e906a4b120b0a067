//! What the test programs and the benchmarks share: the real server in a process of its own, receivers that misbehave
//! on request, a small HTTP client, and waiting for facts.
//!
//! Everything here is plain threads and blocking calls, so it works from `#[test]` and from async tests alike.
//!
//! ```ignore
//! #[path = "../support/mod.rs"]
//! mod support;
//!
//! let receiver = Receiver::script([reply(503), reply(200)]);
//! let server = TestServer::start();
//! server.create_webhook(webhook("sites", &receiver.url("/hook")));
//! server.emit(&site_event("updated", 7, json!({"name": "a"})));
//! receiver.wait_for(2);
//! ```
#![allow(dead_code, unused_imports, reason = "each test program uses its own part")]

pub mod clock;
pub mod events;
pub mod http;
pub mod ports;
pub mod python;
pub mod receiver;
pub mod server;

pub use clock::{Pacer, now, try_until, wait_until, wall_micros};
pub use events::{event_of, site_event, webhook, webhook_of};
pub use http::{Answer, Client};
pub use receiver::{Received, Receiver, Reply, close, drip, hang, reply, reset};
pub use server::{Options, TestServer};
