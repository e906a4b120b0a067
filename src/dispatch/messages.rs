//! Every message between the actors. Commands are imperative, facts past tense.

use std::sync::Arc;

use actix::{Addr, Message};

use super::Inspection;
use super::endpoint::EndpointActor;
use crate::domain::ids::EndpointId;

/// To the router: these endpoints may have work, or orders. From the store once per commit.
#[derive(Message)]
#[rtype(result = "()")]
pub struct WakeEndpoints(pub Vec<EndpointId>);

/// To the router: definitions or configuration changed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CatalogReplaced;

/// To the router: where is this endpoint, if it runs?
#[derive(Message)]
#[rtype(result = "Option<Addr<EndpointActor>>")]
pub struct Locate(pub EndpointId);

/// To the router, from an endpoint: nothing is left to do since the wake so counted.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Idle {
    pub endpoint: EndpointId,
    pub wakes_seen: u64,
}

/// To the router: start nothing more, anywhere; answers with everyone who runs.
#[derive(Message)]
#[rtype(result = "Vec<Addr<EndpointActor>>")]
pub struct StopStarting;

/// To an endpoint: look at the store.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Wake;

/// To an endpoint: you are forgotten, end.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Retire;

/// To an endpoint: start nothing more; answered when nothing is in flight.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Drain;

/// To an endpoint: your state is broken by a fault of ours, end; the router starts another.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Crashed;

/// To an endpoint: how are you?
#[derive(Message)]
#[rtype(result = "Option<Arc<Inspection>>")]
pub struct Inspect;
