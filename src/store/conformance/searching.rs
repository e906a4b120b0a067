//! Lists: whatever is looked for, all pages together are what a plain look at every row finds, in order, both ways; and
//! each page says rightly what lies before and behind it, also when its search ended early.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::archive::{DeliveryRow, Edge, EventRow, Listed, Looked};
use super::model::Model;
use super::*;
use crate::domain::attempt::ErrorKind;
use crate::domain::event::EventType;

/// Pages of a list before it is taken to go round in circles.
const PAGES_MAX: usize = 2_000;

/// What may be filtered by, as picks from what is there.
pub type Picks = Vec<(u8, u8)>;

pub fn picks() -> impl Strategy<Value = (Picks, usize)> {
    (proptest::collection::vec((0u8..KINDS, any::<u8>()), 0..4), 1usize..6)
}

const KINDS: u8 = 16;

/// A store in which much has happened, and all that is in it.
pub struct Bed {
    store: Arc<dyn Store>,
    deliveries: Vec<DeliveryRow>,
    events: Vec<EventRow>,
    details: BTreeMap<DeliveryId, Vec<String>>,
}

impl Bed {
    /// `spread`: as if the events had come within minutes, on a clock that was set back a little at times.
    pub async fn new(open: Open<'_>, spread: &dyn Fn()) -> Self {
        let store = happenings(open).await;
        store.flush().await.expect("flushed");
        spread();
        let deliveries = rows_of(|page| store.deliveries(Filter::default(), page), |row: &DeliveryRow| row.id.0).await;
        let events = rows_of(|page| store.events(Filter::default(), page), |row: &EventRow| row.seq.0 as i64).await;
        let mut details = BTreeMap::new();
        for row in &deliveries {
            let attempts = store.attempts(row.id).await.expect("read");
            details.insert(row.id, attempts.into_iter().filter_map(|a| a.attempt.detail).collect());
        }
        assert!(deliveries.len() > 120 && events.len() > 60, "{} of {}", deliveries.len(), events.len());
        for state in DeliveryState::ALL.into_iter().filter(|s| *s != DeliveryState::Superseded) {
            assert!(deliveries.iter().any(|row| row.state == state), "none is {}", state.as_str());
        }
        Self { store, deliveries, events, details }
    }

    pub async fn agrees(&self, picks: &[(u8, u8)], limit: usize) {
        let filter = self.filter(picks);
        let expected: Vec<i64> =
            self.deliveries.iter().filter(|row| self.wants(&filter, row)).map(|r| r.id.0).collect();
        let list = |page| self.store.deliveries(filter.clone(), page);
        both_ways(&format!("{filter:?}"), expected, limit, list, |row: &DeliveryRow| row.id.0).await;
        let expected: Vec<i64> =
            self.events.iter().filter(|row| wants_event(&filter, row)).map(|r| r.seq.0 as i64).collect();
        let list = |page| self.store.events(filter.clone(), page);
        both_ways(&format!("events {filter:?}"), expected, limit, list, |row: &EventRow| row.seq.0 as i64).await;
    }

    fn filter(&self, picks: &[(u8, u8)]) -> Filter {
        let mut filter = Filter::default();
        for (kind, pick) in picks {
            let pick = usize::from(*pick);
            let row = &self.deliveries[pick * 7 % self.deliveries.len()];
            let (model, object) = (row.event.model.clone(), row.event.object_id.clone());
            match kind {
                0 => filter.states.push(DeliveryState::ALL[pick % DeliveryState::ALL.len()]),
                1 => filter.webhooks.push(if pick == 0 { WebhookId(99) } else { row.webhook }),
                2 => filter.endpoints.push(if pick == 0 { EndpointId(99) } else { row.endpoint }),
                3 => filter.events.push(row.event.seq),
                4 => filter.models.push(if pick == 0 { "dcim.device".to_owned() } else { model }),
                5 => filter.object_ids.extend(object),
                6 => filter.event_types.push(EventType::ALL[pick % 3]),
                7 => filter.request_ids.push(row.event.request_id.clone().unwrap_or_else(|| "r-none".to_owned())),
                8 => filter.errors.push(row.error.unwrap_or(ErrorKind::Tls)),
                9 => filter.status_codes.push(row.status_code.unwrap_or(201)),
                10 => filter.created.gte = Some(row.created_at),
                11 => filter.created.lt = Some(row.created_at),
                12 => filter.attempts = Between { gte: Some(pick as u32 % 3), lt: Some(1 + pick as u32 % 4) },
                13 => filter.latency.gte = row.latency,
                14 => filter.next_attempt.lt = Some(row.next_attempt_at.unwrap_or(row.created_at)),
                _ => filter.q = Some(TEXTS[pick % TEXTS.len()].to_owned()),
            }
        }
        filter
    }

