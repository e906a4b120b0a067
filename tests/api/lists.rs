//! Lists: what filters mean, counts, and the way from page to page.

use serde_json::{Value, json};

use super::support::{Receiver, TestServer, hang, reply, site_event, webhook};

/// The rows of a page.
fn rows(page: &Value) -> &[Value] {
    page["results"].as_array().map_or(&[], Vec::as_slice)
}

/// A link of a page as a path.
fn link(server: &TestServer, page: &Value, name: &str) -> String {
    page[name].as_str().unwrap_or_else(|| panic!("no {name} in {page}")).replace(&server.url(""), "")
}

/// Three events, each waiting at a paused endpoint and on its way to one that does not answer.
fn half_sent(receiver: &Receiver) -> (TestServer, Value, Value) {
    receiver.on("/b", hang());
    let server = TestServer::with_config("[delivery]\nconcurrency = 4\n");
    let paused = server.create_webhook(&webhook("a", &receiver.url("/a")));
    let sent = server.create_webhook(&webhook("b", &receiver.url("/b")));
    server.post(&format!("/api/endpoints/{}/pause/", paused["endpoint_id"]), &json!({})).expect(200);
    for n in 1..=3 {
        server.emit(&site_event("updated", n, json!({})));
    }
    receiver.wait_for(3);
    server.wait_for("/api/deliveries/?status=in_flight", |l| rows(l).len() == 3);
    server.wait_for("/api/deliveries/", |l| rows(l).len() == 6);
    (server, paused, sent)
}

#[test]
fn a_state_means_the_same_with_and_without_other_filters() {
    let receiver = Receiver::start();
    let (server, paused, sent) = half_sent(&receiver);
    let of = |query: &str| server.list(&format!("/api/deliveries/?{query}")).len();
    assert_eq!(of(&format!("status=in_flight&webhook_id={}", paused["id"])), 0);
    assert_eq!(of(&format!("status=in_flight&webhook_id={}", sent["id"])), 3);
    assert_eq!(of("status=in_flight&object_id=2"), 1);
    assert_eq!((of("status=pending"), of("status=pending&status=in_flight"), of("status=retrying")), (3, 6, 0));
    let first = server.get("/api/deliveries/?status=pending&limit=2").expect(200).json();
    assert_eq!(rows(&first).len(), 2, "{first}");
    let second = server.get(&link(&server, &first, "next")).expect(200).json();
    assert_eq!((rows(&second).len(), &second["next"]), (1, &Value::Null));
    let count = |query: &str| server.get(&format!("/api/deliveries/?{query}")).expect(200).json()["count"].clone();
    assert_eq!((count(""), count("status=pending"), count("status=in_flight")), (json!(6), json!(3), json!(3)));
    assert_eq!(count(&format!("endpoint_id={}", paused["endpoint_id"])), json!(3));
    assert_eq!(count("status=pending&object_id=1"), Value::Null);
}

#[test]
fn an_order_by_filter_means_what_the_list_shows() {
    let receiver = Receiver::start();
    let (server, ..) = half_sent(&receiver);
    let none = server.post("/api/deliveries/retry/", &json!({"status": "delivered"})).expect(202).json();
    assert_eq!(none["matched"], json!(0), "what is delivered cannot be retried");
    let canceled = server.post("/api/deliveries/cancel/", &json!({"status": "in_flight"})).expect(202).json();
    assert_eq!(canceled["matched"], json!(3));
    let url = canceled["url"].as_str().expect("a URL");
    server.wait_for(url, |b| b["state"] == json!("finished") && b["done"] == json!(3));
    assert_eq!(server.list("/api/deliveries/?status=pending").len(), 3);
    let waiting = server.post("/api/deliveries/cancel/", &json!({"status": "pending"})).expect(202).json();
    assert_eq!(waiting["matched"], json!(3));
    server.wait_for("/api/deliveries/?status=canceled", |l| rows(l).len() == 3);
    assert_eq!(server.list("/api/deliveries/?status=in_flight").len(), 3);
}

#[test]
fn counts_and_rows_agree_on_tests() {
    let receiver = Receiver::start();
    let server = TestServer::start();
    let made = server.create_webhook(&webhook("sites", &receiver.url("/")));
    server.emit(&site_event("updated", 1, json!({})));
    server.post(&format!("/api/webhooks/{}/test/", made["id"]), &json!({})).expect(200);
    for query in [format!("status=delivered&webhook_id={}", made["id"]), "status=delivered".to_owned(), String::new()] {
        let page = server.wait_for(&format!("/api/deliveries/?{query}"), |l| rows(l).len() == 2);
        assert_eq!(page["count"], json!(2), "{query}");
    }
    assert_eq!(server.get("/api/status/").json()["deliveries"]["delivered"], json!(1));
}

