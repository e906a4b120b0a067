//! `stream/`: what changes, for pages that are open.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};

use super::failure::Failure;
use super::session::{Person, who};
use crate::store::admin::Scope;
use crate::web::State;
use crate::web::api::stream;
use crate::web::auth::Read;

/// `GET …/stream/`: as `/api/stream/`, for who is logged in.
pub async fn follow(_person: Person<Read>, state: State, req: HttpRequest) -> Result<HttpResponse, Failure> {
    let again = state.clone();
    let entitled = move || who(&req, &again).is_some_and(|who| who.allows(Scope::Read));
    let mut answer = stream::open(&state, Box::new(entitled))?;
    // A compressor would hold events back.
    answer.headers_mut().insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("identity"));
    Ok(answer)
}
