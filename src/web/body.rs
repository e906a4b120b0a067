//! Reading request bodies within their bounds.

use actix_web::dev::{Decompress, Payload as Stream};
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value};

use super::AppState;
use super::error::ApiError;
use super::room::Room;

/// Largest body of anything but an event, in bytes.
const MAX_JSON: u64 = 1 << 20;
/// Reserved at once for a body that says it is larger.
const MAX_RESERVED: u64 = 1 << 20;

/// Reads a whole body of at most `limit` bytes, after decompression; what is held of it is taken from `room`.
///
/// # Errors
/// 413 beyond the limit, 415 for an encoding that is not known, 400 when it breaks off, 503 when there is no room.
pub async fn read(headers: &HeaderMap, stream: Stream, limit: u64, room: &mut Room) -> Result<Bytes, ApiError> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(beyond(limit));
    }
    room.expect(declared.unwrap_or(0))?;
    match encoding(headers) {
        None => collect(stream, declared, limit, room).await,
        Some("gzip" | "deflate") => collect(Decompress::from_headers(stream, headers), None, limit, room).await,
        Some(other) => Err(ApiError::unsupported_media_type(format!(
            "Content-Encoding \"{other}\" is not supported; send gzip, deflate or none"
        ))),
    }
}

fn encoding(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_ENCODING)?.to_str().unwrap_or("?").trim();
    (!value.is_empty() && value != "identity").then_some(value)
}

fn beyond(limit: u64) -> ApiError {
    ApiError::too_large(format!("the body is larger than {limit} bytes"))
}

async fn collect<S, E>(mut stream: S, declared: Option<u64>, limit: u64, room: &mut Room) -> Result<Bytes, ApiError>
where
    S: futures_util::Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    let mut whole = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|e| ApiError::bad_request(format!("the body could not be read: {e}")))?;
        if (whole.len() + chunk.len()) as u64 > limit {
            return Err(beyond(limit));
        }
        room.take(chunk.len() as u64)?;
        // The usual small body is one chunk: no copy.
        if whole.is_empty() && declared == Some(chunk.len() as u64) {
            return Ok(chunk);
        }
        if whole.is_empty() {
            whole.reserve(declared.unwrap_or(0).min(MAX_RESERVED) as usize);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// Extractor: a JSON object. No body at all is an empty one.
pub struct JsonObject(pub Map<String, Value>);

impl FromRequest for JsonObject {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(req: &HttpRequest, payload: &mut Stream) -> Self::Future {
        let (req, payload) = (req.clone(), payload.take());
        Box::pin(async move {
            let body = read(req.headers(), payload, MAX_JSON, &mut Room::uncounted()).await?;
            if body.is_empty() {
                return Ok(Self(Map::new()));
            }
            expect_json(req.headers())?;
            parse_object(&body).map(Self)
        })
    }
}

/// Extractor: the bytes of a JSON body, for readers that keep the text: of an event, which may be as large as at intake.
pub struct JsonText(pub Bytes);

impl FromRequest for JsonText {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(req: &HttpRequest, payload: &mut Stream) -> Self::Future {
        let (req, payload) = (req.clone(), payload.take());
        Box::pin(async move {
            let state = req.app_data::<Data<AppState>>();
            let limit = state.map_or(MAX_JSON, |state| state.config().server.max_body);
            // As large as at intake, they share its room while they are read.
            let mut room = state.map_or_else(Room::uncounted, |state| state.room());
            let body = read(req.headers(), payload, limit, &mut room).await?;
            if !body.is_empty() {
                expect_json(req.headers())?;
            }
            Ok(Self(body))
        })
    }
}

/// A missing type is taken for JSON; `curl -d` without `-H` names form data.
fn expect_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or("?");
    let essence = text.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if essence == "application/json" || essence.ends_with("+json") {
        return Ok(());
    }
    Err(ApiError::unsupported_media_type(format!("Content-Type \"{text}\" is not supported; send application/json")))
}

fn parse_object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(ApiError::bad_request("the body is JSON, but not an object; send {\"key\": …}")),
        Err(e) => Err(ApiError::bad_request(format!("the body is not JSON: {e}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_json_says_where() {
        let error = parse_object(b"{\"a\": 1,\n \"b\" 2}").expect_err("it is broken").to_string();
        assert!(error.contains("line 2 column"), "{error}");
        assert!(parse_object(b"[1]").expect_err("a list").to_string().contains("not an object"));
    }

    #[actix_rt::test]
    async fn a_body_beyond_its_limit_is_refused_while_it_arrives() {
        let chunks =
            |n: usize| futures_util::stream::iter((0..n).map(|_| Ok::<_, String>(Bytes::from_static(b"0123456789"))));
        assert_eq!(collect(chunks(2), None, 20, &mut Room::uncounted()).await.expect("it fits").len(), 20);
        assert!(
            collect(chunks(3), Some(10), 9, &mut Room::uncounted())
                .await
                .expect_err("too large")
                .to_string()
                .starts_with("413")
        );
        assert!(
            collect(chunks(3), None, 29, &mut Room::uncounted())
                .await
                .expect_err("too large")
                .to_string()
                .starts_with("413")
        );
    }
}
