//! What every page has around it.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::assets;
use super::failure::Failure;
use super::form::Form;
use super::session::Who;
use super::show;
use super::{HOOKS, PATH};
use crate::clock;
use crate::domain::event::EventType;
use crate::domain::models::netbox_class;
use crate::domain::time::Timestamp;
use crate::web::State;

/// Nothing but what we serve ourselves, and nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// The cookie that remembers light or dark.
pub const THEME: &str = "netbox_webhookd_theme";

/// The frame of one page, and what templates ask it.
pub struct Frame {
    /// `server.base_path`.
    base: String,
    /// Path and query of this page.
    pub here: String,
    /// The entry of the navigation that is current.
    pub nav: &'static str,
    pub title: String,
    pub who: Option<Who>,
    pub notice: Option<String>,
    pub theme: &'static str,
    /// Where NetBox is, if that is known: for links to its objects.
    netbox: String,
    pub now: Timestamp,
}

impl Frame {
    pub fn new(req: &HttpRequest, state: &State, who: Option<&Who>) -> Self {
        let config = state.config();
        let theme = match req.cookie(THEME).as_ref().map(|cookie| cookie.value()) {
            Some("dark") => "dark",
            Some("light") => "light",
            _ => "auto",
        };
        Self {
            base: config.server.base_path.clone(),
            here: here(req, &config.server.base_path),
            nav: "",
            title: String::new(),
            who: who.cloned(),
            notice: notice(req),
            theme,
            netbox: config.netbox.url.trim_end_matches('/').to_owned(),
            now: clock::now(),
        }
    }

    /// Names the page and its place in the navigation.
    pub fn page(mut self, nav: &'static str, title: impl Into<String>) -> Self {
        (self.nav, self.title) = (nav, title.into());
        self
    }

    /// URL of a page below [`PATH`].
    pub fn at(&self, path: &str) -> String {
        format!("{}{PATH}{path}", self.base)
    }

    /// URL of a page of webhooks.
    pub fn hooks(&self, path: &str) -> String {
        format!("{}{HOOKS}{path}", self.base)
    }

    /// URL below `server.base_path`, of the API.
    pub fn api(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub fn asset(&self, name: &str) -> String {
        self.at(&format!("/assets/{}/{name}", assets::hash_of(name)))
    }

    pub fn csrf(&self) -> &str {
        self.who.as_ref().map_or("", |who| who.csrf.as_str())
    }

    pub fn operates(&self) -> bool {
        self.who.as_ref().is_some_and(Who::operates)
    }

    pub fn administers(&self) -> bool {
        self.who.as_ref().is_some_and(Who::administers)
    }

    pub fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// `12,345`
    pub fn number(&self, n: &u64) -> String {
        show::number(*n)
    }

    /// A `<time>` element: how long ago, the instant itself beside it. HTML of our own, nothing of others is in it.
    pub fn when(&self, at: &Timestamp) -> String {
        show::time_element(*at, self.now)
    }

    /// URL of an object in NetBox, of the models that are NetBox's own; of what was deleted there is none.
    pub fn netbox(&self, event: EventType, model: &str, object: &str) -> Option<String> {
        let web = self.netbox.starts_with("http://") || self.netbox.starts_with("https://");
        if !web || event == EventType::Deleted || !object.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let (app, _) = model.split_once('.')?;
        let path = show::netbox_path(netbox_class(model)?)?;
        Some(format!("{}/{app}/{path}/{object}/", self.netbox))
    }
}

/// Where a form of this page leads back to: what answers a form cannot be asked for again.
fn here(req: &HttpRequest, base: &str) -> String {
    match req.method().as_str() {
        "GET" | "HEAD" => req.uri().path_and_query().map_or_else(String::new, ToString::to_string),
        _ => format!("{base}{PATH}/"),
    }
}

/// A page, with the headers all pages have.
pub fn page(template: &impl Template) -> Result<HttpResponse, Failure> {
    answer(StatusCode::OK, template)
}

/// The same with another status.
pub fn answer(status: StatusCode, template: &impl Template) -> Result<HttpResponse, Failure> {
    let html = template.render().map_err(|e| Failure::broken(format!("the page could not be rendered: {e}")))?;
    Ok(HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "same-origin"))
        .insert_header((header::X_FRAME_OPTIONS, "DENY"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::VARY, "Cookie"))
        .body(html))
}

