//! Users whom a proxy in front names: `auth.remote_user_header`.

use serde_json::{Value, json};

use super::dashboard::Browser;
use super::support::{TestServer, http::Answer};

const STATUS: &str = "/admin/webhook-backend-status";
const DELIVERIES: &str = "/admin/webhook-backend-status/deliveries/?status=failed";
const SESSION: &str = "netbox_webhookd_session";
const ANN: (&str, &str) = ("X-Remote-User", "ann");
const BOB: (&str, &str) = ("X-Remote-User", "bob");

/// With accounts of ann, an operator, and bob, who may look. `proxies`: who is believed.
fn server(proxies: &str) -> TestServer {
    let server = TestServer::with_config(format!(
        "[server]\ntrusted_proxies = [\"{proxies}\"]\n[auth]\nremote_user_header = \"X-Remote-User\"\n"
    ));
    for (name, role) in [("ann", "operator"), ("bob", "viewer")] {
        let user = json!({"name": name, "role": role, "password": "correct horse"});
        server.post("/api/users/", &user).expect(201);
    }
    server
}

fn trusting() -> TestServer {
    server("127.0.0.1/32")
}

fn visitor<'a>(server: &'a TestServer, proxy: &[(&'a str, &'a str)]) -> Browser<'a> {
    let mut browser = Browser::new(server, "");
    browser.proxy = proxy.to_vec();
    browser
}

/// The page is asked for again, with a session.
#[track_caller]
fn assert_admitted(answer: &Answer, path: &str) {
    assert_eq!((answer.status, answer.header("location")), (303, Some(path)));
    assert!(begins(answer), "{:?}", answer.headers);
}

#[track_caller]
fn assert_login(answer: &Answer) {
    assert_eq!(answer.status, 303);
    assert!(answer.header("location").is_some_and(|to| to.contains("/login/")), "{:?}", answer.headers);
    assert!(!begins(answer), "{:?}", answer.headers);
}

fn begins(answer: &Answer) -> bool {
    let session = |line: &str| line.strip_prefix(SESSION).is_some_and(|rest| !rest.starts_with("=;"));
    answer.headers.iter().any(|(name, line)| name == "set-cookie" && session(line))
}

#[test]
fn whom_a_trusted_proxy_names_is_logged_in_and_goes_on() {
    let server = trusting();
    let mut browser = visitor(&server, &[ANN]);
    assert_admitted(&browser.get(DELIVERIES), DELIVERIES);
    let page = browser.get(DELIVERIES).expect(200).text();
    assert!(page.contains("ann <span class=\"small\">(operator)</span>"), "{page}");
    // Forms are taken as ever: with the secret of the session, and not without.
    browser.post_with(&format!("{STATUS}/theme/"), &[("theme", "dark")], "", &[]).expect(403);
    browser.post(&format!("{STATUS}/theme/"), &[("theme", "dark")]).expect(303);
    browser.get(&format!("{STATUS}/access/")).expect(403);
    let begun: Vec<Value> =
        server.list("/api/audit/").into_iter().filter(|entry| entry["action"] == json!("session.open")).collect();
    assert_eq!(begun.len(), 1, "{begun:?}");
    assert_eq!((&begun[0]["actor"], &begun[0]["target"]), (&json!("ann"), &json!("session of ann")));
    assert_eq!(begun[0]["detail"], json!({"named_by": "127.0.0.1"}));
}

#[test]
fn the_session_ends_when_the_proxy_names_another_or_nobody() {
    let server = trusting();
    let mut browser = visitor(&server, &[ANN]);
    browser.get(DELIVERIES).expect(303);
    browser.get(DELIVERIES).expect(200);
    let of_ann = browser.cookies.clone();
    browser.proxy = vec![BOB];
    assert_admitted(&browser.get(DELIVERIES), DELIVERIES);
    assert!(browser.get(DELIVERIES).expect(200).text().contains("bob <span"));
    browser.proxy = Vec::new();
    assert_login(&browser.get(DELIVERIES));
    browser.proxy = vec![ANN];
    assert_admitted(&browser.get(DELIVERIES), DELIVERIES);
    // What was ann's ended for good when the proxy named bob.
    browser.cookies = of_ann.into_iter().filter(|(name, _)| name == SESSION).collect();
    assert!(begins(&browser.get(DELIVERIES)));
    // A form cannot be asked for again.
    browser.proxy = vec![BOB];
    assert_login(&browser.post(&format!("{STATUS}/deliveries/confirm/"), &[("action", "retry-all")]));
}

#[test]
fn nobody_else_is_believed() {
    let distant = server("10.0.0.0/8");
    for (server, proxy) in [
        (&distant, &[ANN][..]),
        (&trusting(), &[("X-Remote-User", "")]),
        (&trusting(), &[ANN, BOB]),
        (&trusting(), &[("X-Remote-User", ""), ANN]),
        (&trusting(), &[("Remote-User", "ann")]),
        (&trusting(), &[("X-Remote-User", "ANN")]),
    ] {
        let mut browser = visitor(server, proxy);
        assert_login(&browser.get(DELIVERIES));
        let text = browser.get(&format!("{STATUS}/login/")).expect(200).text();
        assert!(!text.contains("Go on as"), "{proxy:?}");
        assert_eq!(text.contains("more than one user"), proxy.len() == 2, "{proxy:?}");
        // Nor by the button that is not there.
        assert!(!begins(&browser.post(&format!("{STATUS}/login/"), &[("remote", "yes")])), "{proxy:?}");
    }
    let server = trusting();
    assert!(begins(&visitor(&server, &[ANN, ANN]).get(DELIVERIES)), "twice the same is no contradiction");
    let off = TestServer::with_config("[server]\ntrusted_proxies = [\"127.0.0.1\"]\n");
    off.post("/api/users/", &json!({"name": "ann", "role": "admin", "password": "correct horse"})).expect(201);
    assert_login(&visitor(&off, &[ANN]).get(DELIVERIES));
}

