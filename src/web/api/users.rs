//! Accounts of the dashboard: `/api/users/`. Passwords go in and never come out.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::domain::time::Timestamp;
use crate::store::StoreError;
use crate::store::accounts::{NewUser, Role, User, UserChange};
use crate::store::admin::{MAX_TOKEN_NAME, NewAudit, token_name};
use crate::web::State;
use crate::web::auth::{Admin, Allowed};
use crate::web::body::JsonObject;
use crate::web::error::{ApiError, FieldErrors};
use crate::web::external::own_url;
use crate::web::passwords;
use crate::web::query::{Links, ListBody, Query, page_of};

#[derive(Serialize)]
struct UserView {
    id: u32,
    name: String,
    role: Role,
    created: Timestamp,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self { id: user.id, name: user.name, role: user.role, created: user.created }
    }
}

/// `GET /api/users/`
pub async fn list(_auth: Allowed<Admin>, state: State, req: HttpRequest) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&req);
    let page = query.take_page()?;
    query.finish()?;
    let links = Links::new(own_url(&req, &state.config()), req.query_string());
    let listed = page_of(state.store.users().to_vec(), page, |user| i64::from(user.id));
    Ok(HttpResponse::Ok().json(ListBody::new(listed, &links, UserView::from)))
}

/// `GET /api/users/{id}/`
pub async fn get(_auth: Allowed<Admin>, state: State, id: web::Path<u32>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(UserView::from(find(&state, *id)?)))
}

/// `POST /api/users/`
pub async fn create(auth: Allowed<Admin>, state: State, body: JsonObject) -> Result<HttpResponse, ApiError> {
    let user = create_one(&state, &auth.token.name, body.0).await?;
    Ok(HttpResponse::Created().json(UserView::from(user)))
}

/// `PATCH /api/users/{id}/`: role and password; a new password ends the user's sessions.
pub async fn change(
    auth: Allowed<Admin>,
    state: State,
    id: web::Path<u32>,
    body: JsonObject,
) -> Result<HttpResponse, ApiError> {
    let user = change_one(&state, &auth.token.name, *id, body.0).await?;
    Ok(HttpResponse::Ok().json(UserView::from(user)))
}

/// `DELETE /api/users/{id}/`
pub async fn delete(auth: Allowed<Admin>, state: State, id: web::Path<u32>) -> Result<HttpResponse, ApiError> {
    delete_one(&state, &auth.token.name, *id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `body`: `name`, `role`, `password`.
pub async fn create_one(state: &State, actor: &str, body: Map<String, Value>) -> Result<User, ApiError> {
    let mut fields = Fields::new(body);
    let name = fields.name();
    let (role, password) = (fields.role(), fields.password());
    for (field, missing) in [("role", role.is_none()), ("password", password.is_none())] {
        if missing && !fields.problems.contains_key(field) {
            fields.problem(field, "is required");
        }
    }
    fields.finish()?;
    // What is missing is a problem by now.
    let (Some(name), Some(role), Some(password)) = (name, role, password) else {
        return Err(ApiError::bad_request("name, role and password are required"));
    };
    let audit = audit(actor, "user.create", &name, json!({ "role": role }));
    let made = state.store.create_user(NewUser { name, role, password: hash(password).await? }, audit).await;
    made.map_err(|error| match error {
        StoreError::Conflict(problem) => ApiError::field("name", problem),
        other => other.into(),
    })
}

/// `body`: `role`, `password`, or one of them.
pub async fn change_one(state: &State, actor: &str, id: u32, body: Map<String, Value>) -> Result<User, ApiError> {
    let user = find(state, id)?;
    let mut fields = Fields::new(body);
    let (role, password) = (fields.role(), fields.password());
    fields.finish()?;
    let detail = json!({ "role": role, "password": password.as_ref().map(|_| "changed") });
    let password = match password {
        Some(password) => Some(hash(password).await?),
        None => None,
    };
    let audit = audit(actor, "user.update", &user.name, detail);
    Ok(state.store.change_user(id, UserChange { role, password }, audit).await?)
}

pub async fn delete_one(state: &State, actor: &str, id: u32) -> Result<(), ApiError> {
    let user = find(state, id)?;
    Ok(state.store.delete_user(id, audit(actor, "user.delete", &user.name, Value::Null)).await?)
}

async fn hash(password: String) -> Result<String, ApiError> {
    let gone = || ApiError::unavailable("the service ends", std::time::Duration::from_secs(1));
    passwords::make(password).await.ok_or_else(gone)
}

fn find(state: &State, id: u32) -> Result<User, ApiError> {
    let found = state.store.users().iter().find(|user| user.id == id).cloned();
    found.ok_or_else(|| ApiError::not_found(format!("user {id} does not exist")))
}

fn audit(actor: &str, action: &'static str, user: &str, detail: Value) -> NewAudit {
    NewAudit { actor: actor.to_owned(), action, target: format!("user {user}"), detail }
}

/// The fields of a body, with what is wrong with them.
struct Fields {
    body: Map<String, Value>,
    problems: FieldErrors,
}

impl Fields {
    fn new(body: Map<String, Value>) -> Self {
        Self { body, problems: FieldErrors::new() }
    }

    fn problem(&mut self, field: &str, text: impl Into<String>) {
        self.problems.entry(field.to_owned()).or_default().push(text.into());
    }

    fn name(&mut self) -> Option<String> {
        let given = self.body.remove("name");
        let name = given.as_ref().and_then(Value::as_str).and_then(token_name).map(str::to_owned);
        if name.is_none() {
            self.problem("name", format!("must be a string of 1 to {MAX_TOKEN_NAME} characters"));
        }
        name
    }

    fn role(&mut self) -> Option<Role> {
        let given = self.body.remove("role")?;
        let role: Option<Role> = serde_json::from_value(given).ok();
        if role.is_none() {
            self.problem("role", "must be one of viewer, operator, admin");
        }
        role
    }

    fn password(&mut self) -> Option<String> {
        let given = self.body.remove("password")?;
        let Value::String(password) = given else {
            self.problem("password", "must be a string");
            return None;
        };
        if let Some(objection) = passwords::objection(&password) {
            self.problem("password", objection);
            return None;
        }
        Some(password)
    }

    fn finish(mut self) -> Result<(), ApiError> {
        let unknown: Vec<String> = self.body.keys().cloned().collect();
        for field in unknown {
            self.problem(&field, "is not a field of a user");
        }
        if self.problems.is_empty() { Ok(()) } else { Err(ApiError::fields(self.problems)) }
    }
}
