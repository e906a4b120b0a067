//! NetBox's queue and the plugin's stream taken over from a real Redis: jobs that the real RQ enqueued, books that the real
//! RQ reads, events in a real stream. NetBox itself is only asked for definitions, by its REST API, which is scripted.

#[path = "../support/mod.rs"]
mod support;

mod crash;
mod import;
mod netbox;
mod queue;
mod redis;
mod rq;
mod stream;
mod ways;