    fn wants(&self, filter: &Filter, row: &DeliveryRow) -> bool {
        among(&filter.states, &row.state)
            && among(&filter.webhooks, &row.webhook)
            && among(&filter.endpoints, &row.endpoint)
            && among(&filter.events, &row.event.seq)
            && (filter.errors.is_empty() || row.error.is_some_and(|kind| filter.errors.contains(&kind)))
            && (filter.status_codes.is_empty()
                || row.status_code.is_some_and(|code| filter.status_codes.contains(&code)))
            && within(filter.created, Some(row.created_at))
            && within(filter.attempts, Some(row.attempts))
            && within(filter.latency, row.latency)
            && within(filter.next_attempt, row.next_attempt_at.filter(|_| row.state == DeliveryState::Retrying))
            && is_about(filter, &row.event)
            && filter.q.as_ref().is_none_or(|q| self.has(q, row))
    }

    fn has(&self, q: &str, row: &DeliveryRow) -> bool {
        let set = self.store.definitions();
        let name = set.webhooks.iter().find(|w| w.id == row.webhook).map(|w| w.spec.name.clone());
        let url = set.endpoints.iter().find(|e| e.endpoint.id == row.endpoint).map(|e| e.endpoint.url.to_string());
        let code = row.status_code.map(|code| code.to_string()).filter(|code| code == q);
        let kind = row.error.map(|kind| kind.as_str().replace('_', " "));
        let details = self.details[&row.id].iter().filter(|_| row.error.is_some()).cloned();
        event_has(q, &row.event)
            || code.is_some()
            || [name, url, kind]
                .into_iter()
                .flatten()
                .chain(details)
                .any(|text| text.to_lowercase().contains(&q.to_lowercase()))
    }
}

const TEXTS: [&str; 12] =
    ["SITE", "r-3", "a.example", "b.exam", "w1", "no such", "not within", "timeout", "404", "200", "%", "nowhere"];

fn among<T: PartialEq>(wanted: &[T], value: &T) -> bool {
    wanted.is_empty() || wanted.contains(value)
}

fn within<T: PartialOrd + Copy>(range: Between<T>, value: Option<T>) -> bool {
    let Some(value) = value else { return range.is_any() };
    range.gte.is_none_or(|edge| value >= edge) && range.lt.is_none_or(|edge| value < edge)
}

fn is_about(filter: &Filter, event: &EventRow) -> bool {
    let text = |wanted: &[String], value: &Option<String>| {
        wanted.is_empty() || value.as_ref().is_some_and(|value| wanted.contains(value))
    };
    among(&filter.models, &event.model)
        && among(&filter.event_types, &event.event_type)
        && text(&filter.object_ids, &event.object_id)
        && text(&filter.request_ids, &event.request_id)
}

fn event_has(q: &str, event: &EventRow) -> bool {
    let texts = [Some(&event.model), event.object_id.as_ref(), event.request_id.as_ref()];
    texts.into_iter().flatten().any(|text| text.to_lowercase().contains(&q.to_lowercase()))
}

