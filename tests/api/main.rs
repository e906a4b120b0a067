//! The REST API as its users meet it: the real server, a scripted receiver, plain HTTP.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod deliveries;
mod endpoints;
mod errors;
mod events;
mod service;
mod webhooks;
