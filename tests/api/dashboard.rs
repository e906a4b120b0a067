//! The dashboard without a browser: who may see what, and what every page promises.

use netbox_webhookd::store::admin::Scope;
use netbox_webhookd::web::dashboard::urls::PAGES;
use serde_json::json;

use super::support::server::TOKEN;
use super::support::{Options, Receiver, TestServer, http::Answer, ports, reply, reset, site_event, webhook};

const STATUS: &str = "/admin/webhook-backend-status";

/// A browser's part: keeps cookies, repeats the secret of forms.
pub struct Browser<'a> {
    server: &'a TestServer,
    base: &'a str,
    pub cookies: Vec<(String, String)>,
    csrf: String,
    /// What a proxy adds to each request.
    pub proxy: Vec<(&'a str, &'a str)>,
}

impl<'a> Browser<'a> {
    pub fn new(server: &'a TestServer, base: &'a str) -> Self {
        Self { server, base, cookies: Vec::new(), csrf: String::new(), proxy: Vec::new() }
    }

    /// Logged in with an API token.
    pub fn with_token(server: &'a TestServer, token: &str) -> Self {
        let mut browser = Self::new(server, "");
        browser.get(&format!("{STATUS}/login/")).expect(200);
        browser.post(&format!("{STATUS}/login/"), &[("token", token)]).expect(303);
        browser
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    pub fn get_with(&mut self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let cookie = self.cookie();
        let all = [&[("Cookie", cookie.as_str())], self.proxy.as_slice(), headers].concat();
        let answer = self.server.request_raw("GET", &format!("{}{path}", self.base), &all, b"");
        self.keep(answer)
    }

    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.csrf.clone();
        self.post_with(path, fields, &csrf, &[])
    }

