//! `service/`: nodes, sources of events, and the settings in force.

use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::failure::Failure;
use super::frame::{self, Frame};
use super::session::Person;
use crate::intake::board::SourceStatus;
use crate::web::State;
use crate::web::api::status;
use crate::web::auth::Read;

#[derive(Template)]
#[template(path = "service.html")]
struct Service {
    frame: Frame,
    status: status::Status,
    sources: Vec<(&'static str, SourceStatus)>,
    /// The effective configuration, secrets masked; for admins.
    settings: Option<String>,
}

/// `GET …/service/`
pub async fn show(person: Person<Read>, state: State, req: HttpRequest) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("service", "Nodes and settings");
    let status = status::now(&state);
    let sources = status.intake.clone().into_iter().collect();
    let settings = person.who.administers().then(|| crate::config::effective(&state.config()));
    frame::page(&Service { frame, status, sources, settings })
}