/// Walks a list to its end and back; every page must come again.
fn there_and_back(server: &TestServer, path: &str, id: &str) {
    let ids = |page: &Value| rows(page).iter().map(|row| row[id].clone()).collect::<Vec<_>>();
    let mut seen = Vec::new();
    let mut page = server.get(path).expect(200).json();
    assert_eq!(page["previous"], Value::Null, "{path}");
    while !page["next"].is_null() {
        seen.push(ids(&page));
        page = server.get(&link(server, &page, "next")).expect(200).json();
    }
    assert!(seen.len() >= 2, "{path} has too few pages");
    for expected in seen.into_iter().rev() {
        page = server.get(&link(server, &page, "previous")).expect(200).json();
        assert_eq!(ids(&page), expected, "{path}");
        assert!(!page["next"].is_null());
    }
    assert_eq!(page["previous"], Value::Null, "{path}");
}

#[test]
fn previous_is_the_page_before() {
    let receiver = Receiver::with(|_| reply(400));
    let server = TestServer::start();
    for n in 1..=5 {
        server.create_webhook(&webhook(&format!("w{n}"), &receiver.url(&format!("/{n}"))));
    }
    server.emit(&site_event("updated", 1, json!({})));
    server.emit(&site_event("updated", 2, json!({})));
    server.emit(&site_event("updated", 3, json!({})));
    server.wait_for("/api/deliveries/?status=failed", |l| rows(l).len() == 15);
    for _ in 0..5 {
        server.post("/api/deliveries/retry/", &json!({"status": "failed", "object_id": "none"})).expect(202);
    }
    there_and_back(&server, "/api/deliveries/?limit=3&status=failed", "id");
    there_and_back(&server, "/api/events/?limit=1&model=site", "id");
    there_and_back(&server, "/api/webhooks/?limit=2", "id");
    there_and_back(&server, "/api/audit/?limit=2", "id");
    there_and_back(&server, "/api/bulk-actions/?limit=2", "id");
}

#[test]
fn all_bulk_actions_are_listed() {
    let server = TestServer::start();
    for _ in 0..103 {
        server.post("/api/deliveries/retry/", &json!({"status": "failed"})).expect(202);
    }
    let page = server.get("/api/bulk-actions/").expect(200).json();
    assert_eq!((&page["count"], &page["results"][0]["id"]), (&json!(103), &json!(103)));
    assert_eq!(server.list("/api/bulk-actions/").len(), 103);
}

/// Delivered to one webhook, refused by another, to be tried again by a third; and an event for none of them.
fn of_all_kinds(receiver: &Receiver) -> (TestServer, Value) {
    receiver.on("/bad", reply(400).body("no such site"));
    receiver.on("/busy", reply(503));
    let server = TestServer::with_config("[delivery]\nbackoff_initial = \"1h\"\nbackoff_max = \"2h\"\n");
    server.create_webhook(&webhook("inventory", &receiver.url("/good")));
    server.create_webhook(&webhook("mirror", &receiver.url("/bad")));
    let busy = server.create_webhook(&webhook("ticket desk", &receiver.url("/busy")));
    let mut event = site_event("updated", 1, json!({}));
    event["request_id"] = json!("ab12-cd34");
    server.emit(&event);
    let mut other = site_event("updated", 2, json!({}));
    other["model"] = json!("dcim.rack");
    server.emit(&other);
    receiver.wait_for(3);
    server.wait_for("/api/status/", |s| s["deliveries"]["retrying"] == json!(1));
    server.wait_for("/api/deliveries/?status=failed&status=delivered", |l| rows(l).len() == 2);
    server.wait_for("/api/deliveries/?status=retrying", |l| rows(l).len() == 1);
    (server, busy)
}

