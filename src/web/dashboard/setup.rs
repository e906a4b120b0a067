//! The first admin: a link that works once, for ten minutes after a start without users.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use parking_lot::Mutex;
use serde_json::{Map, Value};

use super::PATH;
use super::failure::Failure;
use super::form::Form;
use super::frame::{self, Frame};
use super::login::{add_cookie, before_login, begin};
use super::session::csrf_of;
use crate::clock;
use crate::domain::time::Timestamp;
use crate::store::accounts::Holder;
use crate::web::State;
use crate::web::api::users;
use crate::web::auth;
use crate::web::error::ApiError;

/// How long the link works.
pub const LIFETIME: Duration = Duration::from_secs(600);
/// Who made the first user, in the audit log.
const ACTOR: &str = "setup link";

/// The link in force, if there is one.
#[derive(Debug, Default)]
pub struct Link {
    // Set at the start, looked at by the pages that it opens.
    secret: Mutex<Option<([u8; 32], Timestamp)>>,
}

impl Link {
    /// A new link's path below `server.base_path`; an older one ends.
    pub fn make(&self) -> String {
        let secret = auth::generate();
        *self.secret.lock() = Some((auth::hash(&secret), clock::now() + LIFETIME));
        format!("{PATH}/setup/{secret}/")
    }

    fn fits(&self, secret: &str) -> bool {
        let kept = *self.secret.lock();
        kept.is_some_and(|(hash, until)| hash == auth::hash(secret) && clock::now() < until)
    }

    /// Takes the link, so that nobody else uses it meanwhile; what it gives is for [`give_back`](Self::give_back).
    fn take(&self) -> Option<([u8; 32], Timestamp)> {
        self.secret.lock().take()
    }

    /// Nobody was made with it; a newer link stays.
    fn give_back(&self, link: Option<([u8; 32], Timestamp)>) {
        let mut secret = self.secret.lock();
        if secret.is_none() {
            *secret = link;
        }
    }
}

#[derive(Template)]
#[template(path = "setup.html")]
struct Setup {
    frame: Frame,
    csrf: String,
    name: String,
    problem: Option<String>,
}

/// `GET …/setup/{secret}/`
pub async fn show(req: HttpRequest, state: State, secret: web::Path<String>) -> Result<HttpResponse, Failure> {
    check(&state, &secret)?;
    form_page(&req, &state, StatusCode::OK, (String::new(), None))
}

fn form_page(
    req: &HttpRequest,
    state: &State,
    status: StatusCode,
    (name, problem): (String, Option<String>),
) -> Result<HttpResponse, Failure> {
    let secret = auth::generate();
    let frame = Frame::new(req, state, None).page("login", "First admin");
    let page = Setup { frame, csrf: csrf_of(&secret), name, problem };
    let mut answer = frame::answer(status, &page)?;
    add_cookie(&mut answer, &before_login(req, state, secret))?;
    Ok(answer)
}

/// `POST …/setup/{secret}/`
pub async fn create(
    req: HttpRequest,
    state: State,
    secret: web::Path<String>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    check(&state, &secret)?;
    let name = form.get("name").to_owned();
    if form.get("password") != form.get("again") {
        let problem = Some("The two passwords differ.".to_owned());
        return form_page(&req, &state, StatusCode::BAD_REQUEST, (name, problem));
    }
    let mut body = Map::new();
    body.insert("name".to_owned(), Value::String(name.clone()));
    body.insert("role".to_owned(), Value::String("admin".to_owned()));
    body.insert("password".to_owned(), Value::String(form.get("password").to_owned()));
    let link = state.setup.take();
    let made = users::create_one(&state, ACTOR, body).await;
    if made.is_err() {
        state.setup.give_back(link);
    }
    match made {
        Ok(user) => {
            let next = format!("{}{PATH}/", state.config().server.base_path);
            begin(&req, &state, (Holder::User(user.id), user.name), next).await
        }
        Err(error) if error.of_fields().is_some() => {
            form_page(&req, &state, StatusCode::BAD_REQUEST, (name, Some(error.text())))
        }
        Err(error) => Err(error.into()),
    }
}

fn check(state: &State, secret: &str) -> Result<(), ApiError> {
    if state.setup.fits(secret) && state.store.users().is_empty() {
        return Ok(());
    }
    let detail = "This link was used or is over: it works once, for ten minutes after a start. Restart the service for a \
                  new one, or run: netbox-webhookd user create NAME --role admin";
    Err(ApiError::not_found(detail))
}
