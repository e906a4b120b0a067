//! In and out: `login/`, `logout/` and the choice of light or dark.

use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde_json::{Value, json};

use super::PATH;
use super::backoff::Key;
use super::failure::Failure;
use super::form::{BEFORE_LOGIN, Form};
use super::frame::{self, Frame, THEME};
use super::remote::{self, Said};
use super::session::{self, COOKIE, csrf_of, safe_return};
use crate::clock;
use crate::store::accounts::Holder;
use crate::store::admin::{NewAudit, Scope};
use crate::web::State;
use crate::web::auth;
use crate::web::error::ApiError;
use crate::web::external::{client_ip, is_https, peer_ip};
use crate::web::passwords::{self, Verdict};

#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    frame: Frame,
    csrf: String,
    next: String,
    problem: Option<String>,
    /// What was typed before.
    name: String,
    /// There are accounts with passwords at all.
    users: bool,
    /// Of the proxy in front.
    said: Said,
}

/// `GET …/login/`
pub async fn show(req: HttpRequest, state: State) -> Result<HttpResponse, Failure> {
    let next = asked(&req, &state);
    if session::who(&req, &state).is_some() {
        return Ok(frame::go(next));
    }
    login_page(&req, &state, StatusCode::OK, (None, String::new(), next))
}

fn asked(req: &HttpRequest, state: &State) -> String {
    let pairs = form_urlencoded::parse(req.query_string().as_bytes());
    let next = pairs.filter(|(key, _)| key == "next").map(|(_, value)| value.into_owned()).last();
    let base = state.config().server.base_path.clone();
    next.and_then(|next| safe_return(&next, &base)).unwrap_or_else(|| format!("{base}{PATH}/"))
}

/// The page with the cookie that its form needs.
fn login_page(
    req: &HttpRequest,
    state: &State,
    status: StatusCode,
    (problem, name, next): (Option<String>, String, String),
) -> Result<HttpResponse, Failure> {
    let known = req.cookie(BEFORE_LOGIN).map(|cookie| cookie.value().to_owned()).filter(|value| value.len() == 64);
    let secret = known.unwrap_or_else(auth::generate);
    let csrf = csrf_of(&secret);
    let frame = Frame::new(req, state, None).page("login", "Log in");
    let users = !state.store.users().is_empty();
    let mut answer =
        frame::answer(status, &Login { frame, csrf, next, problem, name, users, said: Said::of(req, state) })?;
    add_cookie(&mut answer, &before_login(req, state, secret))?;
    Ok(answer)
}

/// The cookie that stands for a session on pages without one.
pub fn before_login<'a>(req: &HttpRequest, state: &State, secret: String) -> Cookie<'a> {
    Cookie::build(BEFORE_LOGIN, secret)
        .path(format!("{}{PATH}/", state.config().server.base_path))
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(is_https(req, &state.config()))
        .finish()
}

/// `POST …/login/`: a name with its password, an API token, or whom the proxy in front names.
pub async fn enter(req: HttpRequest, state: State, form: Form) -> Result<HttpResponse, Failure> {
    let (name, now) = (form.get("name").trim().to_owned(), clock::now());
    let base = state.config().server.base_path.clone();
    let next = safe_return(form.get("next"), &base).unwrap_or_else(|| format!("{base}{PATH}/"));
    if form.has("remote") {
        return remote::go_on(&req, &state, next).await;
    }
    let address = client_ip(&req, &state.config()).map_or_else(String::new, |ip| ip.to_string());
    let by_name = form.get("token").trim().is_empty();
    let mut keys = vec![Key::address(&address)];
    if by_name {
        keys.extend([Key::name_at(&name, &address), Key::name(&name)]);
    }
    if let Err(wait) = state.logins.book(&keys, now) {
        let seconds = wait.as_millis().div_ceil(1_000);
        let problem = format!("Too many failed attempts. Try again in {seconds} s.");
        let mut page = login_page(&req, &state, StatusCode::TOO_MANY_REQUESTS, (Some(problem), name, next))?;
        page.headers_mut().insert(actix_web::http::header::RETRY_AFTER, (seconds as u64).into());
        return Ok(page);
    }
    match identify(&state, &form, &name).await {
        Ok((holder, actor)) => {
            state.logins.take_back(&keys);
            if by_name {
                state.logins.forget(Key::name_at(&name, &address));
            }
            begin(&req, &state, (holder, actor), next).await
        }
        Err(Denied::Busy) => {
            state.logins.take_back(&keys);
            let problem = "Too many people log in at this moment. Try again.".to_owned();
            login_page(&req, &state, StatusCode::SERVICE_UNAVAILABLE, (Some(problem), name, next))
        }
        Err(Denied::Wrong(problem)) => {
            tracing::warn!(client.address = %address, "a login to the dashboard failed");
            login_page(&req, &state, StatusCode::UNAUTHORIZED, (Some(problem), name, next))
        }
    }
}