#[test]
fn everything_a_row_shows_can_be_filtered_by() {
    let receiver = Receiver::start();
    let (server, busy) = of_all_kinds(&receiver);
    let webhooks = |query: &str| {
        let mut ids: Vec<i64> =
            server.list(&format!("/api/deliveries/?{query}")).iter().filter_map(|d| d["webhook_id"].as_i64()).collect();
        ids.sort_unstable();
        ids
    };
    let (good, bad, retried) = (1, 2, 3);
    // All URLs have the number of the port.
    let unless_a_port = |text: &str, id| if receiver.url("/").contains(text) { vec![1, 2, 3] } else { vec![id] };
    assert_eq!(busy["id"], json!(retried));
    let retrying = server.get("/api/deliveries/?status=retrying").expect(200).json()["results"][0].clone();
    let due = retrying["next_attempt_at"].as_str().expect("a time");
    for (query, expected) in [
        ("latency_ms__gte=0".to_owned(), vec![good, bad, retried]),
        ("latency_ms__lt=60000&latency_ms__gte=0.001".to_owned(), vec![good, bad, retried]),
        ("latency_ms__gte=60000".to_owned(), vec![]),
        ("attempts__gte=1&attempts__lt=2".to_owned(), vec![good, bad, retried]),
        ("attempts__gte=2".to_owned(), vec![]),
        (format!("next_attempt__gte={due}"), vec![retried]),
        (format!("next_attempt__lt={due}"), vec![]),
        (format!("next_attempt__gte={due}&status=failed"), vec![]),
        ("error=http_status".to_owned(), vec![bad, retried]),
        ("status_code=200".to_owned(), vec![good]),
        ("q=BUSY".to_owned(), vec![retried]),
        ("q=ticket+DESK".to_owned(), vec![retried]),
        ("q=ab12".to_owned(), vec![good, bad, retried]),
        ("q=dcim.si".to_owned(), vec![good, bad, retried]),
        ("q=http_stat".to_owned(), vec![bad, retried]),
        ("q=http+status".to_owned(), vec![bad, retried]),
        ("q=400".to_owned(), unless_a_port("400", bad)),
        ("q=200".to_owned(), unless_a_port("200", good)),
        ("q=nowhere".to_owned(), vec![]),
        ("q=ab12&status=failed".to_owned(), vec![bad]),
        ("request_id=ab12-cd34&webhook_id=1".to_owned(), vec![good]),
        ("object_id=1&status=retrying".to_owned(), vec![retried]),
        ("object_id=1&model=dcim.rack".to_owned(), vec![]),
    ] {
        assert_eq!(webhooks(&query), expected, "{query}");
    }
    let events = |query: &str| server.list(&format!("/api/events/?{query}")).len();
    assert_eq!((events("matched=true"), events("matched=false"), events("")), (1, 1, 2));
    assert_eq!(
        (events("request_id=ab12-cd34"), events("object_id=2"), events("q=RACK"), events("q=nowhere")),
        (1, 1, 1, 0)
    );
    for unknown in
        ["/api/events/?latency_ms__gte=1", "/api/deliveries/?matched=true", "/api/deliveries/?latency_ms__gte=x"]
    {
        server.get(unknown).expect(400);
    }
}

#[test]
fn an_order_by_filter_takes_the_filters_of_lists() {
    let receiver = Receiver::start();
    let (server, _) = of_all_kinds(&receiver);
    let matched = |action: &str, filter: Value| {
        server.post(&format!("/api/deliveries/{action}/"), &filter).expect(202).json()["matched"].clone()
    };
    assert_eq!(matched("cancel", json!({"next_attempt__lt": "2020-01-01"})), json!(0));
    assert_eq!(matched("cancel", json!({"q": "mirror"})), json!(0), "what has failed cannot be canceled");
    assert_eq!(matched("retry", json!({"latency_ms__gte": 60_000})), json!(0));
    assert_eq!(matched("retry", json!({"q": "no such site"})), json!(0), "a body is no detail");
    assert_eq!(matched("cancel", json!({"next_attempt__gte": "2020-01-01", "attempts__gte": 1})), json!(1));
    server.wait_for("/api/deliveries/?status=canceled", |l| rows(l).len() == 1);
    assert_eq!(matched("retry", json!({"q": "mirror", "latency_ms__lt": 60_000})), json!(1));
}

#[test]
fn the_detail_of_an_error_is_found_by_text() {
    let server = TestServer::with_config("[delivery]\nbackoff_initial = \"1h\"\nbackoff_max = \"2h\"\n");
    server.create_webhook(&webhook("sites", "http://127.0.0.1:1/"));
    server.emit(&site_event("updated", 1, json!({})));
    let list = server.wait_for("/api/deliveries/?status=retrying", |l| rows(l).len() == 1);
    let path = format!("/api/deliveries/{}/", rows(&list)[0]["id"].as_str().expect("an id"));
    let detail = server.get(&path).expect(200).json()["attempts"][0]["detail"].as_str().expect("a detail").to_owned();
    let word = detail.split_whitespace().max_by_key(|word| word.len()).expect("a word");
    let found = |q: &str| server.list(&format!("/api/deliveries/?q={q}")).len();
    assert_eq!((found(&word.to_uppercase()), found("connect"), found("prosperous")), (1, 1, 0), "{detail}");
}