    pub fn post_with(&mut self, path: &str, fields: &[(&str, &str)], csrf: &str, headers: &[(&str, &str)]) -> Answer {
        let cookie = self.cookie();
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("csrf", csrf).extend_pairs(fields);
        let mut all = vec![("Cookie", cookie.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(&self.proxy);
        all.extend_from_slice(headers);
        let path = format!("{}{path}", self.base);
        let answer = self.server.request_raw("POST", &path, &all, body.finish().as_bytes());
        self.keep(answer)
    }

    fn cookie(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn keep(&mut self, answer: Answer) -> Answer {
        for (_, line) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, value) = line.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            self.cookies.retain(|(known, _)| known != name);
            self.cookies.push((name.to_owned(), value.to_owned()));
        }
        let text = answer.text();
        if let Some((_, rest)) = text.split_once("name=\"csrf\" value=\"") {
            self.csrf = rest.split('"').next().unwrap_or_default().to_owned();
        }
        answer
    }
}

fn path_of(page: &str) -> String {
    let uuid = page.contains("/deliveries/") || page.contains("/events/");
    let id = if uuid { "01890000-0000-7000-8000-000000000000" } else { "999" };
    page.replace("{id}", id).replace("{hash}", "x").replace("{name}", "x").replace("{secret}", "x")
}

#[test]
fn strangers_are_led_to_the_login_page() {
    let server = TestServer::start();
    let root = server.request_raw("GET", "/", &[], b"").expect(302);
    assert_eq!(root.header("location"), Some("/admin/webhook-backend-status/"));
    for page in PAGES {
        for (method, needed, _) in page.methods {
            let path = path_of(page.path);
            let answer = server.request_raw(method, &path, &[], b"");
            match needed {
                None => assert!(!matches!(answer.status, 303 | 405 | 500), "{method} {path}: {}", answer.status),
                Some(_) => {
                    assert_eq!(answer.status, 303, "{method} {path}");
                    assert!(answer.header("location").is_some_and(|to| to.contains("/login/")), "{method} {path}");
                }
            }
        }
    }
}

#[test]
fn every_page_asks_for_exactly_its_role() {
    let server = TestServer::start();
    for (name, scopes) in [("viewer", vec![Scope::Read]), ("operator", vec![Scope::Read, Scope::Operate])] {
        let made = server.post("/api/tokens/", &json!({"name": name, "scopes": scopes})).expect(201).json();
        let mut browser = Browser::with_token(&server, made["token"].as_str().expect("a token"));
        browser.get(&format!("{STATUS}/")).expect(200);
        for page in PAGES.iter().filter(|page| !page.path.ends_with("/stream/")) {
            for (method, needed, _) in page.methods {
                let Some(needed) = needed else { continue };
                let path = path_of(page.path);
                let answer = if *method == "GET" { browser.get(&path) } else { browser.post(&path, &[]) };
                let allowed = scopes.contains(needed);
                assert_eq!(answer.status == 403, !allowed, "{name}: {method} {path} is {}", answer.status);
                assert!(answer.status < 500, "{name}: {method} {path} is {}", answer.status);
            }
        }
    }
    let ingest = server.post("/api/tokens/", &json!({"name": "i", "scopes": ["ingest"]})).expect(201).json();
    let mut browser = Browser::new(&server, "");
    browser.get(&format!("{STATUS}/login/"));
    browser.post(&format!("{STATUS}/login/"), &[("token", ingest["token"].as_str().expect("a token"))]).expect(401);
}

#[test]
fn pages_run_nothing_that_is_not_ours() {
    let server = TestServer::start();
    let mut browser = Browser::with_token(&server, TOKEN);
    for path in ["/", "/deliveries/", "/endpoints/", "/events/", "/failed/", "/audit/", "/access/", "/service/"] {
        let page = browser.get(&format!("{STATUS}{path}")).expect(200);
        let policy = page.header("content-security-policy").expect("a policy").to_owned();
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        let text = page.text();
        assert!(!text.contains(" style=") && !text.contains(" onclick="), "{path}");
        assert!(text.split("<script").skip(1).all(|rest| rest.starts_with(" src=\"/admin/")), "{path}");
    }
}

#[test]
fn a_list_says_when_the_next_attempt_is_and_filters_by_it() {
    let server = TestServer::with_config("[delivery]\nbackoff_initial = \"1h\"\nbackoff_max = \"2h\"\n");
    server.create_webhook(&webhook("sites", "http://127.0.0.1:1/"));
    server.emit(&site_event("updated", 1, json!({})));
    let retrying = "/api/deliveries/?status=retrying";
    server.wait_for(retrying, |l| l["results"].as_array().is_some_and(|rows| rows.len() == 1));
    let mut browser = Browser::with_token(&server, TOKEN);
    let page = browser.get(&format!("{STATUS}/deliveries/?latency_ms__gte=0&next_attempt__gte=2020-01-01")).expect(200);
    let text = page.text();
    let cell = text.split_once("data-cell=\"next\">").expect("a row").1;
    assert!(cell.starts_with("<time "), "{cell}");
    for field in
        ["latency_ms__gte", "latency_ms__lt", "attempts__gte", "attempts__lt", "next_attempt__gte", "next_attempt__lt"]
    {
        assert_eq!(text.matches(&format!("name=\"{field}\"")).count(), 1, "{field}");
    }
    let none = browser.get(&format!("{STATUS}/deliveries/?next_attempt__lt=2020-01-01")).expect(200).text();
    assert!(none.contains("No delivery matches") && !none.contains("Search older"), "{none}");
    let events = browser.get(&format!("{STATUS}/events/?matched=false")).expect(200).text();
    assert!(events.contains("No event matches") && events.contains("value=\"false\" selected"), "{events}");
}

#[test]
fn assets_are_kept_for_good_and_come_compressed() {
    let server = TestServer::start();
    let login = server.request_raw("GET", &format!("{STATUS}/login/"), &[], b"").expect(200).text();
    let css = login.split('"').find(|part| part.ends_with("/style.css")).expect("a style sheet").to_owned();
    let plain = server.request_raw("GET", &css, &[], b"").expect(200);
    assert!(plain.header("cache-control").is_some_and(|c| c.contains("immutable")));
    let small = server.request_raw("GET", &css, &[("Accept-Encoding", "gzip")], b"").expect(200);
    assert_eq!(small.header("content-encoding"), Some("gzip"));
    assert!(small.body.len() * 3 < plain.body.len() * 2);
    let tag = plain.header("etag").expect("a tag").to_owned();
    server.request_raw("GET", &css, &[("If-None-Match", &tag)], b"").expect(304);
    server.request_raw("GET", &css.replace("style.css", "other.css"), &[], b"").expect(404);
    let page = server.request_raw("GET", &format!("{STATUS}/login/"), &[("Accept-Encoding", "gzip")], b"").expect(200);
    assert_eq!(page.header("content-encoding"), Some("gzip"));
}

#[test]
fn forms_of_others_are_not_taken() {
    let server = TestServer::start();
    let mut browser = Browser::with_token(&server, TOKEN);
    browser.get(&format!("{STATUS}/access/")).expect(200);
    let (path, fields) = (format!("{STATUS}/access/tokens/"), [("name", "x"), ("scope", "read")]);
    let csrf = browser.csrf.clone();
    browser.post_with(&path, &fields, "", &[]).expect(403);
    browser.post_with(&path, &fields, "0123456789abcdef0123456789abcdef", &[]).expect(403);
    browser.post_with(&path, &fields, &csrf, &[("Sec-Fetch-Site", "cross-site")]).expect(403);
    browser.post_with(&path, &fields, &csrf, &[("Sec-Fetch-Site", "same-site")]).expect(403);
    browser.post_with(&path, &fields, &csrf, &[("Origin", "https://evil.example")]).expect(403);
    let count = |server: &TestServer| server.get("/api/tokens/").json()["count"].clone();
    assert_eq!(count(&server), json!(1));
    browser.post_with(&path, &fields, &csrf, &[("Sec-Fetch-Site", "same-origin")]).expect(200);
    assert_eq!(count(&server), json!(2));
}

#[test]
fn failed_logins_cost_time() {
    let server = TestServer::start();
    server.post("/api/users/", &json!({"name": "ann", "role": "viewer", "password": "correct horse"})).expect(201);
    let login = format!("{STATUS}/login/");
    let guess = |_: u32| {
        let mut browser = Browser::new(&server, "");
        browser.get(&login).expect(200);
        browser.post(&login, &[("name", "ann"), ("password", "wrong horse")]).status
    };
    // Side by side as well as one after another.
    let statuses = std::thread::scope(|threads| {
        let guesses: Vec<_> = (0..12).map(|n| threads.spawn(move || guess(n))).collect();
        guesses.into_iter().map(|guess| guess.join().expect("an answer")).collect::<Vec<_>>()
    });
    let looked_at = statuses.iter().filter(|status| **status == 401).count();
    assert!((5..=7).contains(&looked_at) && statuses.contains(&429), "{statuses:?}");
    // Who can log in otherwise gets no more guesses for it.
    Browser::with_token(&server, TOKEN).get(&format!("{STATUS}/")).expect(200);
    let statuses: Vec<u16> = (0..4).map(guess).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[test]
fn a_stranger_sends_little() {
    let server = TestServer::start();
    let mut browser = Browser::new(&server, "");
    browser.get(&format!("{STATUS}/login/")).expect(200);
    browser.post(&format!("{STATUS}/login/"), &[("name", &"x".repeat(20_000))]).expect(413);
}

#[test]
fn a_session_ends_with_its_user_its_password_and_at_logout() {
    let server = TestServer::start();
    let user = json!({"name": "ann", "role": "operator", "password": "correct horse"});
    let id = server.post("/api/users/", &user).expect(201).json()["id"].clone();
    server.post("/api/users/", &user).expect(400);
    server.post("/api/users/", &json!({"name": "b", "role": "king", "password": "short"})).expect(400);
    let enter = || {
        let mut browser = Browser::new(&server, "");
        browser.get(&format!("{STATUS}/login/")).expect(200);
        browser.post(&format!("{STATUS}/login/"), &[("name", "ann"), ("password", "correct horse")]).expect(303);
        browser.get(&format!("{STATUS}/")).expect(200);
        browser
    };
    let mut browser = enter();
    let stolen = browser.cookies.clone();
    browser.post(&format!("{STATUS}/logout/"), &[]).expect(303);
    browser.cookies = stolen;
    browser.get(&format!("{STATUS}/")).expect(303);
    let mut browser = enter();
    server.patch(&format!("/api/users/{id}/"), &json!({"password": "another horse"})).expect(200);
    browser.get(&format!("{STATUS}/")).expect(303);
    server.patch(&format!("/api/users/{id}/"), &json!({"password": "correct horse"})).expect(200);
    let mut browser = enter();
    server.request("DELETE", &format!("/api/users/{id}/"), None).expect(204);
    browser.get(&format!("{STATUS}/")).expect(303);
    let listed = server.get("/api/users/").expect(200).text();
    assert!(!listed.contains("argon2"), "{listed}");
}

#[test]
fn everything_works_below_a_base_path() {
    let mut server = TestServer::prepare(Options::config("[server]\nbase_path = \"/hooks\"\n"));
    server.spawn();
    super::support::wait_until("it answers", std::time::Duration::from_secs(40), || {
        std::net::TcpStream::connect(server.address()).is_ok()
    });
    let mut browser = Browser::new(&server, "/hooks");
    browser.get(&format!("{STATUS}/login/")).expect(200);
    let entered = browser.post(&format!("{STATUS}/login/"), &[("token", TOKEN)]).expect(303);
    assert_eq!(entered.header("location"), Some("/hooks/admin/webhook-backend-status/"));
    let cookie = entered.header("set-cookie").expect("a session").to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/hooks/admin/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let page = browser.get(&format!("{STATUS}/")).expect(200).text();
    let links = page.split("href=\"/").skip(1).filter(|rest| !rest.starts_with("hooks/"));
    assert_eq!(links.count(), 0, "a link leaves the base path");
    for link in page.split("href=\"/hooks").skip(1).filter_map(|rest| rest.split('"').next()) {
        let status = browser.get(link).status;
        assert_eq!(status, 200, "{link}");
    }
}

/// Number, link and filters of each group on the page of failed deliveries.
fn failed_groups(page: &str) -> Vec<(usize, String, Vec<String>)> {
    let between = |text: &str, start: &str, end: &str| {
        let rest = text.split_once(start).expect(start).1;
        rest.split_once(end).expect(end).0.replace("&#38;", "&")
    };
    let group = |row: &str| {
        let number = between(row, "<td class=\"end\"><a", "</a>");
        let number = number.rsplit('>').next().and_then(|n| n.parse().ok()).expect("a number");
        let filters = row.split("name=\"filter\" value=\"").skip(1).filter_map(|rest| rest.split('"').next());
        (number, between(row, "<tr data-href=\"", "\""), filters.map(str::to_owned).collect())
    };
    page.split("<tr ").skip(1).map(|row| group(&format!("<tr {row}"))).collect()
}

#[test]
fn a_group_of_failed_deliveries_means_exactly_those_it_counts() {
    let receiver = Receiver::with(|request| match request.json()["data"]["id"].as_i64() {
        Some(1..=3) => reply(500),
        Some(4 | 5) => reply(404),
        Some(6) => reset(),
        _ => reply(500),
    });
    let server = TestServer::with_config("[delivery]\nmax_attempts = 1\n");
    let first = server.create_webhook(&webhook("first", &receiver.url("/first")));
    server.create_webhook(&webhook("second", &receiver.url("/second")));
    server.create_webhook(&webhook("nobody", &format!("http://127.0.0.1:{}/", ports::free())));
    for object in 1..=6 {
        server.emit(&site_event("updated", object, json!({})));
    }
    server.wait_for("/api/status/", |s| s["deliveries"]["failed"] == json!(18));
    // Tests are deliveries as well, and in no group.
    let tested = server.post(&format!("/api/webhooks/{}/test/", first["id"]), &json!({})).expect(200).json();
    assert_eq!(tested["delivered"], json!(false));
    let mut browser = Browser::with_token(&server, TOKEN);
    for endpoint in server.list("/api/endpoints/") {
        // What is retried waits, so that it does not fail again meanwhile.
        server.post(&format!("/api/endpoints/{}/pause/", endpoint["id"]), &json!({})).expect(200);
    }
    let page = browser.get(&format!("{STATUS}/failed/")).expect(200).text();
    let groups = failed_groups(&page);
    let numbers: Vec<usize> = groups.iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, [6, 3, 3, 2, 2, 1, 1], "{page}");
    let over_api = server.get("/api/deliveries/failed/").expect(200).json();
    let told: Vec<_> =
        over_api["results"].as_array().expect("groups").iter().map(|g| g["deliveries"].clone()).collect();
    assert_eq!(json!(numbers), json!(told));
    for (number, link, filters) in groups {
        let (path, query) = link.split_once('?').expect("a query");
        assert_eq!(path, format!("{STATUS}/deliveries/"));
        assert_eq!(server.list(&format!("/api/deliveries/?{query}")).len(), number, "{query}");
        let shown = browser.get(&link).expect(200).text();
        assert_eq!(shown.matches("<tr data-href=").count(), number, "{link}");
        let mut sent: Vec<(&str, &str)> = filters.iter().map(|filter| ("filter", filter.as_str())).collect();
        sent.push(("do", "retry"));
        let started = browser.post(&format!("{STATUS}/bulk-actions/"), &sent).expect(303);
        let action = started.header("location").expect("its page").rsplit('/').nth(1).expect("its id").to_owned();
        let done = server.wait_for(&format!("/api/bulk-actions/{action}/"), |b| b["state"] == json!("finished"));
        assert_eq!((&done["matched"], &done["done"]), (&json!(number), &json!(number)), "{query}: {done}");
    }
    assert_eq!(server.get("/api/deliveries/failed/").json()["count"], json!(0));
    let left = server.list("/api/deliveries/?status=failed");
    assert_eq!((left.len(), &left[0]["test"]), (1, &json!(true)));
    assert_eq!(server.list("/api/deliveries/?test=true").len(), 1);
    assert_eq!(server.list("/api/deliveries/?test=false").len(), 18);
    let only = server.post("/api/deliveries/retry/", &json!({"test": true})).expect(202).json();
    assert_eq!(only["matched"], json!(1));
}
