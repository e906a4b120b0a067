//! What a page says when it cannot say what was asked.

use std::fmt;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use askama::Template;

use super::PATH;
use super::frame::{self, Frame};
use super::remote;
use super::session::{self, Who};
use crate::store::StoreError;
use crate::store::admin::Scope;
use crate::web::State;
use crate::web::error::ApiError;

/// An answer that is not the page.
#[derive(Debug)]
pub enum Failure {
    /// To the login page, and back afterwards.
    Login(String),
    /// A page that says why.
    Page { status: StatusCode, detail: String, retry_after: Option<String> },
}

impl Failure {
    /// Nobody is logged in.
    pub fn stranger(req: &HttpRequest) -> Self {
        let Some(state) = req.app_data::<State>() else { return Self::broken("the service is not ready") };
        let base = state.config().server.base_path.clone();
        let here = req.uri().path_and_query().map_or("", |p| p.as_str());
        let next: String = form_urlencoded::byte_serialize(here.as_bytes()).collect();
        // A form that was sent cannot be sent again by a redirect.
        let next = if req.method().is_safe() { format!("?next={next}") } else { String::new() };
        Self::Login(format!("{base}{PATH}/login/{next}"))
    }

    /// Somebody is, who may not do that.
    pub fn forbidden(_state: &State, who: Who, needed: Scope) -> Self {
        let role = match needed {
            Scope::Admin => "an admin",
            Scope::Operate => "an operator",
            Scope::Read | Scope::Ingest => "a viewer",
        };
        let detail = format!("{} is logged in as {}; this needs {role}.", who.name, who.role());
        Self::Page { status: StatusCode::FORBIDDEN, detail, retry_after: None }
    }

    /// A fault of ours.
    pub fn broken(detail: impl Into<String>) -> Self {
        Self::Page { status: StatusCode::INTERNAL_SERVER_ERROR, detail: detail.into(), retry_after: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login(_) => f.write_str("nobody is logged in"),
            Self::Page { status, detail, .. } => write!(f, "{status}: {detail}"),
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let retry_after = error.retry_after().map(str::to_owned);
        Self::Page { status: error.status_code(), detail: error.text(), retry_after }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        ApiError::from(error).into()
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Login(_) => StatusCode::SEE_OTHER,
            Self::Page { status, .. } => *status,
        }
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            Self::Login(url) => frame::go(url.as_str()),
            // [`explain`] puts it on a page.
            Self::Page { status, detail, retry_after } => {
                let mut answer =
                    HttpResponse::build(*status).content_type("text/plain; charset=utf-8").body(detail.clone());
                if let Some(after) = retry_after.as_ref().and_then(|after| after.parse().ok()) {
                    answer.headers_mut().insert(header::RETRY_AFTER, after);
                }
                answer
            }
        }
    }
}

/// Middleware: puts failures on a page, with the frame that the request asks for; strangers may be known to a proxy.
pub async fn explain(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let answer = next.call(req).await?.map_into_boxed_body();
    let Some(state) = answer.request().app_data::<State>() else { return Ok(answer) };
    let failure = answer.response().error().and_then(|error| error.as_error::<Failure>());
    if let Some(Failure::Login(url)) = failure {
        let Ok(entered) = remote::admit(answer.request(), state, url).await else { return Ok(answer) };
        let (req, _) = answer.into_parts();
        return Ok(ServiceResponse::new(req, entered));
    }
    let Some((status, detail, retry_after)) = answer.response().error().and_then(told) else { return Ok(answer) };
    let who = session::who(answer.request(), state);
    let frame = Frame::new(answer.request(), state, who.as_ref()).page("", title(status));
    let Ok(mut page) = frame::answer(status, &Explained { frame, detail }) else { return Ok(answer) };
    if let Some(after) = retry_after.and_then(|after| after.parse().ok()) {
        page.headers_mut().insert(header::RETRY_AFTER, after);
    }
    let (req, _) = answer.into_parts();
    Ok(ServiceResponse::new(req, page))
}

/// Status, text and `Retry-After` of what went wrong, here or on the way here.
fn told(error: &actix_web::Error) -> Option<(StatusCode, String, Option<String>)> {
    if let Some(Failure::Page { status, detail, retry_after }) = error.as_error::<Failure>() {
        return Some((*status, detail.clone(), retry_after.clone()));
    }
    let error = error.as_error::<ApiError>()?;
    Some((error.status_code(), error.text(), error.retry_after().map(str::to_owned)))
}

fn title(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "That cannot be shown",
        403 => "Not allowed",
        404 => "Not found",
        405 => "Not possible this way",
        409 => "Not possible now",
        413 => "Too large",
        429 => "Too many attempts",
        503 => "Not available now",
        _ => "Something went wrong",
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct Explained {
    frame: Frame,
    detail: String,
}

/// A page for paths below ours that are none.
pub async fn not_found(req: HttpRequest, state: State) -> Result<HttpResponse, Failure> {
    let path = req.path();
    if !path.ends_with('/') && !path.contains("//") && matches!(req.method().as_str(), "GET" | "HEAD") {
        // Somebody typed it; all of ours end with a slash.
        let query = if req.query_string().is_empty() { String::new() } else { format!("?{}", req.query_string()) };
        return Ok(frame::go(format!("{path}/{query}")));
    }
    let who = session::who(&req, &state);
    let frame = Frame::new(&req, &state, who.as_ref()).page("", "Not found");
    frame::answer(StatusCode::NOT_FOUND, &Explained { frame, detail: "There is no page here.".to_owned() })
}
