use std::time::Duration;

use serde_json::{Map, Value, json};

use super::policy::{Resolved, parse_patch, resolve, to_json};
use super::*;
use crate::domain::payload_url::Origin;
use crate::domain::policy::{Ordering, Rate};

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn load(text: &str) -> Config {
    Config::parse(text, &[]).expect("a valid configuration")
}

/// The problems of a text, as `line: key: message`.
fn problems(text: &str) -> Vec<String> {
    let problems = Config::parse(text, &[]).expect_err("an invalid configuration");
    problems.iter().map(|p| format!("{}: {}: {}", p.place, p.key, p.message)).collect()
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn resolved(config: &Config, url: &str, patch: Value) -> Resolved {
    let url = crate::domain::payload_url::PayloadUrl::parse(url).expect("a URL");
    resolve(config, &url.url, &url.origin, &object(patch))
}

#[test]
fn the_shipped_file_says_what_the_defaults_are() {
    let shipped = include_str!("../../config.toml");
    assert_eq!(load(shipped), Config::default());
    for key in keys_of(&effective(&Config::default())) {
        // Only [redis] is repeated by a table that may override it.
        let written = shipped.lines().any(|line| line.starts_with(&format!("{key} = ")) && line.contains('#'));
        assert!(written, "config.toml does not explain {key}");
    }
}

fn keys_of(toml: &str) -> Vec<String> {
    toml.lines().filter_map(|line| Some(line.split_once(" = ")?.0.to_owned())).collect()
}

#[test]
fn the_effective_configuration_loads_again() {
    let config = load(
        "[server]\nlisten = \"[::1]:0\"\n[delivery]\nrate_limit = \"10/s\"\nmax_age = \"\"\n\
         [netbox]\nversion = \"4.5.2\"\n[[endpoint]]\nurl = \"https://a/*\"\nburst = 3\n\
         [[webhook]]\nname = \"x\"\nconditions = { and = [{ attr = \"a\", value = [1, 2.5] }] }",
    );
    let again = load(&effective(&config));
    assert_eq!(again.server, config.server);
    assert_eq!(again.delivery, config.delivery);
    assert_eq!(again.netbox.version, Some(NetboxVersion(4, 5)));
    assert_eq!(again.endpoints[0].set, config.endpoints[0].set);
    assert_eq!(again.file_webhooks[0].value, config.file_webhooks[0].value);
}

#[test]
fn the_effective_configuration_hides_secrets_and_shows_the_schedule() {
    let shown = effective(&load(
        "[auth]\nbootstrap_token = \"hush-1\"\n[redis]\npassword = \"hush-2\"\n[[webhook]]\nname = \"x\"\n\
         secret = \"hush-3\"\npayload_url = \"https://u:hush-4@h/\"\nadditional_headers = \"Authorization: hush-5\\nX-A: b\"\n\
         [[endpoint]]\nurl = \"https://h/*\"\nmax_attempts = 3",
    ));
    assert!(!shown.contains("hush"), "{shown}");
    assert!(shown.contains("X-A: b"), "{shown}");
    assert!(
        shown.contains("waits between attempts: 1s, 2s, 4s") && shown.contains("12 x 1h; 13.1 h in all"),
        "{shown}"
    );
    assert!(shown.contains("waits between attempts: 1s, 2s; 3 s in all"), "{shown}");
    let debug = format!("{:?}", load("[auth]\nbootstrap_token = \"hush-1\"\n[redis]\npassword = \"hush-2\""));
    assert!(!debug.contains("hush"), "{debug}");
}

#[test]
fn every_problem_is_listed_with_its_line_and_what_is_allowed() {
    let found = problems(
        "[server]\nlisten = \"nowhere\"\nmax_batch = 0\nlissten = 1\nmax_body = \"1MB\"\n\
         [delivery]\nordering = \"fifo\"\nconcurrency = \"4\"\ntimeout = 30\nburst = -1\n\
         [sevrer]\n[store]\nbackend = \"redis\"\n[intake.netbox_queue]\nenabled = true\nqueue = \"\"",
    );
    let expected = [
        "line 2: server.listen: \"nowhere\" is not an IP address with a port",
        "line 3: server.max_batch: 0 is not allowed; a whole number from 1 to 1000000",
        "line 4: server.lissten: unknown key; did you mean \"listen\"?",
        "line 5: server.max_body: \"1MB\" is not a size",
        "line 7: delivery.ordering: \"fifo\" is not allowed; one of \"object\", \"endpoint\", \"none\"",
        "line 8: delivery.concurrency: \"4\" is not allowed; a whole number from 1 to 10000",
        "line 9: delivery.timeout: 30 is not allowed; a duration like \"30s\"",
        "line 10: delivery.burst: -1 is not allowed",
        "line 11: sevrer: unknown table; did you mean [server]?",
        "line 13: store.backend: \"redis\" is not supported in this version; use \"embedded\"",
        "line 15: intake.netbox_queue.enabled: needs netbox.url and netbox.token",
        "line 16: intake.netbox_queue.queue: ",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn a_file_that_is_no_toml_names_the_line() {
    assert!(problems("[server]\nlisten = \n")[0].starts_with("line 2: : not valid TOML"));
    assert!(problems("[server]\nmax_batch = 1\nmax_batch = 2\n")[0].starts_with("line 3: "));
    assert!(problems("server = 3")[0].contains("write [server]"));
    assert!(problems("[endpoint]\nurl = \"https://a/\"")[0].contains("[[endpoint]]"));
}

#[test]
fn the_message_names_file_and_variable() {
    let variables = env(&[("NETBOX_WEBHOOKD__STORE__MAX_BACKLOG", "many"), ("NETBOX_WEBHOOKD__STOER__PATH", "x")]);
    let problems = Config::parse("[log]\nlevel = \"loud\"", &variables).expect_err("three problems");
    let text = ConfigError::Invalid { file: Some("/etc/x.toml".into()), problems }.to_string();
    assert!(text.contains("3 problems"), "{text}");
    assert!(text.contains("/etc/x.toml:2: log.level: \"loud\""), "{text}");
    assert!(text.contains("NETBOX_WEBHOOKD__STORE__MAX_BACKLOG: store.max_backlog: \"many\" is not allowed"), "{text}");
    assert!(text.contains("NETBOX_WEBHOOKD__STOER__PATH: stoer.path: no such key"), "{text}");
}

#[test]
fn the_environment_overrides_the_file() {
    let variables = env(&[
        ("NETBOX_WEBHOOKD__SERVER__LISTEN", "0.0.0.0:1"),
        ("NETBOX_WEBHOOKD__SERVER__MAX_BATCH", "7"),
        ("NETBOX_WEBHOOKD__AUTH__BOOTSTRAP_TOKEN", "12345"),
        ("NETBOX_WEBHOOKD__DELIVERY__COALESCE", "True"),
        ("NETBOX_WEBHOOKD__NETBOX__VERSION", "4.2"),
        ("NETBOX_WEBHOOKD__SECURITY__DENY_NETWORKS", "10.0.0.0/8, ::1"),
        ("NETBOX_WEBHOOKD__SECURITY__ALLOW_NETWORKS", "[\"127.0.0.1\"]"),
        ("NETBOX_WEBHOOKD__INTAKE__NETBOX_QUEUE__QUEUE", "q"),
        ("NETBOX_WEBHOOKD_CONFIG", "/somewhere.toml"),
        ("WEBHOOKS_ENABLED", "False"),
    ]);
    let config = Config::parse("[server]\nlisten = \"127.0.0.1:2\"\nmax_batch = 9", &variables).expect("valid");
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:1");
    assert_eq!(config.server.max_batch, 7);
    assert_eq!(config.auth.bootstrap_token, "12345");
    assert!(config.delivery.policy.coalesce);
    assert_eq!(config.netbox.version, Some(NetboxVersion(4, 2)));
    assert_eq!(config.security.deny_networks.len(), 2);
    assert_eq!(config.security.allow_networks[0].to_string(), "127.0.0.1/32");
    assert_eq!(config.intake.netbox_queue.queue, "q");
    assert!(!config.webhooks.enabled);
}

#[test]
fn our_own_switch_wins_over_netboxs() {
    let both = env(&[("NETBOX_WEBHOOKD__WEBHOOKS__ENABLED", "true"), ("WEBHOOKS_ENABLED", "false")]);
    assert!(Config::parse("", &both).expect("valid").webhooks.enabled);
    let odd = Config::parse("", &env(&[("WEBHOOKS_ENABLED", "maybe")])).expect_err("not a truth value");
    assert_eq!(odd[0].message, "\"maybe\" is not allowed; true or false");
}

#[test]
fn the_queue_inherits_the_redis_it_does_not_override() {
    let config = load("[redis]\nhost = \"r\"\ndatabase = 1\n[intake.netbox_queue]\ndatabase = 4");
    let redis = &config.intake.netbox_queue.redis;
    assert_eq!((redis.host.as_str(), redis.database), ("r", 4));
}

#[test]
fn file_webhooks_keep_their_line_and_need_distinct_names() {
    let config = load("\n[[webhook]]\nname = \"a\"\nmodels = [\"dcim.site\"]\n\n[[webhook]]\nname = \"b\"\n");
    assert_eq!(config.file_webhooks.iter().map(|w| w.line).collect::<Vec<_>>(), [2, 6]);
    assert_eq!(config.file_webhooks[0].value, json!({"name": "a", "models": ["dcim.site"]}));
    let found = problems("[[webhook]]\nname = \"a\"\n[[webhook]]\nname = \"a\"\n[[webhook]]\nmodels = []");
    assert!(
        found[0].starts_with("line 3: webhook.name: \"a\" is already") && found[1].starts_with("line 5: "),
        "{found:?}"
    );
}

#[test]
fn endpoint_rules_take_policy_keys_only() {
    let found = problems(
        "[[endpoint]]\nrate_limit = \"2/s\"\n[[endpoint]]\nurl = \"https://a/x*\"\norigin_burst = 2\nmax_in_flight = 3\n\
         concurrency = 0",
    );
    assert!(found[0].starts_with("line 1: endpoint.url: must be"), "{found:?}");
    assert!(found[1].starts_with("line 5: endpoint.origin_burst: holds for a whole origin"), "{found:?}");
    assert!(found[2].starts_with("line 6: endpoint.max_in_flight: unknown key"), "{found:?}");
    assert!(found[3].starts_with("line 7: endpoint.concurrency: 0"), "{found:?}");
}

const RULES: &str = r#"
[delivery]
concurrency = 2
[[endpoint]]
url = "https://AWX.example.com:443/*"
rate_limit = "2/s"
timeout = "10s"
origin_concurrency = 8
[[endpoint]]
url = "https://*.example.com/hook/*/x"
timeout = "20s"
[[endpoint]]
url = "http://other/"
burst = 9
"#;

#[test]
fn the_last_rule_wins_per_key_and_a_patch_over_it() {
    let config = load(RULES);
    let r = resolved(
        &config,
        "https://awx.example.com/hook/1/x",
        json!({"timeout": "5s", "burst": null, "ordering": "none"}),
    );
    assert_eq!(r.policy.timeout, Duration::from_secs(5));
    assert_eq!(r.policy.rate_limit, Some(Rate { count: 2, per: Duration::from_secs(1) }));
    assert_eq!((r.policy.concurrency, r.policy.burst, r.policy.origin_concurrency), (2, 1, 8));
    assert_eq!(r.policy.ordering, Ordering::None);
    let from = |key| r.origins.get(key).map(String::as_str);
    assert_eq!(from("timeout"), Some("api"));
    assert_eq!(from("rate_limit"), Some("config:4"));
    assert_eq!(from("burst"), Some("default"));
    assert_eq!(r.origins.len(), to_json(&r).len());

    let without_patch = resolved(&config, "https://awx.example.com/hook/1/x", json!({}));
    assert_eq!(without_patch.policy.timeout, Duration::from_secs(20));
    assert_eq!(without_patch.origins.get("timeout").map(String::as_str), Some("config:9"));
    assert_eq!(resolved(&config, "https://awx.example.com/", json!({})).policy.timeout, Duration::from_secs(10));
    assert_eq!(resolved(&config, "https://example.com/hook/1/x", json!({})).policy, config.delivery.policy);
    assert_eq!(resolved(&config, "http://other:80", json!({})).policy.burst, 9);
}

#[test]
fn limits_of_an_origin_hold_for_its_templates_too() {
    let config = load(RULES);
    let origin = Origin("https://awx.example.com".into());
    let r = resolve(&config, "https://{{ data.host }}/", &origin, &Map::new());
    assert_eq!(r.policy.origin_concurrency, 8);
    let patched = object(json!({"origin_concurrency": 1}));
    assert_eq!(resolve(&config, "https://awx.example.com/", &origin, &patched).policy.origin_concurrency, 8);
}

#[test]
fn a_patch_is_checked_key_by_key() {
    assert_eq!(
        parse_patch(&object(json!({"rate_limit": "10/s", "max_age": "", "timeout": null, "coalesce": true}))),
        Ok(())
    );
    let errors = parse_patch(&object(json!({
        "rate_limit": 10, "concurrency": 0, "colour": "red", "origin_burst": 3, "max_in_flight": 1, "ordering": "none"
    })))
    .expect_err("five errors");
    assert_eq!(
        errors.keys().collect::<Vec<_>>(),
        ["colour", "concurrency", "max_in_flight", "origin_burst", "rate_limit"]
    );
    assert!(errors["rate_limit"][0].contains("10/s"), "{errors:?}");
    assert!(errors["origin_burst"][0].contains("[[endpoint]]"), "{errors:?}");
}

#[test]
fn policies_are_spelt_as_in_the_file() {
    let shown = to_json(&resolved(&Config::default(), "https://a/", json!({"rate_limit": "600/m"})));
    let expect = json!({"timeout": "30s", "max_age": "72h", "backoff_max": "1h", "breaker_cooldown_max": "5m",
        "rate_limit": "600/m", "origin_rate_limit": "", "ordering": "object", "concurrency": 1, "coalesce": false});
    for (key, value) in object(expect) {
        assert_eq!(shown[&key], value, "{key}");
    }
}

#[test]
fn values_of_each_kind_are_checked() {
    for (text, part) in [
        ("[webhooks]\nmodels = [\"Site\"]", "my_plugin.MyModel"),
        ("[webhooks]\nmodels = \"a.B\"", "a list like"),
        ("[webhooks]\nenabled = \"yes\"", "true or false"),
        ("[server]\nbase_path = \"/a/\"", "no slash at its end"),
        ("[server]\nbase_path = \"a\"", "give one like"),
        ("[server]\ntrusted_proxies = [\"10.0.0.0/99\"]", "is not a network"),
        ("[server]\nshutdown_timeout = \"2h\"", "\"2h\" is out of range; from \"0s\" to \"1h\""),
        ("[auth]\nbootstrap_token = \"a b\"", "must not contain spaces"),
        (
            "[server]\ntrusted_proxies = [\"::1\"]\n[auth]\nremote_user_header = \"Remote User\"",
            "line 4: auth.remote_user_header: \"Remote User\" is not the name of a header",
        ),
        (
            "[auth]\nremote_user_header = \"X-Remote-User\"",
            "line 2: auth.remote_user_header: needs server.trusted_proxies",
        ),
        ("[store]\npath = \"\"", "must be a folder"),
        ("[store]\nmax_size = \"1KiB\"", "from \"64MiB\""),
        ("[netbox]\nurl = \"netbox\"", "web address"),
        ("[netbox]\nversion = \"1.0\"", "from 2.4 to 4.7"),
        ("[redis]\nport = 70000", "from 1 to 65535"),
        ("[log]\nlevel = \"info,x=loud\"", "log filter"),
        ("[log]\nformat = \"xml\"", "one of \"pretty\", \"json\""),
        ("[intake]\nidempotency_window = \"0s\"", "out of range"),
    ] {
        let found = problems(text);
        assert!(found.len() == 1 && found[0].contains(part), "{text}: {found:?}");
    }
}

#[test]
fn an_unreadable_file_is_named() {
    let error = Config::load(Some(std::path::Path::new("/does/not/exist.toml"))).expect_err("no such file");
    assert!(error.to_string().contains("/does/not/exist.toml cannot be read"), "{error}");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_loader_panic(text in "(\\[\\[?(endpoint|webhook|server|x)\\]\\]?\n)?([a-z_.]{1,8} ?= ?[\\[\\]{}\"0-9a-z/*,.]{0,12}\n){0,6}") {
        let _ = Config::parse(&text, &[]);
    }
}
