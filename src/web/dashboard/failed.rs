//! `failed/`: what waits for somebody, by endpoint and what came of it.

use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::failure::Failure;
use super::frame::{self, Frame};
use super::rows::Names;
use super::session::Person;
use super::show;
use crate::domain::ids::EndpointId;
use crate::store::archive::FailedGroup;
use crate::web::State;
use crate::web::auth::Read;

#[derive(Template)]
#[template(path = "failed.html")]
struct Failed {
    frame: Frame,
    groups: Vec<Group>,
    total: u64,
}

/// Deliveries that failed alike.
struct Group {
    endpoint_id: EndpointId,
    endpoint: String,
    result: String,
    deliveries: u64,
    /// A `<time>` element each.
    first: String,
    last: String,
    /// `name=value` for each filter that means this group.
    filters: Vec<String>,
    /// The same as a query string.
    query: String,
}

impl Group {
    fn new(group: &FailedGroup, names: &Names, frame: &Frame) -> Self {
        // Exactly the deliveries that are counted: an error other than an answer has no status code.
        let mut pairs = vec![
            ("status", "failed".to_owned()),
            ("test", "false".to_owned()),
            ("endpoint_id", group.endpoint.to_string()),
            ("error", group.error.as_str().to_owned()),
        ];
        pairs.extend(group.status_code.map(|code| ("status_code", code.to_string())));
        let query = form_urlencoded::Serializer::for_suffix(String::from("?"), 1).extend_pairs(&pairs).finish();
        let result = match group.status_code {
            Some(code) => format!("answered {code}"),
            None => show::words(group.error.as_str()),
        };
        Self {
            endpoint_id: group.endpoint,
            endpoint: names.endpoint(group.endpoint),
            result,
            deliveries: group.deliveries,
            first: frame.when(&group.first),
            last: frame.when(&group.last),
            filters: pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
            query,
        }
    }
}

/// `GET …/failed/`
pub async fn show(person: Person<Read>, state: State, req: HttpRequest) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("failed", "Failed deliveries");
    let names = Names::of(&state);
    let groups = state.store.failed_groups().await?;
    let total = groups.iter().map(|group| group.deliveries).sum();
    let groups = groups.iter().map(|group| Group::new(group, &names, &frame)).collect();
    frame::page(&Failed { frame, groups, total })
}
