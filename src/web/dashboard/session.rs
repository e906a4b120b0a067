//! Who is looking: the session of a browser, and what its holder may do now.

use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::time::Duration;

use actix_web::cookie::{Cookie, SameSite};
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use super::PATH;
use super::failure::Failure;
use crate::clock;
use crate::domain::time::Timestamp;
use crate::store::accounts::{Holder, Session};
use crate::store::admin::Scope;
use crate::web::auth::{self, Needs};
use crate::web::external::{RemoteUser, is_https, remote_user};
use crate::web::{AppState, State};

/// The cookie that holds a session's secret.
pub const COOKIE: &str = "netbox_webhookd_session";
/// How long a login lasts.
pub const LIFETIME: Duration = Duration::from_secs(24 * 3_600);

/// Somebody who is logged in.
#[derive(Clone, Debug)]
pub struct Who {
    /// Of the user or the token: the actor of the audit log.
    pub name: String,
    scopes: Vec<Scope>,
    /// The secret that forms must repeat, see [`super::form`].
    pub csrf: String,
}

impl Who {
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    /// In templates: may retry, cancel, pause, resume, test.
    pub fn operates(&self) -> bool {
        self.allows(Scope::Operate)
    }

    /// In templates: may change definitions, tokens and users.
    pub fn administers(&self) -> bool {
        self.allows(Scope::Admin)
    }

    /// What the top bar calls them.
    pub fn role(&self) -> &'static str {
        match () {
            () if self.administers() => "admin",
            () if self.operates() => "operator",
            () => "viewer",
        }
    }
}

/// The holder of the request's session, if it is one in force.
pub fn who(req: &HttpRequest, state: &AppState) -> Option<Who> {
    let cookie = req.cookie(COOKIE)?;
    let session = state.store.session(&auth::hash(cookie.value()))?;
    if session.expires <= clock::now() {
        return None;
    }
    let (name, scopes) = match session.holder {
        Holder::User(id) | Holder::Remote(id) => {
            let users = state.store.users();
            let user = users.iter().find(|user| user.id == id)?;
            let remote = matches!(session.holder, Holder::Remote(_));
            if remote && remote_user(req, &state.config()) != RemoteUser::Named(user.name.clone()) {
                return None;
            }
            (user.name.clone(), user.role.scopes().to_vec())
        }
        Holder::Token(id) => {
            let tokens = state.store.tokens();
            let token = tokens.iter().find(|token| token.id == id)?;
            (token.name.clone(), token.scopes.clone())
        }
    };
    let who = Who { name, scopes, csrf: csrf_of(cookie.value()) };
    who.allows(Scope::Read).then_some(who)
}

/// What forms of this session repeat: derived from its secret, so nothing else is kept.
pub fn csrf_of(secret: &str) -> String {
    auth::hash(&format!("csrf {secret}"))[..16].iter().map(|b| format!("{b:02x}")).collect()
}

/// A new session and the secret of its cookie.
pub fn begin(holder: Holder) -> (Session, String) {
    let secret = auth::generate();
    let expires: Timestamp = clock::now() + LIFETIME;
    (Session { hash: auth::hash(&secret), holder, expires }, secret)
}

/// The session's cookie: sent by no other site and read by no script.
pub fn cookie<'a>(req: &HttpRequest, state: &State, secret: String) -> Cookie<'a> {
    let config = state.config();
    Cookie::build(COOKIE, secret)
        // What both of our paths have in common: NetBox beside us does not get it with every request.
        .path(format!("{}/admin/", config.server.base_path))
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(is_https(req, &config))
        .max_age(actix_web::cookie::time::Duration::seconds(LIFETIME.as_secs() as i64))
        .finish()
}

/// Extractor: somebody who may do `S`. Strangers are led to the login page and back.
pub struct Person<S: Needs> {
    pub who: Who,
    scope: PhantomData<S>,
}

impl<S: Needs> FromRequest for Person<S> {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let found = req.app_data::<State>().and_then(|state| Some((state, who(req, state)?)));
        ready(match found {
            Some((_, who)) if who.allows(S::SCOPE) => Ok(Self { who, scope: PhantomData }),
            Some((state, who)) => Err(Failure::forbidden(state, who, S::SCOPE)),
            None => Err(Failure::stranger(req)),
        })
    }
}

/// Where the login page leads back to: a page of ours, never another site.
pub fn safe_return(asked: &str, base: &str) -> Option<String> {
    let ours = [format!("{base}{PATH}/"), format!("{base}{}/", super::HOOKS)];
    // Escapes belong into the query: in a path they may stand for dots.
    let path = asked.split('?').next().unwrap_or_default();
    let plain =
        !asked.contains(['\\', '\r', '\n']) && !path.contains("//") && !path.contains("..") && !path.contains('%');
    (plain && ours.iter().any(|prefix| asked.starts_with(prefix.as_str()))).then(|| asked.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_page_leads_to_pages_of_ours_only() {
        let back = |asked: &str| safe_return(asked, "/hooks");
        assert!(back("/hooks/admin/webhook-backend-status/deliveries/?status=failed").is_some());
        assert!(back("/hooks/admin/extras/webhook/").is_some());
        for bad in [
            "https://evil.example/",
            "//evil.example/hooks/admin/webhook-backend-status/",
            "/hooks/admin/webhook-backend-status/../../x",
            "/hooks/admin/webhook-backend-status/%2e%2e/%2e%2e/x",
            "/admin/webhook-backend-status/",
            "/hooks/admin/webhook-backend-status/\r\nSet-Cookie: x",
        ] {
            assert_eq!(back(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_secret_of_forms_tells_nothing_of_the_session() {
        assert_ne!(csrf_of("a"), csrf_of("b"));
        assert_eq!(csrf_of("a").len(), 32);
        assert!(!auth::hash("a").iter().map(|b| format!("{b:02x}")).collect::<String>().starts_with(&csrf_of("a")));
    }
}
