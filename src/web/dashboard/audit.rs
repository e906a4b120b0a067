//! `audit/`: who changed what.

use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::deliveries::without_notice;
use super::failure::Failure;
use super::filters::Filters;
use super::frame::{self, Frame};
use super::session::Person;
use crate::store::admin::AuditEntry;
use crate::web::State;
use crate::web::auth::Read;
use crate::web::query::{Links, ListBody};

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit {
    frame: Frame,
    list: ListBody<AuditEntry>,
}

/// `GET …/audit/`
pub async fn list(person: Person<Read>, state: State, req: HttpRequest) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("audit", "Audit log");
    let (_, page) = Filters::of(&req)?;
    let listed = state.store.audit_log(page).await?;
    let links = Links::new(req.path().to_owned(), &without_notice(&req));
    frame::page(&Audit { frame, list: ListBody::new(listed, &links, |entry| entry) })
}
