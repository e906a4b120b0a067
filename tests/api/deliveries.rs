//! Deliveries: lists, detail, and what people do to them.

use serde_json::{Value, json};

use super::support::{Receiver, TestServer, hang, reply, site_event, webhook};

/// Fails at once: a 4xx is permanent.
const REFUSED: u16 = 400;

fn id(delivery: &Value) -> String {
    delivery["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_delivery_shows_event_request_and_attempts_as_they_were() {
    let receiver = Receiver::script([reply(500).header("X-Why", "tired").body("not now")]);
    let server = TestServer::with_config("[delivery]\nbackoff_initial = \"1ms\"\n");
    let mut definition = webhook("sites", &receiver.url("/hook?x=1"));
    definition["secret"] = json!("s3cret");
    definition["signing"] = json!("standard");
    definition["additional_headers"] = json!("X-Site: fra1");
    let made = server.create_webhook(&definition);
    server.emit(&site_event("created", 7, json!({"name": "é"})));
    let sent = receiver.wait_for(2);
    let row = &server.wait_for("/api/deliveries/", |l| l["results"][0]["status"] == json!("delivered"))["results"][0];
    let detail = server.get(&format!("/api/deliveries/{}/", id(row))).expect(200).json();
    // A later change of the webhook does not change what was sent.
    server.patch(&format!("/api/webhooks/{}/", made["id"]), &json!({"secret": "other"})).expect(200);
    assert_eq!(server.get(&format!("/api/deliveries/{}/", id(row))).expect(200).json()["request"], detail["request"]);

    let request = &detail["request"];
    assert_eq!((&request["method"], &request["url"]), (&json!("POST"), &json!(receiver.url("/hook?x=1"))));
    assert_eq!(request["body"], json!(sent[1].text()));
    for (name, value) in request["headers"].as_object().expect("headers") {
        assert_eq!(sent[1].header(&name.to_lowercase()), value.as_str(), "{name}");
    }
    for name in
        ["content-type", "user-agent", "webhook-id", "webhook-timestamp", "x-webhook-attempt", "x-hook-signature"]
    {
        let shown = request["headers"].as_object().is_some_and(|h| h.keys().any(|k| k.eq_ignore_ascii_case(name)));
        assert!(shown && sent[1].header(name).is_some(), "{name} in {request}");
    }
    let attempts = detail["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 2);
    assert_eq!((&attempts[0]["number"], &attempts[0]["status_code"]), (&json!(1), &json!(500)));
    assert_eq!((&attempts[0]["error"], &attempts[0]["response_excerpt"]), (&json!("http_status"), &json!("not now")));
    let headers = attempts[0]["response_headers"].as_object().expect("headers");
    assert!(headers.iter().any(|(n, v)| n.eq_ignore_ascii_case("x-why") && v == "tired"), "{headers:?}");
    assert!(attempts[0]["timings_ms"]["total"].as_f64().is_some_and(|ms| ms > 0.0));
    assert_eq!((&attempts[1]["number"], &attempts[1]["error"]), (&json!(2), &Value::Null));
    assert_eq!(detail["event"]["data"]["name"], json!("é"));
    assert_eq!(detail["attempt_count"], json!(2));
}

/// All rows of a list in pages as the path asks for.
fn pages(server: &TestServer, path: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let page = server.get(&path).expect(200).json();
        all.extend(page["results"].as_array().expect("rows").iter().cloned());
        next = page["next"].as_str().map(|url| url.replace(&server.url(""), ""));
    }
    all
}

#[test]
fn lists_are_filtered_paged_and_newest_first() {
    let receiver = Receiver::start();
    receiver.on("/bad", reply(REFUSED));
    let server = TestServer::start();
    server.create_webhook(&webhook("good", &receiver.url("/good")));
    let bad = server.create_webhook(&webhook("bad", &receiver.url("/bad")));
    for n in 1..=5 {
        server.emit(&site_event("updated", n, json!({})));
    }
    server.wait_for("/api/status/", |s| {
        s["deliveries"]["delivered"] == json!(5) && s["deliveries"]["failed"] == json!(5)
    });
    // Lists are complete within a second.
    server.wait_for("/api/deliveries/?status=failed&status=delivered", |l| {
        l["results"].as_array().is_some_and(|rows| rows.len() == 10)
    });
    let failed = server.wait_for("/api/deliveries/?status=failed&limit=2", |l| l["count"] == json!(5));
    assert_eq!(failed["results"].as_array().map(Vec::len), Some(2));
    assert_eq!((&failed["results"][0]["object_id"], &failed["previous"]), (&json!("5"), &Value::Null));
    assert!(failed["next"].as_str().is_some_and(|url| url.starts_with(&server.url("/api/deliveries/?"))), "{failed}");
    let all = pages(&server, "/api/deliveries/?limit=3");
    assert_eq!(all.len(), 10);
    let of_bad = server.list(&format!("/api/deliveries/?webhook_id={}", bad["id"]));
    assert!(
        of_bad.len() == 5
            && of_bad.iter().all(|d| d["status"] == json!("failed") && d["status_code"] == json!(REFUSED))
    );
    assert_eq!(server.list("/api/deliveries/?object_id=2&object_id=4").len(), 4);
    assert_eq!(
        server.list(&format!("/api/deliveries/?event_id={}", all[0]["event_id"].as_str().expect("an id"))).len(),
        2
    );
    assert_eq!(server.list("/api/deliveries/?created__lt=2020-01-01"), Vec::<Value>::new());
    assert_eq!(server.list("/api/deliveries/?event=created"), Vec::<Value>::new());
    assert_eq!(server.list("/api/deliveries/?status=failed&status=delivered&model=Site").len(), 10);
    server.get("/api/deliveries/?event_id=01890000-0000-7000-8000-000000000000").expect(400);
}

#[test]
fn a_failed_delivery_is_retried_by_hand() {
    let receiver = Receiver::script([reply(REFUSED)]);
    let server = TestServer::start();
    server.create_webhook(&webhook("sites", &receiver.url("/")));
    server.emit(&site_event("updated", 1, json!({"n": 1})));
    let failed = server.wait_for("/api/deliveries/", |l| l["results"][0]["status"] == json!("failed"));
    server.emit(&site_event("updated", 1, json!({"n": 2})));
    server.wait_for("/api/deliveries/", |l| l["results"][0]["status"] == json!("delivered"));
    let path = format!("/api/deliveries/{}/", id(&failed["results"][0]));
    let retried = server.post(&format!("{path}retry/"), &json!({})).expect(202).json();
    assert_eq!(retried["newer_delivered"], json!(true));
    assert_eq!(receiver.wait_for(3)[2].json()["data"]["n"], json!(1));
    let done = server.wait_for(&path, |d| d["status"] == json!("delivered"));
    assert_eq!(done["attempt_count"], json!(2));
    server.post(&format!("{path}retry/"), &json!({})).expect(409);
    let resent = server.post(&format!("{path}resend/"), &json!({})).expect(202).json();
    assert_ne!(resent["id"], done["id"]);
    receiver.wait_for(4);
    let copy = server.wait_for(&format!("/api/deliveries/{}/", id(&resent)), |d| d["status"] == json!("delivered"));
    assert_eq!(copy["resend_of"], done["id"]);
    let made = copy["created"].as_str().expect("a time");
    assert!(made > done["finished_at"].as_str().expect("a time"), "it was made when it was ordered: {copy}");
    let later = server.list(&format!("/api/deliveries/?created__gte={made}"));
    assert_eq!(later.iter().map(|row| &row["id"]).collect::<Vec<_>>(), [&copy["id"]]);
    let actions: Vec<Value> = server.list("/api/audit/").into_iter().map(|e| e["action"].clone()).collect();
    assert_eq!(actions[..2], [json!("delivery.resend"), json!("delivery.retry")]);
}

#[test]
fn a_waiting_delivery_says_what_it_waits_for_and_can_be_canceled() {
    let receiver = Receiver::script([hang()]);
    let server = TestServer::start();
    server.create_webhook(&webhook("sites", &receiver.url("/")));
    for n in 1..=2 {
        server.emit(&site_event("updated", 1, json!({"n": n})));
    }
    receiver.wait_for(1);
    let list = server.wait_for("/api/deliveries/", |l| {
        l["results"][1]["status"] == json!("in_flight") && l["results"][0]["waiting_for"]["reason"] == json!("behind")
    });
    let (second, first) = (&list["results"][0], &list["results"][1]);
    assert_eq!(second["waiting_for"]["behind"], first["id"]);
    assert_eq!(first["waiting_for"], Value::Null);
    let canceled = server.post(&format!("/api/deliveries/{}/cancel/", id(second)), &json!({})).expect(202).json();
    assert_eq!(canceled["status"], json!("canceled"));
    server.post(&format!("/api/deliveries/{}/cancel/", id(second)), &json!({})).expect(409);
    assert_eq!(server.list("/api/deliveries/?status=in_flight").len(), 1);
}

#[test]
fn all_that_match_are_retried_in_order_or_canceled() {
    let receiver = Receiver::with(|_| reply(REFUSED));
    let server = TestServer::start();
    let made = server.create_webhook(&webhook("sites", &receiver.url("/")));
    for n in 1..=20 {
        server.emit(&site_event("updated", n, json!({})));
    }
    server.wait_for("/api/status/", |s| s["deliveries"]["failed"] == json!(20));
    receiver.clear();
    receiver.now_script([]);
    let filter = json!({"status": "failed", "webhook_id": made["id"]});
    let started = server.post("/api/deliveries/retry/", &filter).expect(202).json();
    assert_eq!(started["matched"], json!(20));
    let url = started["url"].as_str().expect("a URL");
    let done = server.wait_for(url, |b| b["state"] == json!("finished"));
    assert_eq!((&done["action"], &done["done"], &done["skipped"]), (&json!("retry"), &json!(20), &json!(0)));
    let objects: Vec<_> = receiver.wait_for(20).iter().map(|r| r.json()["data"]["id"].clone()).collect();
    assert_eq!(objects, (1..=20).map(|n| json!(n)).collect::<Vec<_>>());

    server.post(&format!("/api/endpoints/{}/pause/", made["endpoint_id"]), &json!({})).expect(200);
    for n in 1..=3 {
        server.emit(&site_event("updated", n, json!({})));
    }
    let started =
        server.post("/api/deliveries/cancel/", &json!({"status": ["pending"], "object_id": [1, 2]})).expect(202).json();
    server.wait_for(started["url"].as_str().expect("a URL"), |b| {
        b["state"] == json!("finished") && b["done"] == json!(2)
    });
    assert_eq!(server.list("/api/deliveries/?status=canceled").len(), 2);
    assert_eq!(server.list("/api/bulk-actions/").len(), 2);
    server.post("/api/deliveries/cancel/", &json!({})).expect(400);
    let bad = server.post("/api/deliveries/retry/", &json!({"webhook_id": null, "colour": "red"})).expect(400).json();
    assert!(bad["webhook_id"].is_array(), "{bad}");
    server.get("/api/bulk-actions/999/").expect(404);
}
