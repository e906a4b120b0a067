//! The pure parts on the way of an event, one by one: `cargo bench --bench pure`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use netbox_webhookd::catalog::Catalog;
use netbox_webhookd::config::NetboxVersion;
use netbox_webhookd::domain::attempt::Outcome;
use netbox_webhookd::domain::event::Event;
use netbox_webhookd::domain::ids::{EndpointId, WebhookId};
use netbox_webhookd::domain::models::Models;
use netbox_webhookd::domain::payload_url::Target;
use netbox_webhookd::domain::policy::Policy;
use netbox_webhookd::domain::time::Timestamp;
use netbox_webhookd::domain::webhook::{Source, Webhook, WebhookSpec};
use netbox_webhookd::intake::netbox_queue::job::WebhookJob;
use netbox_webhookd::render;
use netbox_webhookd::signing::{hook_signature, standard_signature};
use netbox_webhookd::store::Route;
use netbox_webhookd::store::admin::DefinitionSet;
use serde_json::json;

/// A site as NetBox 4.4 sends it, 1.6 KB.
const CAPTURED: &str = include_str!("../tests/fixtures/netbox/requests/dcim.site-created.json");

fn event() -> (Bytes, Models, Event) {
    let captured: serde_json::Value = serde_json::from_str(CAPTURED).expect("a fixture is JSON");
    let raw = Bytes::from(captured["body"].as_str().expect("a fixture has a body").to_owned());
    let models = Models::builtin();
    let event = Event::parse(raw.clone(), &models, Timestamp(0)).expect("a fixture is accepted");
    (raw, models, event)
}

fn webhook(id: u32, model: &str, format: &str) -> Webhook {
    let payload_url = format!("http://127.0.0.1:9/{id}");
    let spec: WebhookSpec = serde_json::from_value(json!({
        "name": format!("bench {id}"), "models": [model], "type_create": true, "payload_url": payload_url,
        "payload_format": format,
    }))
    .expect("a valid definition");
    Webhook {
        id: WebhookId(id),
        revision: 1,
        spec: Arc::new(spec),
        target: Target::parse(&payload_url).expect("a valid URL"),
        endpoint: EndpointId(id),
        source: Source::Api,
        orphaned: false,
        moving: false,
        created: Timestamp(0),
        last_updated: Timestamp(0),
    }
}

fn intake(c: &mut Criterion) {
    let (raw, models, event) = event();
    c.bench_function("parse an event of 1.6 KB", |b| {
        b.iter(|| Event::parse(black_box(raw.clone()), &models, Timestamp(0)));
    });
    // 10 of 1,000 webhooks are for sites.
    let webhooks = (0..1_000).map(|i| webhook(i, if i % 100 == 0 { "dcim.site" } else { "dcim.rack" }, "backend"));
    let set = DefinitionSet { revision: 1, webhooks: webhooks.map(Arc::new).collect(), ..DefinitionSet::default() };
    let catalog = Catalog::new(Arc::new(set));
    c.bench_function("match it with 1,000 webhooks, 10 want it", |b| {
        b.iter(|| catalog.plan(black_box(&event), Route::Match))
    });
}

fn queue(c: &mut Criterion) {
    let job = include_bytes!("../tests/fixtures/netbox/rq/06-all-json-dcim-object_updated.data.zlib");
    c.bench_function("unpack and decode a job of NetBox's queue, 6.6 KB of pickle", |b| {
        b.iter(|| WebhookJob::decode(black_box(job)).map(|job| job.event_json()));
    });
}

fn request(c: &mut Criterion) {
    let (_, _, event) = event();
    for format in ["backend", "netbox"] {
        let spec = webhook(1, "dcim.site", format).spec;
        let prepared = render::Prepared::new(&spec);
        let source = render::Source { event: &event, folded_from: None, version: NetboxVersion(4, 4) };
        c.bench_function(&format!("render its {format} body"), |b| {
            b.iter(|| prepared.body(black_box(&spec), &render::Lazy::new(source)))
        });
        let body = prepared.body(&spec, &render::Lazy::new(source)).expect("a body");
        c.bench_function(&format!("sign its {format} body with HMAC-SHA512"), |b| {
            b.iter(|| hook_signature("secret", black_box(&body)));
        });
        c.bench_function(&format!("sign its {format} body as Standard Webhooks do"), |b| {
            b.iter(|| standard_signature("secret", "0198", Timestamp(0), black_box(&body)));
        });
    }
}

fn outcome(c: &mut Criterion) {
    use netbox_webhookd::domain::retry::{Circumstances, decide};
    let (policy, mut rng) = (Policy::default(), rand::rng());
    let outcome = Outcome::Answered { status: 500, retry_after: None };
    let circumstances =
        Circumstances { attempts: 3, age: Duration::ZERO, probe: false, consecutive_holds: 0, templated: false };
    c.bench_function("decide what follows a failed attempt", |b| {
        b.iter(|| decide(black_box(&outcome), &policy, circumstances, Timestamp(0), &mut rng));
    });
}

criterion_group!(benches, intake, queue, request, outcome);
criterion_main!(benches);
