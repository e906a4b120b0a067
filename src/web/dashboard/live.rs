//! `stream/`: what changes, for pages that are open.

use actix_web::HttpResponse;
use actix_web::http::header;

use super::failure::Failure;
use super::session::Person;
use crate::web::State;
use crate::web::api::stream;
use crate::web::auth::Read;

/// `GET …/stream/`: as `/api/stream/`, for who is logged in.
pub async fn follow(_person: Person<Read>, state: State) -> Result<HttpResponse, Failure> {
    let mut answer = stream::open(&state)?;
    // A compressor would hold events back.
    answer.headers_mut().insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("identity"));
    Ok(answer)
}
