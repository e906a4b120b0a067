//! Who changed what: `/api/audit/`.

use actix_web::{HttpRequest, HttpResponse};

use crate::web::State;
use crate::web::auth::{Allowed, Read};
use crate::web::error::ApiError;
use crate::web::external::own_url;
use crate::web::query::{Links, ListBody, Query};

/// `GET /api/audit/`, newest first.
pub async fn list(_auth: Allowed<Read>, state: State, req: HttpRequest) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&req);
    let page = query.take_page()?;
    query.finish()?;
    let listed = state.store.audit_log(page).await?;
    let links = Links::new(own_url(&req, &state.config()), req.query_string());
    Ok(HttpResponse::Ok().json(ListBody::new(listed, &links, |entry| entry)))
}
