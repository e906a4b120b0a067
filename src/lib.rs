//! A standalone webhook backend for NetBox: events come in, each is matched to webhooks, stored, and
//! sent in order by one actor per payload URL.
//!
//! # The map of the house
//!
//! A file imports only from its own layer and from lower ones; `tests/layering.rs` checks it.
//!
//! | layer | modules | what lives there |
//! | --- | --- | --- |
//! | L0 | [`domain`], [`clock`], [`crash`] | what the words mean, pure; the only place that reads the time; where tests stop us |
//! | L1 | [`config`], [`render`], [`rest`], [`signing`], [`telemetry`] | settings, bodies, clients, signatures, logs and metrics |
//! | L2 | [`store`], [`sender`], [`catalog`], [`netbox`] | what is on disk, what goes over the wire, what is defined here and in NetBox |
//! | L3 | [`dispatch`] | the actors and the pure endpoint queue |
//! | L4 | [`intake`] | events coming in |
//! | L5 | [`web`] | every route |
//! | L6 | [`server`], [`cli`] | composition |
//!
//! Three sentences carry the design: the store is the truth and messages are hints; order lives in the store and
//! pace in the actor; decide in pure functions, act in thin shells.

pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crash;
pub mod dispatch;
pub mod domain;
pub mod intake;
pub mod netbox;
pub mod render;
pub mod rest;
pub mod sender;
pub mod server;
pub mod signing;
pub mod store;
pub mod telemetry;
pub mod web;
