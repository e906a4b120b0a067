//! Who is logged in by a proxy in front of us, see `auth.remote_user_header`.
//!
//! A page that a stranger visits begins a session for whom the proxy names, and is asked for again. Once: when the session
//! does not come along, because the visit comes from another site or the browser takes no cookie, the login page follows,
//! which has a button for the same. So does whoever logs out.

use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse};

use super::PATH;
use super::failure::Failure;
use super::frame;
use super::login::{add_cookie, begin};
use super::session::{self, COOKIE};
use crate::store::accounts::{Holder, User};
use crate::web::State;
use crate::web::auth;
use crate::web::external::{RemoteUser, remote_user};

/// The cookie that says for whom a session was begun just now: of what is no secret, other sites' visits bring it along.
const BEGUN: &str = "netbox_webhookd_begun";
/// How long it is kept, in seconds.
const BEGUN_FOR: i64 = 10;

/// What the login page says of the proxy.
pub enum Said {
    /// It names nobody.
    Nothing,
    /// Somebody with an account here.
    Known(String),
    /// Somebody without.
    Unknown(String),
    /// Different ones in one request.
    Several,
}

impl Said {
    pub fn of(req: &HttpRequest, state: &State) -> Self {
        match remote_user(req, &state.config()) {
            RemoteUser::Nobody => Self::Nothing,
            RemoteUser::Several => Self::Several,
            RemoteUser::Named(name) if account(req, state).is_some() => Self::Known(name),
            RemoteUser::Named(name) => Self::Unknown(name),
        }
    }
}

/// The account of whom the proxy names.
fn account(req: &HttpRequest, state: &State) -> Option<User> {
    let RemoteUser::Named(name) = remote_user(req, &state.config()) else { return None };
    state.store.users().iter().find(|user| user.name == name).cloned()
}

/// What a stranger gets instead of a page: a session and the page again, or the login page, at `login`.
pub async fn admit(req: &HttpRequest, state: &State, login: &str) -> Result<HttpResponse, Failure> {
    let ended = end(req, state).await?;
    let begun = |user: &User| req.cookie(BEGUN).is_some_and(|cookie| cookie.value() == user.id.to_string());
    if let Some(user) = account(req, state).filter(|user| is_visit(req) && (ended || !begun(user))) {
        let here = req.uri().path_and_query().map_or("", |path| path.as_str());
        let mark = mark(state, user.id.to_string());
        let mut answer = begin(req, state, (Holder::Remote(user.id), user.name), here.to_owned()).await?;
        add_cookie(&mut answer, &mark)?;
        return Ok(answer);
    }
    let mut answer = frame::go(login);
    if ended {
        for mut gone in [session::cookie(req, state, String::new()), mark(state, String::new())] {
            gone.make_removal();
            add_cookie(&mut answer, &gone)?;
        }
    }
    Ok(answer)
}

/// Ends the session that the proxy does not stand for any more; whether there was one.
async fn end(req: &HttpRequest, state: &State) -> Result<bool, Failure> {
    let Some(hash) = req.cookie(COOKIE).map(|cookie| auth::hash(cookie.value())) else { return Ok(false) };
    let ended = state.store.session(&hash).is_some_and(|session| matches!(session.holder, Holder::Remote(_)));
    if ended {
        state.store.close_session(hash).await?;
    }
    Ok(ended)
}

/// Whether a person asks for a page to look at, and not from another site: that brings no cookie of ours, also when there
/// is a session, which a new one would displace.
///
/// # Source
/// W3C Fetch Metadata; browsers send it over TLS only.
fn is_visit(req: &HttpRequest) -> bool {
    let header = |name| req.headers().get(name).and_then(|value| value.to_str().ok());
    req.method() == Method::GET
        && header("sec-fetch-site") != Some("cross-site")
        && header("sec-fetch-dest").is_none_or(|dest| dest == "document")
}

fn mark<'a>(state: &State, user: String) -> Cookie<'a> {
    Cookie::build(BEGUN, user)
        .path(format!("{}/admin/", state.config().server.base_path))
        .http_only(true)
        .same_site(SameSite::Lax)
        .max_age(actix_web::cookie::time::Duration::seconds(BEGUN_FOR))
        .finish()
}

/// The button of the login page.
pub async fn go_on(req: &HttpRequest, state: &State, next: String) -> Result<HttpResponse, Failure> {
    if session::who(req, state).is_some() {
        return Ok(frame::go(next));
    }
    match account(req, state) {
        Some(user) => begin(req, state, (Holder::Remote(user.id), user.name), next).await,
        // The proxy has changed its mind.
        None => Ok(frame::go(format!("{}{PATH}/login/", state.config().server.base_path))),
    }
}