fn wants_event(filter: &Filter, row: &EventRow) -> bool {
    is_about(filter, row)
        && within(filter.created, Some(row.received_at))
        && filter.q.as_ref().is_none_or(|q| event_has(q, row))
}

/// All rows, from the newest to the oldest.
async fn rows_of<T, F>(list: impl Fn(Page) -> F, id: impl Fn(&T) -> i64) -> Vec<T>
where
    F: Future<Output = Result<Listed<T>, StoreError>>,
{
    let (mut rows, mut edge) = (Vec::new(), Edge::Start);
    for _ in 0..PAGES_MAX {
        let listed = list(Page { edge, limit: 50 }).await.expect("listed");
        rows.extend(listed.rows);
        let Some(next) = listed.next else { break };
        edge = Edge::After(next);
    }
    assert!(rows.is_sorted_by(|a, b| id(a) > id(b)), "newest first, each once");
    rows
}

/// Walks to the end and back.
async fn both_ways<T, F>(what: &str, expected: Vec<i64>, limit: usize, list: impl Fn(Page) -> F, id: impl Fn(&T) -> i64)
where
    F: Future<Output = Result<Listed<T>, StoreError>>,
{
    let mut found = Vec::new();
    let mut edge = Edge::Start;
    for _ in 0..PAGES_MAX {
        let page = list(Page { edge, limit }).await.expect("listed");
        check(what, &page, &expected, edge, limit, &id);
        found.extend(page.rows.iter().map(&id));
        let Some(next) = page.next else { break };
        edge = Edge::After(next);
    }
    assert_eq!(found, expected, "{what}");
    found.clear();
    edge = Edge::Before(-1);
    for _ in 0..PAGES_MAX {
        let page = list(Page { edge, limit }).await.expect("listed");
        check(what, &page, &expected, edge, limit, &id);
        found.splice(..0, page.rows.iter().map(&id));
        let Some(previous) = page.previous else { break };
        edge = Edge::Before(previous);
    }
    assert_eq!(found, expected, "backwards: {what}");
}

/// What lies before a page, the page, and what lies behind it are everything.
fn check<T>(what: &str, page: &Listed<T>, expected: &[i64], edge: Edge, limit: usize, id: &impl Fn(&T) -> i64) {
    let before = expected.iter().copied().filter(|id| page.previous.is_some_and(|row| *id > row));
    let behind = expected.iter().copied().filter(|id| page.next.is_some_and(|row| *id < row));
    let whole: Vec<i64> = before.chain(page.rows.iter().map(id)).chain(behind).collect();
    assert_eq!(whole, expected, "{edge:?} of {what}");
    let early = page.rows.len() < limit && page.looked.is_some();
    match page.looked {
        None => {}
        Some(Looked::BackTo(_)) => assert!(early && page.next.is_some(), "{edge:?} of {what}"),
        Some(Looked::UpTo(_)) => assert!(early && page.previous.is_some(), "{edge:?} of {what}"),
    }
}

/// Of everything that can become of a delivery, something; with two restarts.
async fn happenings(open: Open<'_>) -> Arc<dyn Store> {
    let mut model = Model::begin(open()).await;
    let endpoints = [model.endpoint(false), model.endpoint(true)];
    accept(&model, 0..40).await;
    settle(&model.store, endpoints, 30).await;
    model.store = open();
    accept(&model, 40..60).await;
    settle(&model.store, endpoints, 20).await;
    let rows = rows_of(|page| model.store.deliveries(Filter::default(), page), |row: &DeliveryRow| row.id.0).await;
    for (n, row) in rows.iter().enumerate() {
        // Each as its state allows.
        match n % 6 {
            0 => drop(model.store.cancel(row.id).await),
            1 if n < 60 => drop(model.store.retry(row.id).await),
            2 if n > 90 => drop(model.store.resend(row.id).await),
            _ => {}
        }
    }
    // What waits and what has failed moves along.
    let webhook = model.webhooks[2].clone();
    let spec = WebhookSpec { payload_url: "http://c.example/".into(), ..(*webhook.spec).clone() };
    model.webhooks[2] = model.store.write_webhook(write(Some(webhook.id), spec), audit()).await.expect("written");
    while model.store.advance_bulk().await.expect("advanced").is_some() {}
    let slot = model.store.reserve_test().await.expect("reserved");
    accept(&model, 60..80).await;
    let planned = Planned { webhook: webhook.id, endpoint: webhook.endpoint };
    model.store.record_test(slot, happening(7), planned, attempt(404)).await.expect("kept");
    model.store = open();
    model.store.delete_webhook(model.webhooks[1].id, audit()).await.expect("deleted");
    while model.store.advance_bulk().await.expect("advanced").is_some() {}
    // These stay in flight.
    let ready = model.store.ready(endpoints[0], clock::now(), 5, Vec::new()).await.expect("ready");
    let ids = ready.due.iter().map(|head| head.id).collect();
    model.store.start(endpoints[0], ids).await.expect("started");
    model.store
}

