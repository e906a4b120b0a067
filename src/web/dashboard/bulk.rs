//! `bulk-actions/`: retries and cancels by filter, and how far they are.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::deliveries::without_notice;
use super::failure::Failure;
use super::filters::Filters;
use super::form::Form;
use super::frame::{self, Frame, go};
use super::session::Person;
use super::show;
use crate::store::BulkKind;
use crate::store::admin::{BulkAction, BulkState};
use crate::web::State;
use crate::web::api::bulk_actions as api;
use crate::web::auth::{Operate, Read};
use crate::web::query::{Links, ListBody};

/// One action as a page shows it.
struct Shown {
    id: u32,
    what: &'static str,
    matched: u64,
    done: u64,
    skipped: u64,
    state: &'static str,
    colour: &'static str,
    running: bool,
    /// A `<time>` element.
    created: String,
}

impl Shown {
    fn new(bulk: &BulkAction, frame: &Frame) -> Self {
        let (state, running) = match bulk.state {
            BulkState::Running => ("running", true),
            BulkState::Finished => ("finished", false),
            BulkState::Canceled => ("canceled", false),
        };
        let what = match bulk.kind {
            BulkKind::Retry { skip_if_newer_delivered: false } => "retry",
            BulkKind::Retry { skip_if_newer_delivered: true } => "retry, unless a newer one was delivered",
            BulkKind::Cancel => "cancel",
        };
        Self {
            id: bulk.id,
            what,
            matched: bulk.matched,
            done: bulk.done,
            skipped: bulk.skipped,
            state,
            colour: show::colour(state),
            running,
            created: frame.when(&bulk.created),
        }
    }
}

#[derive(Template)]
#[template(path = "bulk_list.html")]
struct BulkList {
    frame: Frame,
    list: ListBody<Shown>,
}

#[derive(Template)]
#[template(path = "bulk.html")]
struct Bulk {
    frame: Frame,
    bulk: Shown,
}

/// `GET …/bulk-actions/`
pub async fn list(person: Person<Read>, state: State, req: HttpRequest) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("bulk", "Bulk actions");
    let (_, page) = Filters::of(&req)?;
    let listed = state.store.bulk_actions(page).await?;
    let links = Links::new(req.path().to_owned(), &without_notice(&req));
    let list = ListBody::new(listed, &links, |bulk| Shown::new(&bulk, &frame));
    frame::page(&BulkList { frame, list })
}

/// `GET …/bulk-actions/{id}/`
pub async fn get(
    person: Person<Read>,
    state: State,
    req: HttpRequest,
    id: web::Path<u32>,
) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("bulk", format!("Bulk action {id}"));
    let bulk = Shown::new(&state.store.bulk_action(*id).await?, &frame);
    frame::page(&Bulk { frame, bulk })
}

/// `POST …/bulk-actions/{id}/cancel/`: what is done stays done.
pub async fn cancel(
    person: Person<Operate>,
    state: State,
    id: web::Path<u32>,
    _form: Form,
) -> Result<HttpResponse, Failure> {
    api::cancel_one(&state, &person.who.name, *id).await?;
    Ok(go(format!("{}{}/bulk-actions/{id}/", state.config().server.base_path, super::PATH)))
}
