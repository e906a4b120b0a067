//! Starting, reloading and checking: the admin token, SIGHUP, `check`.

use std::time::Duration;

use serde_json::json;

use super::support::{Options, TestServer, wait_until};

const OWN_TOKEN: &str = "NETBOX_WEBHOOKD__AUTH__BOOTSTRAP_TOKEN";

fn without_given_token() -> Options {
    Options::default().env(OWN_TOKEN, "")
}

#[test]
fn a_revoked_admin_token_stays_revoked_over_a_restart() {
    let mut server = TestServer::with(without_given_token());
    let token = std::fs::read_to_string(server.data().join("admin-token")).expect("the first token");
    let token = token.trim();
    let body = json!({"name": "second", "scopes": ["admin"]});
    let made = server.request_as(Some(token), "POST", "/api/tokens/", Some(&body)).expect(201).json();
    let second = made["token"].as_str().expect("a token").to_owned();
    let tokens = server.request_as(Some(&second), "GET", "/api/tokens/", None).expect(200).json();
    let id = tokens["results"][0]["id"].clone();
    server.request_as(Some(&second), "DELETE", &format!("/api/tokens/{id}/"), None).expect(204);
    assert!(server.terminate().success());
    server.start_again();
    server.request_as(Some(token), "GET", "/api/webhooks/", None).expect(401);
    server.request_as(Some(&second), "GET", "/api/webhooks/", None).expect(200);
}

#[test]
fn an_admin_token_file_that_says_nothing_is_refused() {
    let mut server = TestServer::with(without_given_token().expect_error("admin-token"));
    assert!(server.terminate().success());
    std::fs::write(server.data().join("admin-token"), "\n").expect("writable");
    server.spawn();
    assert_eq!(server.wait_for_exit().code(), Some(1));
    std::fs::remove_file(server.data().join("admin-token")).expect("it was there");
    std::fs::create_dir(server.data().join("admin-token")).expect("a folder in its place");
    server.spawn();
    assert_eq!(server.wait_for_exit().code(), Some(1));
}

#[test]
fn check_names_every_problem_of_every_kind() {
    let config = "[server]\nlisten = \"nowhere\"\n\n[[webhook]]\nname = \"a\"\nmodels = [\"dcim.nothing\"]\n\
                  type_create = true\npayload_url = \"https://a/\"\n";
    let server = TestServer::prepare(Options::config(config));
    let mut command = server.command(&["check"]);
    command.env_remove("NETBOX_WEBHOOKD__SERVER__LISTEN");
    let output = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("server.listen") && text.contains("webhook.models"), "{text}");
}

#[test]
fn a_missing_file_is_told_of_once() {
    let server = TestServer::prepare(Options::default());
    std::fs::remove_file(server.folder().join("config.toml")).expect("it was there");
    let output = server.command(&["check"]).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(text.matches("No such file").count(), 1, "{text}");
}

#[test]
fn a_reload_takes_a_key_wholly_or_names_it() {
    let mut server = TestServer::with_config("[server]\nmax_batch = 5\n");
    let config = "[server]\nmax_batch = 1\nbase_path = \"/hooks\"\n[intake]\nidempotency_window = \"1h\"\n";
    server.set_options(Options::config(config));
    server.signal(libc::SIGHUP);
    let told = |part: &str| server.log().iter().any(|line| line.contains(part));
    wait_until("the configuration was taken", Duration::from_secs(20), || told("was taken anew"));
    let warned = server.log().into_iter().find(|line| line.contains("at the next start")).expect("a warning");
    for key in ["server.base_path", "intake.idempotency_window"] {
        assert!(warned.contains(key), "{key} in {warned}");
    }
    assert!(!warned.contains("max_batch"), "{warned}");
    let event = super::support::site_event("created", 1, json!({}));
    server.post("/api/events/", &json!([event, event])).expect(413);
    let links = server.get("/api/webhooks/?limit=1").expect(200);
    assert!(!links.text().contains("/hooks/"), "{}", links.text());
}

#[test]
fn a_reload_takes_the_admin_token_anew() {
    let server = TestServer::with(without_given_token());
    let path = server.data().join("admin-token");
    let old = std::fs::read_to_string(&path).expect("the first token");
    let new = "another-token-0123456789abcdef0123456789abcdef";
    std::fs::write(&path, new).expect("writable");
    server.signal(libc::SIGHUP);
    let told = |part: &str| server.log().iter().any(|line| line.contains(part));
    wait_until("the configuration was taken", Duration::from_secs(20), || told("was taken anew"));
    server.request_as(Some(new), "GET", "/api/webhooks/", None).expect(200);
    server.request_as(Some(old.trim()), "GET", "/api/webhooks/", None).expect(401);
}

#[test]
fn tokens_made_offline_obey_the_same_rules() {
    let mut server = TestServer::start();
    assert!(server.terminate().success());
    let run = |arguments: &[&str]| server.command(arguments).output().expect("it runs").status.code();
    assert_eq!(run(&["token", "create", "--name", " ", "--scope", "read"]), Some(1));
    assert_eq!(run(&["token", "revoke", "bootstrap"]), Some(1));
    assert_eq!(run(&["token", "create", "--name", "second", "--scope", "admin"]), Some(0));
    assert_eq!(run(&["token", "revoke", "bootstrap"]), Some(0));
}
