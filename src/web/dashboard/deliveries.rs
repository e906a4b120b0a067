//! `deliveries/`: the list, newest first, every filter in its URL.

use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::failure::Failure;
use super::filters::Filters;
use super::frame::{self, Frame};
use super::rows::{Row, rows, states};
use super::session::Person;
use crate::domain::attempt::ErrorKind;
use crate::domain::event::EventType;
use crate::store::archive::{Listed, Page};
use crate::web::State;
use crate::web::auth::Read;
use crate::web::filter::{DELIVERY_FILTERS, parse};
use crate::web::query::{Links, ListBody};

/// Endpoints and webhooks that fit a drop-down; of more, the number is typed.
const CHOICES_MAX: usize = 200;

#[derive(Template)]
#[template(path = "deliveries.html")]
struct Deliveries {
    frame: Frame,
    filters: Filters,
    problem: Option<String>,
    list: ListBody<Row>,
    states: Vec<(&'static str, String)>,
    events: Vec<&'static str>,
    errors: Vec<&'static str>,
    webhooks: Choices,
    endpoints: Choices,
}

/// What a drop-down offers.
pub struct Choices {
    pub options: Vec<(String, String)>,
    pub too_many: bool,
}

impl Choices {
    fn new(options: impl ExactSizeIterator<Item = (String, String)>) -> Self {
        let too_many = options.len() > CHOICES_MAX;
        Self { options: if too_many { Vec::new() } else { options.collect() }, too_many }
    }

    pub fn webhooks(state: &State) -> Self {
        let set = state.store.definitions();
        Self::new(set.webhooks.iter().map(|w| (w.id.to_string(), w.spec.name.clone())))
    }

    pub fn endpoints(state: &State) -> Self {
        let set = state.store.definitions();
        Self::new(set.endpoints.iter().map(|e| (e.endpoint.id.to_string(), e.endpoint.url.to_string())))
    }
}

/// `GET …/deliveries/`
pub async fn list(person: Person<Read>, state: State, req: HttpRequest) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("deliveries", "Deliveries");
    let (filters, page) = Filters::of(&req)?;
    let (mut listed, problem) = read(&state, &filters, page).await?;
    let found = rows(&state, std::mem::take(&mut listed.rows), &frame).await;
    let links = Links::new(req.path().to_owned(), &without_notice(&req));
    let list = ListBody::new(listed.map(|_| found), &links, |row| row);
    let errors = ErrorKind::ALL.map(ErrorKind::as_str).to_vec();
    let events = EventType::ALL.map(EventType::as_str).to_vec();
    let (webhooks, endpoints) = (Choices::webhooks(&state), Choices::endpoints(&state));
    frame::page(&Deliveries { frame, filters, problem, list, states: states(), events, errors, webhooks, endpoints })
}

/// A filter that makes no sense is said above an empty list, so that it can be put right.
async fn read(
    state: &State,
    filters: &Filters,
    page: Page,
) -> Result<(Listed<crate::store::archive::DeliveryRow>, Option<String>), Failure> {
    match parse(filters.pairs.clone(), DELIVERY_FILTERS, &state.models()) {
        Ok(filter) => Ok((state.store.deliveries(filter, page).await?, None)),
        Err(error) => Ok((Listed::new(Vec::new(), Page::first(page.limit), Some(0), |_| 0), Some(error.text()))),
    }
}

/// The query, for the links of a list.
pub fn without_notice(req: &HttpRequest) -> String {
    let pairs = form_urlencoded::parse(req.query_string().as_bytes()).filter(|(key, _)| key != "notice");
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}