/// Why somebody is not let in.
enum Denied {
    Wrong(String),
    /// Nobody has looked.
    Busy,
}

impl From<&str> for Denied {
    fn from(problem: &str) -> Self {
        Self::Wrong(problem.to_owned())
    }
}

/// Whose credentials these are, or what the page says.
async fn identify(state: &State, form: &Form, name: &str) -> Result<(Holder, String), Denied> {
    let token = form.get("token").trim();
    if !token.is_empty() {
        let found = state.tokens.find(&state.store.tokens(), token);
        let token = found.ok_or("This token is not known.")?;
        if !token.allows(Scope::Read) {
            return Err("This token may not look at anything: it lacks the scope \"read\".".into());
        }
        return Ok((Holder::Token(token.id), token.name.clone()));
    }
    if name.is_empty() {
        return Err("Give a name and a password, or an API token.".into());
    }
    let user = state.store.users().iter().find(|user| user.name == name).cloned();
    let kept = user.as_ref().map(|user| user.password.clone());
    let verdict = match form.get("password").len() <= passwords::MAX_LENGTH {
        true => passwords::verify(form.get("password").to_owned(), kept).await,
        false => Verdict::Wrong,
    };
    match (verdict, user) {
        (Verdict::Fits, Some(user)) => Ok((Holder::User(user.id), user.name)),
        (Verdict::Busy, _) => Err(Denied::Busy),
        _ => Err("Name and password do not fit.".into()),
    }
}

/// Logs somebody in and leads to `next`.
pub async fn begin(
    req: &HttpRequest,
    state: &State,
    (holder, actor): (Holder, String),
    next: String,
) -> Result<HttpResponse, Failure> {
    let (session, secret) = session::begin(holder);
    let detail = match holder {
        Holder::Remote(_) => json!({ "named_by": peer_ip(req).map(|ip| ip.to_string()) }),
        Holder::User(_) | Holder::Token(_) => Value::Null,
    };
    let audit = NewAudit { target: format!("session of {actor}"), actor, action: "session.open", detail };
    state.store.open_session(session, audit).await?;
    let mut answer = frame::go(next);
    add_cookie(&mut answer, &session::cookie(req, state, secret))?;
    Ok(answer)
}

/// `POST …/logout/`
pub async fn leave(req: HttpRequest, state: State, _form: Form) -> Result<HttpResponse, Failure> {
    if let Some(cookie) = req.cookie(COOKIE) {
        state.store.close_session(auth::hash(cookie.value())).await?;
    }
    let base = state.config().server.base_path.clone();
    let mut answer = frame::go(format!("{base}{PATH}/login/?notice=logged-out"));
    let mut gone = session::cookie(&req, &state, String::new());
    gone.make_removal();
    add_cookie(&mut answer, &gone)?;
    Ok(answer)
}

/// `POST …/theme/`: light, dark or as the system has it.
pub async fn theme(req: HttpRequest, state: State, form: Form) -> Result<HttpResponse, Failure> {
    let chosen = match form.get("theme") {
        theme @ ("light" | "dark") => theme.to_owned(),
        _ => "auto".to_owned(),
    };
    let base = state.config().server.base_path.clone();
    let next = safe_return(form.get("return"), &base).unwrap_or_else(|| format!("{base}{PATH}/"));
    let mut answer = frame::go(next);
    let cookie = Cookie::build(THEME, chosen)
        .path(format!("{base}/admin/"))
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(is_https(&req, &state.config()))
        .permanent()
        .finish();
    add_cookie(&mut answer, &cookie)?;
    Ok(answer)
}

pub fn add_cookie(answer: &mut HttpResponse, cookie: &Cookie<'_>) -> Result<(), Failure> {
    answer.add_cookie(cookie).map_err(|e| ApiError::bad_request(e.to_string()).into())
}