#[test]
fn a_session_of_a_proxy_is_none_without_it() {
    let server = trusting();
    let mut browser = visitor(&server, &[ANN]);
    browser.get(DELIVERIES).expect(303);
    browser.get(DELIVERIES).expect(200);
    let mut direct = Browser::new(&server, "");
    direct.cookies = browser.cookies.clone();
    assert_login(&direct.get(DELIVERIES));
}

#[test]
fn the_login_page_says_who_has_no_account() {
    let server = trusting();
    let mut browser = visitor(&server, &[("X-Remote-User", "<b>eve</b>")]);
    assert_login(&browser.get(DELIVERIES));
    let text = browser.get(&format!("{STATUS}/login/")).expect(200).text();
    assert!(text.contains("&#60;b&#62;eve&#60;/b&#62;") && !text.contains("<b>eve"), "{text}");
    assert!(text.contains("no account here") && text.contains("user create NAME"), "{text}");
    let user = json!({"name": "<b>eve</b>", "role": "viewer", "password": "correct horse"});
    server.post("/api/users/", &user).expect(201);
    assert_admitted(&browser.get(DELIVERIES), DELIVERIES);
    assert!(!browser.get(DELIVERIES).expect(200).text().contains("<b>eve"));
}

#[test]
fn who_logs_out_stays_out_until_the_next_page() {
    let server = trusting();
    let mut browser = visitor(&server, &[ANN]);
    browser.get(DELIVERIES).expect(303);
    browser.get(DELIVERIES).expect(200);
    let out = browser.post(&format!("{STATUS}/logout/"), &[]).expect(303);
    let login = out.header("location").expect("the login page").to_owned();
    for _ in 0..2 {
        let page = browser.get(&login).expect(200);
        assert!(!begins(&page), "{:?}", page.headers);
        let text = page.text();
        assert!(text.contains("You are logged out") && text.contains("Go on as <bdi>ann</bdi>"), "{text}");
    }
    // Whom nobody names may log in as somebody else, and the proxy does not end that.
    browser.post(&format!("{STATUS}/login/"), &[("name", "bob"), ("password", "correct horse")]).expect(303);
    assert!(browser.get(DELIVERIES).expect(200).text().contains("bob <span"));
    browser.post(&format!("{STATUS}/logout/"), &[]).expect(303);
    browser.get(&login).expect(200);
    let next = [("remote", "yes"), ("next", DELIVERIES)];
    browser.post_with(&format!("{STATUS}/login/"), &next, "", &[]).expect(403);
    let on = browser.post(&format!("{STATUS}/login/"), &next);
    assert_admitted(&on, DELIVERIES);
    assert!(browser.get(DELIVERIES).expect(200).text().contains("ann <span"));
}

/// Cookies that are for this site alone do not come along with a link on another one, nor after its redirects.
#[test]
fn a_link_on_another_site_leads_to_the_button_and_begins_one_session_at_most() {
    let server = trusting();
    let mut browser = visitor(&server, &[ANN]);
    assert_login(&browser.get_with(DELIVERIES, &[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Dest", "document")]));
    assert_login(&browser.get_with(DELIVERIES, &[("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Dest", "empty")]));
    let first = browser.get(DELIVERIES);
    assert_admitted(&first, DELIVERIES);
    let whole = browser.cookies.clone();
    browser.cookies.retain(|(name, _)| name != SESSION);
    assert_login(&browser.get(DELIVERIES));
    // From the login page on it is the same site again.
    let login = browser.get(&format!("{STATUS}/login/")).expect(200).text();
    assert!(login.contains("Go on as"), "{login}");
    browser.cookies.extend(whole.into_iter().filter(|(name, _)| name == SESSION));
    let on = browser.post(&format!("{STATUS}/login/"), &[("remote", "yes"), ("next", DELIVERIES)]).expect(303);
    assert!(!begins(&on), "the session that is there is taken: {:?}", on.headers);
    browser.get(DELIVERIES).expect(200);
}

#[test]
fn a_session_of_a_proxy_ends_with_its_account() {
    let server = trusting();
    let mut browser = visitor(&server, &[ANN]);
    browser.get(DELIVERIES).expect(303);
    browser.get(DELIVERIES).expect(200);
    let users = server.list("/api/users/");
    let ann = users.iter().find(|user| user["name"] == json!("ann")).expect("ann");
    server.patch(&format!("/api/users/{}/", ann["id"]), &json!({"role": "viewer"})).expect(200);
    assert!(browser.get(DELIVERIES).expect(200).text().contains("(viewer)"));
    server.delete(&format!("/api/users/{}/", ann["id"])).expect(204);
    assert_login(&browser.get(DELIVERIES));
}