/// After a form: to the page that shows what came of it.
pub fn go(url: impl Into<String>) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, url.into())).finish()
}

/// Back to the page the form was on, if it says so, with a notice.
pub fn back(form: &Form, state: &State, otherwise: String, notice: &str) -> HttpResponse {
    let base = state.config().server.base_path.clone();
    let url = super::session::safe_return(form.get("return"), &base).unwrap_or(otherwise);
    go(with_notice(&url, notice))
}

/// `url` with a notice, in place of the one it may have.
pub fn with_notice(url: &str, notice: &str) -> String {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    pairs.extend_pairs(form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key != "notice"));
    pairs.append_pair("notice", notice);
    format!("{path}?{}", pairs.finish())
}

/// The sentence that a notice in the URL stands for: only our own, so that no link can put words into a page.
fn notice(req: &HttpRequest) -> Option<String> {
    let pairs = form_urlencoded::parse(req.query_string().as_bytes());
    let value = pairs.filter(|(key, _)| key == "notice").map(|(_, value)| value.into_owned()).last()?;
    let (code, number) = value.split_once(':').unwrap_or((&value, ""));
    let number = number.parse::<u64>().unwrap_or(0);
    Some(match code {
        "retried" => "The delivery is due again.".to_owned(),
        "retried-older" => {
            "The delivery is due again. A newer event of the same object had reached the webhook before.".to_owned()
        }
        "canceled" => "The delivery is canceled.".to_owned(),
        "resent" => "This is the new delivery; it goes at the end of its queue.".to_owned(),
        "paused" => "The endpoint is paused; its deliveries wait.".to_owned(),
        "resumed" => "The endpoint is resumed.".to_owned(),
        "changed" => "The change is in force.".to_owned(),
        "created" => "Created.".to_owned(),
        "deleted" => format!("Deleted; {} canceled.", show::counted(number, "delivery", "deliveries")),
        "selected-retried" => format!("{} due again.", show::counted_are(number, "delivery", "deliveries")),
        "selected-canceled" => format!("{} canceled.", show::counted_are(number, "delivery", "deliveries")),
        "selected-none" => {
            "None of the selected deliveries could be changed: their state does not allow it.".to_owned()
        }
        "logged-out" => "You are logged out.".to_owned(),
        "revoked" => "The token is revoked.".to_owned(),
        "removed" => "The user is deleted.".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What may stand before `|safe`: `<time>` elements of [`show::time_element`].
    const TIMES: [&str; 14] = [
        "row.created",
        "until",
        "at",
        "step.at",
        "attempt.at",
        "bulk.created",
        "next",
        "group.first",
        "group.last",
        "line.received",
        "line.until",
        "last_success",
        "frame.when(",
        "self.when(",
    ];

    #[test]
    fn only_times_are_put_into_a_page_unescaped() {
        let mut seen = 0;
        for file in std::fs::read_dir("src/web/dashboard/templates").expect("the templates") {
            let path = file.expect("a file").path();
            let text = std::fs::read_to_string(&path).expect("text");
            let parts: Vec<_> = text.split("|safe").collect();
            for before in &parts[..parts.len() - 1] {
                let expression = before.rsplit("{{").next().unwrap_or_default().trim();
                let known = TIMES
                    .iter()
                    .any(|time| expression == *time || (time.ends_with('(') && expression.starts_with(time)));
                assert!(known, "{}: {expression}|safe", path.display());
                seen += 1;
            }
            for banned in [" style=", " onclick=", "javascript:"] {
                assert!(!text.contains(banned), "{}: {banned}", path.display());
            }
        }
        assert!(seen > 10);
    }

    #[test]
    fn a_notice_takes_the_place_of_the_one_before() {
        assert_eq!(with_notice("/a/?q=x&notice=paused", "resumed"), "/a/?q=x&notice=resumed");
        assert_eq!(with_notice("/a/", "deleted:3"), "/a/?notice=deleted%3A3");
    }
}
