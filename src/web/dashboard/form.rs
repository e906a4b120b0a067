//! What a form sends, taken only from a page of ours.

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderName, ORIGIN};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;

use super::failure::Failure;
use super::session::{COOKIE, csrf_of, who};
use crate::web::AppState;
use crate::web::body;
use crate::web::error::ApiError;
use crate::web::external::own_origin;
use crate::web::room::Room;

/// Largest form, in bytes: a webhook's template may have 1 MiB, and takes up to three times as much escaped.
const MAX_FORM: u64 = 4 << 20;
/// Largest form of a stranger: a login.
const MAX_STRANGERS_FORM: u64 = 16 << 10;
/// Most fields of a form.
const MAX_FIELDS: usize = 4_096;
/// Name of the field that repeats the session's secret.
const CSRF: &str = "csrf";
/// The cookie that stands for a session while there is none: on the login page.
pub const BEFORE_LOGIN: &str = "netbox_webhookd_login";

/// Extractor: the fields of a form that was sent from a page of ours.
#[derive(Debug)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// The value of a field; empty when it is missing.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// All values of a field.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }
}

impl FromRequest for Form {
    type Error = Failure;
    type Future = LocalBoxFuture<'static, Result<Self, Failure>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (req, payload) = (req.clone(), payload.take());
        Box::pin(async move {
            check_site(&req)?;
            let inside = req.app_data::<Data<AppState>>().is_some_and(|state| who(&req, state).is_some());
            let limit = if inside { MAX_FORM } else { MAX_STRANGERS_FORM };
            let body = body::read(req.headers(), payload, limit, &mut Room::uncounted()).await?;
            if form_urlencoded::parse(&body).nth(MAX_FIELDS).is_some() {
                return Err(ApiError::too_large(format!("the form has more than {MAX_FIELDS} fields")).into());
            }
            let form = Self(form_urlencoded::parse(&body).into_owned().collect());
            check_secret(&req, form.get(CSRF), inside)?;
            Ok(form)
        })
    }
}

/// Browsers say from where a form comes. What is no browser says nothing, and needs the secret all the same.
///
/// # Source
/// W3C Fetch Metadata, `Sec-Fetch-Site`.
fn check_site(req: &HttpRequest) -> Result<(), ApiError> {
    let header = |name: &HeaderName| req.headers().get(name).and_then(|value| value.to_str().ok());
    let foreign = match header(&HeaderName::from_static("sec-fetch-site")) {
        Some(site) => !matches!(site, "same-origin" | "none"),
        // Browsers without it send the origin with every form.
        None => match (header(&ORIGIN), req.app_data::<Data<AppState>>()) {
            (Some(origin), Some(state)) => own_origin(req, &state.config()) != origin,
            _ => false,
        },
    };
    if foreign { Err(refusal("it was sent from another site")) } else { Ok(()) }
}

/// With a session only its own secret counts: the other cookie may have been set by somebody else on this host. Except on the
/// login page, which may have come without the session's cookie, by a link on another site.
fn check_secret(req: &HttpRequest, given: &str, inside: bool) -> Result<(), ApiError> {
    let stranger = (!inside || req.path().ends_with("/login/")).then(|| req.cookie(BEFORE_LOGIN)).flatten();
    let cookies: Vec<_> = inside.then(|| req.cookie(COOKIE)).flatten().into_iter().chain(stranger).collect();
    match cookies.is_empty() {
        true => Err(refusal("your browser sent no cookie; log in again, and allow cookies for this page")),
        false if cookies.iter().any(|cookie| csrf_of(cookie.value()) == given) => Ok(()),
        false => Err(refusal("it is from an older page; load the page again and repeat it")),
    }
}

fn refusal(reason: &str) -> ApiError {
    ApiError::refused(format!("The form was not taken: {reason}."))
}
