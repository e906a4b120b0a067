//! How SQLite runs what a search asks.

use std::sync::Arc;
use std::sync::mpsc;

use rusqlite::Connection;

use super::routes::{self, Route};
use super::stream::{Rows, Span, Stream};
use super::ways::{Through, Ways};
use crate::domain::attempt::ErrorKind;
use crate::domain::delivery::DeliveryState;
use crate::domain::ids::{DeliveryId, EndpointId, WebhookId};
use crate::domain::time::Timestamp;
use crate::store::embedded::conditions::Wanted;
use crate::store::embedded::readers::Readers;
use crate::store::embedded::schema;
use crate::store::embedded::shared::Shared;
use crate::store::embedded::tests::config;
use crate::store::{Between, Filter};

/// Memory beside an empty disk.
fn shared(folder: &std::path::Path) -> Arc<Shared> {
    let (commands, _) = mpsc::sync_channel(1);
    Arc::new(Shared::new(config(folder), commands, Readers::start(folder).expect("threads")))
}

fn plan(db: &Connection, sql: &str) -> String {
    let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect(sql);
    let mut rows = plan.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().expect(sql) {
        steps.push(row.get::<_, String>(3).expect("a text"));
    }
    steps.join("; ")
}

/// Each step of a stream reads a bounded part in order: no whole table, nothing sorted.
fn check(db: &Connection, what: &str, streams: &[Stream]) {
    for stream in streams {
        let queries: Vec<&str> = match &stream.rows {
            Rows::Query { shape, .. } => vec![&shape.candidate, &shape.matches],
            Rows::Ids { matches, .. } => vec![matches],
        };
        for sql in queries {
            let plan = plan(db, sql);
            let scans = plan.split("; ").any(|step| step.starts_with("SCAN") && !step.contains("json_each"));
            assert!(!scans && !plan.contains("TEMP B-TREE"), "{what}: {plan}\n{sql}");
        }
    }
}

fn filters() -> Vec<Filter> {
    let any = Filter::default();
    let text = Filter { q: Some("x".to_owned()), ..any.clone() };
    let of_event = Filter { models: vec!["dcim.site".to_owned()], request_ids: vec!["r".to_owned()], ..any.clone() };
    let fine = Filter {
        states: vec![DeliveryState::Failed, DeliveryState::InFlight],
        webhooks: vec![WebhookId(1), WebhookId(2)],
        endpoints: vec![EndpointId(1)],
        errors: vec![ErrorKind::Timeout],
        created: Between { gte: Some(Timestamp(1)), lt: Some(Timestamp(9)) },
        ..any.clone()
    };
    vec![any, text, of_event, Filter { q: Some("201".to_owned()), ..fine.clone() }, fine]
}

#[test]
fn every_way_reads_in_order_and_by_index() {
    let folder = tempfile::tempdir().expect("a folder");
    let shared = shared(folder.path());
    let db = schema::in_memory();
    let ways: [fn() -> Through; 9] = [
        || Through::All,
        || Through::States { unfinished: true, stopped: true },
        || Through::InFlight,
        || Through::Retrying,
        || Through::OpenThere,
        || Through::StoppedOfWebhooks,
        || Through::There,
        || Through::Errors(vec![ErrorKind::Dns, ErrorKind::Timeout]),
        || Through::States { unfinished: false, stopped: true },
    ];
    for filter in filters() {
        let wanted = Wanted::new(&filter, &[DeliveryId(5)], &shared.definitions());
        let known = Ways::new(&shared, &wanted);
        for backward in [false, true] {
            let what = format!("{filter:?}, backward: {backward}");
            let route = Route { ways: &known, db: &db, span: Span::ALL, backward };
            for way in ways {
                check(&db, &what, &route.through(&way()).expect("streams"));
            }
            check(&db, &what, &route.streams().expect("streams"));
            check(&db, &what, &[routes::resent_later(&wanted, Span::ALL, backward)]);
            check(&db, &what, &routes::to_events(&db, &wanted, Span::ALL, backward).expect("streams"));
        }
    }
}