/// Some go to all webhooks, some to one, some to none.
async fn accept(model: &Model, numbers: std::ops::Range<u64>) {
    let plan = |n: u64| {
        let webhooks =
            model.webhooks.iter().filter(|w| !n.is_multiple_of(5) && (n % 5 < 4 || w.id == model.webhooks[0].id));
        webhooks.map(|w| Planned { webhook: w.id, endpoint: w.endpoint }).collect()
    };
    let events = numbers.map(|n| NewEvent::planned(happening(n), plan(n))).collect();
    let batch = Batch { events, catalog_revision: model.store.revision() };
    model.store.accept(batch).await.expect("accepted");
}

fn happening(n: u64) -> Arc<Event> {
    let model = if n.is_multiple_of(3) { "rack" } else { "site" };
    let kind = ["created", "updated", "deleted"][(n % 4).min(2) as usize];
    let request = if n.is_multiple_of(4) { String::new() } else { format!(r#""request_id": "r-{}", "#, n % 9) };
    let raw = format!(r#"{{"event": "{kind}", "model": "{model}", {request}"data": {{"id": {}}}}}"#, n % 7);
    Arc::new(Event::parse(Bytes::from(raw), &Models::builtin(), clock::now()).expect("an event"))
}

/// Makes attempts of many kinds.
async fn settle(store: &Arc<dyn Store>, endpoints: [EndpointId; 2], attempts: usize) {
    for endpoint in endpoints {
        let mut made = 0;
        while made < attempts {
            let ready = store.ready(endpoint, clock::now(), 6, Vec::new()).await.expect("ready");
            let ids: Vec<DeliveryId> = ready.due.iter().map(|head| head.id).collect();
            if ids.is_empty() && !ready.more {
                break;
            }
            for start in store.start(endpoint, ids).await.expect("started") {
                let Start::Granted(granted) = start else { continue };
                made += 1;
                let (attempt, next) = ended(made);
                let done = Recorded { id: granted.id, attempt, next, live: None };
                store.record(endpoint, done).await.expect("recorded");
            }
        }
    }
}

fn ended(n: usize) -> (Attempt, Next) {
    let later = Next::Retry { at: clock::now() + Duration::from_secs(3_600 + n as u64), counted: true };
    let timings = Timings { total: Duration::from_millis(n as u64 % 4), ..Timings::default() };
    let took = |a: Attempt| Attempt { timings, ..a };
    match n % 5 {
        0 => {
            let outcome = Outcome::Unanswered { kind: ErrorKind::Timeout };
            let detail = Some("no answer, not within 5 s".to_owned());
            (took(Attempt { outcome, detail, ..attempt(0) }), later)
        }
        1 => (took(Attempt { detail: Some("No such thing".to_owned()), ..attempt(404) }), Next::Failed),
        2 => (took(attempt(500)), Next::Retry { at: clock::now(), counted: true }),
        3 => (took(attempt(201)), Next::Delivered),
        _ => (took(attempt(200)), Next::Delivered),
    }
}
