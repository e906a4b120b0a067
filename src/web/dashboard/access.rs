//! `access/`: tokens and users.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde_json::{Map, Value, json};

use super::confirm::Confirm;
use super::failure::Failure;
use super::form::Form;
use super::frame::{self, Frame, go, with_notice};
use super::session::Person;
use crate::domain::time::Timestamp;
use crate::store::accounts::{Role, User};
use crate::store::admin::{Scope, Token};
use crate::web::State;
use crate::web::api::{tokens, users};
use crate::web::auth::Admin;
use crate::web::error::ApiError;

#[derive(Template)]
#[template(path = "access.html")]
struct Access {
    frame: Frame,
    tokens: Vec<Token>,
    users: Vec<User>,
    scopes: [Scope; 4],
    roles: [Role; 3],
    /// The name and the text of a token that was just made.
    made: Option<(String, String)>,
    problem: Option<String>,
}

/// `GET …/access/`
pub async fn show(person: Person<Admin>, state: State, req: HttpRequest) -> Result<HttpResponse, Failure> {
    access(&person, &state, &req, (None, None))
}

fn access(
    person: &Person<Admin>,
    state: &State,
    req: &HttpRequest,
    (made, problem): (Option<(String, String)>, Option<String>),
) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(req, state, Some(&person.who)).page("access", "Tokens and users");
    let (tokens, users) = (state.store.tokens().to_vec(), state.store.users().to_vec());
    frame::page(&Access { frame, tokens, users, scopes: Scope::ALL, roles: Role::ALL, made, problem })
}

/// `POST …/access/tokens/`: the new token's text is on the answer, and nowhere afterwards.
pub async fn create_token(
    person: Person<Admin>,
    state: State,
    req: HttpRequest,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let body = json!({ "name": form.get("name"), "scopes": form.all("scope") });
    match tokens::create_one(&state, &person.who.name, object(body)).await {
        Ok((token, text)) => access(&person, &state, &req, (Some((token.name, text)), None)),
        Err(error) => said(error, |text| access(&person, &state, &req, (None, Some(text)))),
    }
}

/// `POST …/access/tokens/{id}/revoke/`
pub async fn revoke_token(
    person: Person<Admin>,
    state: State,
    req: HttpRequest,
    id: web::Path<u32>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who));
    let page = frame.at("/access/");
    if !form.has("sure") {
        let name = state.store.tokens().iter().find(|t| t.id == *id).map(|t| t.name.clone());
        let name = name.ok_or_else(|| ApiError::not_found(format!("token {id} does not exist")))?;
        let text = format!("Token \"{name}\" stops working at once, and for good.");
        return ask(
            frame.page("access", "Revoke this token?"),
            text,
            format!("/access/tokens/{id}/revoke/"),
            "Revoke it",
        );
    }
    match tokens::revoke_one(&state, &person.who.name, *id).await {
        Ok(()) => Ok(go(with_notice(&page, "revoked"))),
        Err(error) => said(error, |text| access(&person, &state, &req, (None, Some(text)))),
    }
}

fn ask(frame: Frame, text: String, action: String, button: &'static str) -> Result<HttpResponse, Failure> {
    let ask = Confirm {
        text: vec![text],
        warning: None,
        action: frame.at(&action),
        fields: Vec::new(),
        option: None,
        button,
        danger: true,
        back: frame.at("/access/"),
        frame,
    };
    ask.page()
}

/// `POST …/access/users/`
pub async fn create_user(
    person: Person<Admin>,
    state: State,
    req: HttpRequest,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let body = json!({ "name": form.get("name"), "role": form.get("role"), "password": form.get("password") });
    match users::create_one(&state, &person.who.name, object(body)).await {
        Ok(_) => Ok(go(with_notice(&here(&state), "created"))),
        Err(error) => said(error, |text| access(&person, &state, &req, (None, Some(text)))),
    }
}

/// `POST …/access/users/{id}/`: role, and the password if one is given.
pub async fn change_user(
    person: Person<Admin>,
    state: State,
    req: HttpRequest,
    id: web::Path<u32>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let mut body = object(json!({ "role": form.get("role") }));
    if !form.get("password").is_empty() {
        body.insert("password".to_owned(), form.get("password").into());
    }
    match users::change_one(&state, &person.who.name, *id, body).await {
        Ok(_) => Ok(go(with_notice(&here(&state), "changed"))),
        Err(error) => said(error, |text| access(&person, &state, &req, (None, Some(text)))),
    }
}

/// `POST …/access/users/{id}/delete/`
pub async fn delete_user(
    person: Person<Admin>,
    state: State,
    req: HttpRequest,
    id: web::Path<u32>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who));
    if !form.has("sure") {
        let name = state.store.users().iter().find(|u| u.id == *id).map(|u| u.name.clone());
        let name = name.ok_or_else(|| ApiError::not_found(format!("user {id} does not exist")))?;
        let text = format!("User \"{name}\" is logged out everywhere and cannot log in any more.");
        return ask(frame.page("access", "Delete this user?"), text, format!("/access/users/{id}/delete/"), "Delete");
    }
    users::delete_one(&state, &person.who.name, *id).await?;
    Ok(go(with_notice(&here(&state), "removed")))
}

fn here(state: &State) -> String {
    format!("{}{}/access/", state.config().server.base_path, super::PATH)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// What was typed wrong is said on the page; anything else is a failure.
fn said(error: ApiError, page: impl FnOnce(String) -> Result<HttpResponse, Failure>) -> Result<HttpResponse, Failure> {
    match actix_web::ResponseError::status_code(&error).as_u16() {
        400 | 409 => page(error.text()),
        _ => Err(error.into()),
    }
}

/// When it was made, for templates.
impl Access {
    fn when(&self, at: &Timestamp) -> String {
        self.frame.when(at)
    }
}
