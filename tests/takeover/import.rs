//! `import-netbox`.

use std::process::Output;

use serde_json::{Value, json};

use super::netbox::{self, Netbox};
use super::support::{TestServer, server::TOKEN};

fn import(server: &TestServer, netbox: &Netbox, more: &[&str]) -> Output {
    let (ours, url) = (server.url(""), netbox.url());
    let mut arguments = vec!["import-netbox", "--url", &ours, "--token", TOKEN, "--netbox-url", &url];
    arguments.extend(["--netbox-token", netbox::TOKEN, "--json"]);
    arguments.extend(more);
    server.command(&arguments).output().expect("it can be run")
}

fn actions(output: &Output) -> Vec<(String, String)> {
    let rows: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |row: &Value, field: &str| row[field].as_str().expect("a text").to_owned();
    rows.as_array().expect("rows").iter().map(|row| (text(row, "action"), text(row, "name"))).collect()
}

#[test]
fn rules_become_definitions_when_they_are_asked_to() {
    let netbox = Netbox::start();
    let rule = |id: u64, name: &str, webhook: u64| {
        json!({"id": id, "name": name, "object_types": ["dcim.site"], "enabled": true, "description": "",
            "event_types": ["object_created"], "conditions": {"attr": "name", "value": "x"},
            "action_object_type": "extras.webhook", "action_object_id": webhook})
    };
    netbox.webhook(1, &json!({"payload_url": "https://h/{{ data.id }}", "secret": "hush"}));
    netbox.webhook(2, &json!({"payload_url": "no url"}));
    netbox.rule(rule(1, "sites", 1));
    netbox.rule(rule(2, "broken", 2));
    let server = TestServer::start();
    let shown = import(&server, &netbox, &[]);
    let expected = [("create", "sites"), ("refused", "broken")].map(|(a, n)| (a.to_owned(), n.to_owned()));
    assert_eq!(actions(&shown), expected);
    assert_eq!(shown.status.code(), Some(1), "one was refused");
    assert_eq!(server.list("/api/webhooks/").len(), 0, "nothing was written");
    import(&server, &netbox, &["--write"]);
    let made = &server.list("/api/webhooks/")[0];
    assert_eq!(
        (&made["name"], &made["secret"], &made["payload_format"]),
        (&json!("sites"), &json!("********"), &json!("netbox"))
    );
    assert_eq!(made["conditions"], json!({"attr": "name", "value": "x"}));
    let revision = made["revision"].clone();
    assert_eq!(actions(&import(&server, &netbox, &["--write"]))[0].0, "unchanged");
    assert_eq!(server.list("/api/webhooks/")[0]["revision"], revision, "the same again is no change");
    netbox.webhook(1, &json!({"payload_url": "https://other/", "secret": "hush"}));
    assert_eq!(actions(&import(&server, &netbox, &["--write"]))[0].0, "update");
    assert_eq!(server.list("/api/webhooks/")[0]["payload_url"], "https://other/");
}
