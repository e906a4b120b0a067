//! Tokens and scopes.

use std::collections::HashMap;

use netbox_webhookd::store::admin::Scope;
use netbox_webhookd::web::urls::URLS;
use serde_json::{Value, json};

use super::support::{TestServer, http::open_stream};

/// A token of each scope, by scope.
fn tokens(server: &TestServer) -> HashMap<Scope, String> {
    let make = |scope: Scope| {
        let body = json!({"name": scope.as_str(), "scopes": [scope]});
        let made = server.post("/api/tokens/", &body).expect(201).json();
        (scope, made["token"].as_str().expect("it is shown once").to_owned())
    };
    Scope::ALL.into_iter().map(make).collect()
}

#[test]
fn every_url_asks_for_exactly_its_scope() {
    let server = TestServer::start();
    let tokens = tokens(&server);
    for url in URLS {
        let uuid = url.path.contains("events") || url.path.contains("deliveries");
        let path = url.path.replace("{id}", if uuid { "01890000-0000-7000-8000-000000000000" } else { "999" });
        for (method, needed, _) in url.methods {
            let status = |token: Option<&str>| match path.as_str() {
                // Its body does not end.
                "/api/stream/" => head(&server, token, &path),
                _ => server.request_as(token, method, &path, None).status,
            };
            let Some(needed) = needed else {
                assert!(!matches!(status(None), 401 | 403 | 404 | 405), "{method} {path} needs no token");
                continue;
            };
            assert_eq!(status(None), 401, "{method} {path} without a token");
            assert_eq!(status(Some("wrong")), 401, "{method} {path} with an unknown token");
            for scope in Scope::ALL {
                let allowed = scope == *needed || scope == Scope::Admin;
                let refused = status(Some(&tokens[&scope])) == 403;
                assert_eq!(refused, !allowed, "{method} {path} with scope {}", scope.as_str());
            }
        }
    }
}

fn head(server: &TestServer, token: Option<&str>, path: &str) -> u16 {
    let authorization = token.map(|text| format!("Token {text}"));
    let headers: Vec<_> = authorization.iter().map(|value| ("Authorization", value.as_str())).collect();
    open_stream(server.address(), path, &headers).expect("an answer").0.status
}

#[test]
fn a_401_and_a_403_say_what_is_missing() {
    let server = TestServer::start();
    let answer = server.request_as(None, "GET", "/api/webhooks/", None);
    assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Token")));
    assert!(answer.expect(401).json()["detail"].as_str().is_some_and(|text| text.contains("Authorization: Token")));
    let reader = &tokens(&server)[&Scope::Read];
    let answer = server.request_as(Some(reader), "POST", "/api/webhooks/", Some(&json!({}))).expect(403).json();
    assert_eq!(answer, json!({"detail": "this token lacks the scope \"admin\""}));
    let bearer = format!("Bearer {reader}");
    server.request_raw("GET", "/api/webhooks/", &[("Authorization", &bearer)], b"").expect(200);
}

#[test]
fn a_token_lives_from_creation_to_revocation_and_over_a_restart() {
    let mut server = TestServer::start();
    let made = server.post("/api/tokens/", &json!({"name": "ci", "scopes": ["read"]})).expect(201).json();
    let text = made["token"].as_str().expect("it is shown once").to_owned();
    let again = server.post("/api/tokens/", &json!({"name": "ci", "scopes": ["read"]})).expect(400).json();
    assert!(again["name"].is_array(), "{again}");
    let path = format!("/api/tokens/{}/", made["id"]);
    assert_eq!(server.get(&path).expect(200).json().get("token"), None);
    assert!(server.list("/api/tokens/").iter().all(|token| token.get("token").is_none()));
    server.kill();
    server.start_again();
    server.request_as(Some(&text), "GET", "/api/status/", None).expect(200);
    server.delete(&path).expect(204);
    server.request_as(Some(&text), "GET", "/api/status/", None).expect(401);
    server.delete(&path).expect(404);
    let actions: Vec<Value> = server.list("/api/audit/").into_iter().map(|entry| entry["action"].clone()).collect();
    assert!(actions.contains(&json!("token.create")) && actions.contains(&json!("token.revoke")), "{actions:?}");
}

#[test]
fn the_last_admin_token_stays() {
    let server = TestServer::start();
    let all = server.list("/api/tokens/");
    let admin = all.iter().find(|token| token["scopes"] == json!(["admin"])).expect("the bootstrap token");
    server.delete(&format!("/api/tokens/{}/", admin["id"])).expect(409);
}
