//! The REST API as its users meet it: the real server, a scripted receiver, plain HTTP.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod dashboard;
mod definitions;
mod deliveries;
mod endpoints;
mod errors;
mod events;
mod failures;
mod faults;
mod limits;
mod lists;
mod panics;
mod remote_user;
mod service;
mod shown;
mod shutdown;
mod templates;
mod upkeep;
mod watching;
mod webhooks;
