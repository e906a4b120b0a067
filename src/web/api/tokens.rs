//! API tokens: `/api/tokens/`. The text of a token is shown once, when it is made.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::domain::time::Timestamp;
use crate::store::StoreError;
use crate::store::admin::{MAX_TOKEN_NAME, NewAudit, NewToken, Scope, Token, token_name};
use crate::web::State;
use crate::web::auth::{self, Admin, Allowed};
use crate::web::body::JsonObject;
use crate::web::error::{ApiError, FieldErrors};
use crate::web::external::own_url;
use crate::web::query::{Links, ListBody, Query, page_of};

#[derive(Serialize)]
struct TokenView {
    id: u32,
    name: String,
    scopes: Vec<Scope>,
    created: Timestamp,
    /// Only in the answer to its creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl From<Token> for TokenView {
    fn from(token: Token) -> Self {
        Self { id: token.id, name: token.name, scopes: token.scopes, created: token.created, token: None }
    }
}

/// `GET /api/tokens/`
pub async fn list(_auth: Allowed<Admin>, state: State, req: HttpRequest) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&req);
    let page = query.take_page()?;
    query.finish()?;
    let mut tokens = state.store.tokens().to_vec();
    tokens.sort_unstable_by_key(|token| token.id);
    let links = Links::new(own_url(&req, &state.config()), req.query_string());
    let listed = page_of(tokens, page, |token| i64::from(token.id));
    Ok(HttpResponse::Ok().json(ListBody::new(listed, &links, TokenView::from)))
}

/// `GET /api/tokens/{id}/`
pub async fn get(_auth: Allowed<Admin>, state: State, id: web::Path<u32>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(TokenView::from(find(&state, *id)?)))
}

/// `POST /api/tokens/`
pub async fn create(auth: Allowed<Admin>, state: State, body: JsonObject) -> Result<HttpResponse, ApiError> {
    let (token, text) = create_one(&state, &auth.token.name, body.0).await?;
    Ok(HttpResponse::Created().json(TokenView { token: Some(text), ..token.into() }))
}

/// A new token and its text, which nobody can tell later.
pub async fn create_one(state: &State, actor: &str, body: Map<String, Value>) -> Result<(Token, String), ApiError> {
    let (name, scopes) = read(body)?;
    let text = auth::generate();
    let audit = NewAudit {
        actor: actor.to_owned(),
        action: "token.create",
        target: format!("token {name}"),
        detail: json!({ "scopes": scopes }),
    };
    let made = state.store.create_token(NewToken { name, scopes, hash: auth::hash(&text) }, audit).await;
    let token = made.map_err(|error| match error {
        StoreError::Conflict(problem) => ApiError::field("name", problem),
        other => other.into(),
    })?;
    Ok((token, text))
}

/// `DELETE /api/tokens/{id}/`
pub async fn revoke(auth: Allowed<Admin>, state: State, id: web::Path<u32>) -> Result<HttpResponse, ApiError> {
    revoke_one(&state, &auth.token.name, *id).await?;
    Ok(HttpResponse::NoContent().finish())
}

pub async fn revoke_one(state: &State, actor: &str, id: u32) -> Result<(), ApiError> {
    let token = find(state, id)?;
    let audit = NewAudit {
        actor: actor.to_owned(),
        action: "token.revoke",
        target: format!("token {}", token.name),
        detail: json!({ "id": token.id }),
    };
    Ok(state.store.revoke_token(token.id, audit).await?)
}

fn find(state: &State, id: u32) -> Result<Token, ApiError> {
    let tokens = state.store.tokens();
    tokens.iter().find(|t| t.id == id).cloned().ok_or_else(|| ApiError::not_found(format!("token {id} does not exist")))
}

fn read(mut body: Map<String, Value>) -> Result<(String, Vec<Scope>), ApiError> {
    let mut problems = FieldErrors::new();
    let mut problem = |field: &str, text: String| problems.entry(field.to_owned()).or_default().push(text);
    let name = match body.remove("name") {
        Some(Value::String(name)) if token_name(&name).is_some() => name.trim().to_owned(),
        _ => {
            problem("name", format!("must be a string of 1 to {MAX_TOKEN_NAME} characters"));
            String::new()
        }
    };
    let scopes: Vec<Scope> = body.remove("scopes").and_then(|v| serde_json::from_value(v).ok()).unwrap_or_default();
    if scopes.is_empty() {
        let known = Scope::ALL.map(Scope::as_str).join(", ");
        problem("scopes", format!("must be a list of at least one of {known}"));
    }
    for unknown in body.keys() {
        problem(unknown, "is not a field of a token".to_owned());
    }
    if problems.is_empty() { Ok((name, scopes)) } else { Err(ApiError::fields(problems)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_of_a_body_is_named() {
        let body = |v: Value| v.as_object().cloned().expect("an object");
        let (name, scopes) = read(body(json!({"name": " ci ", "scopes": ["ingest", "read"]}))).expect("it is good");
        assert_eq!((name.as_str(), scopes), ("ci", vec![Scope::Ingest, Scope::Read]));
        let error = read(body(json!({"scopes": ["root"], "colour": 1}))).expect_err("it is bad").to_string();
        assert!(["name", "scopes", "colour"].iter().all(|field| error.contains(field)), "{error}");
    }
}
