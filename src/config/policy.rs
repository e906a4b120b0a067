//! Which policy is in force at an endpoint, and where each value comes from.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use url::Url;

use super::Config;
use super::document::Table;
use super::error::Problem;
use super::sections::{DAY, HOUR, MS};
use super::setting::{Choice, MaybeRate, MaybeSpan, Number, Section, Setting, Span, Visitor};
use crate::domain::payload_url::Origin;
use crate::domain::policy::{Ordering, Policy};

/// Keys that hold for all endpoints of an origin together.
const ORIGIN_KEYS: [&str; 3] = ["origin_rate_limit", "origin_burst", "origin_concurrency"];

/// Where a value comes from when nobody overrides `[delivery]`.
const FROM_DEFAULT: &str = "default";

/// Where a value comes from that `PATCH /api/endpoints/{id}/` set.
const FROM_API: &str = "api";

const ORDERINGS: [(&str, Ordering); 3] =
    [("object", Ordering::Object), ("endpoint", Ordering::Endpoint), ("none", Ordering::None)];

/// One `[[endpoint]]`: policy for the targets its pattern matches.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointRule {
    /// `*` matches any run of characters. Scheme and host lower-case, default port dropped, as endpoints' URLs are.
    pub url: String,
    /// Line of the file, for messages and the endpoint's page.
    pub line: usize,
    /// Any `[delivery]` key of a policy, as it would stand in JSON (`"2/s"`, `4`, `true`). Checked when loaded.
    pub set: Map<String, Value>,
}

/// A policy with the origin of each value: `default`, `config:<line>` or `api`.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    pub policy: Policy,
    pub origins: BTreeMap<&'static str, String>,
}

/// PATCH over `[[endpoint]]` over `[delivery]`, key by key.
///
/// `url` is the endpoint's (for a templated one the template), `origin` what its requests go to. What does not hold
/// at an endpoint (a stored override that a newer version refuses, an `origin_*` key of a PATCH) is left out.
pub fn resolve(config: &Config, url: &str, origin: &Origin, patch: &Map<String, Value>) -> Resolved {
    let mut policy = config.delivery.policy.clone();
    let mut origins = BTreeMap::new();
    policy.visit(&mut Names(|name| {
        origins.insert(name, FROM_DEFAULT.to_owned());
    }));
    for rule in &config.endpoints {
        let whole_origin = whole_origin(&rule.url).is_some_and(|o| o == *origin);
        if whole_origin || matches(&rule.url, url) {
            let from = format!("config:{}", rule.line);
            policy.visit(&mut Overlay {
                set: &rule.set,
                origin_keys: whole_origin,
                from: &from,
                origins: &mut origins,
            });
        }
    }
    policy.visit(&mut Overlay { set: patch, origin_keys: false, from: FROM_API, origins: &mut origins });
    Resolved { policy, origins }
}

/// Checks the body of a `PATCH /api/endpoints/{id}/`; `null` resets a key.
///
/// # Errors
/// For each key that is unknown or has a value that is not allowed, what would be right.
pub fn parse_patch(patch: &Map<String, Value>) -> Result<(), BTreeMap<String, Vec<String>>> {
    let mut scratch = Policy::default();
    let mut check = Check { patch, known: Vec::new(), errors: BTreeMap::new() };
    scratch.visit(&mut check);
    let Check { known, mut errors, .. } = check;
    for key in patch.keys().filter(|key| !known.contains(&key.as_str())) {
        errors.entry(key.clone()).or_insert_with(|| vec![format!("unknown; policy keys are {}", known.join(", "))]);
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// The values as INTERFACE spells them: `"30s"`, `"10/s"`, `""` for none.
pub fn to_json(resolved: &Resolved) -> Map<String, Value> {
    let mut values = Values(Map::new());
    // Visiting takes the values mutably, as loading does.
    resolved.policy.clone().visit(&mut values);
    values.0
}

impl Section for Policy {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.key("timeout", &mut Span(&mut self.timeout, MS..=HOUR));
        v.key("connect_timeout", &mut Span(&mut self.connect_timeout, MS..=HOUR));
        v.key("ordering", &mut Choice(&mut self.ordering, &ORDERINGS));
        v.key("concurrency", &mut Number(&mut self.concurrency, 1..=10_000));
        v.key("rate_limit", &mut MaybeRate(&mut self.rate_limit));
        v.key("burst", &mut Number(&mut self.burst, 1..=1_000_000));
        v.key("coalesce", &mut self.coalesce);
        v.key("max_attempts", &mut Number(&mut self.max_attempts, 1..=1_000));
        v.key("backoff_initial", &mut Span(&mut self.backoff_initial, MS..=DAY));
        v.key("backoff_max", &mut Span(&mut self.backoff_max, MS..=30 * DAY));
        v.key("breaker_threshold", &mut Number(&mut self.breaker_threshold, 1..=1_000_000));
        v.key("breaker_cooldown", &mut Span(&mut self.breaker_cooldown, MS..=DAY));
        v.key("breaker_cooldown_max", &mut Span(&mut self.breaker_cooldown_max, MS..=DAY));
        v.key("retry_after_max", &mut Span(&mut self.retry_after_max, MS..=30 * DAY));
        v.key("max_age", &mut MaybeSpan(&mut self.max_age, MS..=3_650 * DAY));
        v.key("origin_rate_limit", &mut MaybeRate(&mut self.origin_rate_limit));
        v.key("origin_burst", &mut Number(&mut self.origin_burst, 1..=1_000_000));
        v.key("origin_concurrency", &mut Number(&mut self.origin_concurrency, 1..=100_000));
    }
}

impl EndpointRule {
    /// Reads and checks one `[[endpoint]]`; `None` and problems if it has no usable pattern.
    pub(super) fn read(table: Table, problems: &mut Vec<Problem>) -> Option<EndpointRule> {
        let line = table.line;
        let mut set = table.values();
        let pattern = set.remove("url").and_then(|url| url.as_str().map(normalise)).unwrap_or_default();
        if !(pattern.starts_with("http") || pattern.starts_with('*')) {
            let message = "must be a payload URL, \"*\" for any run of characters, like \"https://awx.example.com/*\"";
            problems.push(Problem::new(table.place("url"), "endpoint.url", message.to_owned()));
        }
        for key in ORIGIN_KEYS.iter().filter(|key| set.contains_key(**key) && whole_origin(&pattern).is_none()) {
            let message = "holds for a whole origin: only in [delivery], or where url is exactly \
                           \"scheme://host[:port]/*\" without another \"*\"";
            problems.push(Problem::new(table.place(key), &format!("endpoint.{key}"), message.to_owned()));
        }
        table.apply(&mut RuleKeys, problems);
        Some(EndpointRule { url: pattern, line, set })
    }

    /// `base` with the values of this rule.
    pub(super) fn over(&self, base: &Policy) -> Policy {
        let mut policy = base.clone();
        let mut origins = BTreeMap::new();
        policy.visit(&mut Overlay { set: &self.set, origin_keys: true, from: "", origins: &mut origins });
        policy
    }
}

/// What may stand in an `[[endpoint]]`.
struct RuleKeys;

impl Section for RuleKeys {
    fn visit(&mut self, v: &mut dyn Visitor) {
        let mut url = String::new();
        v.key("url", &mut super::setting::Text(&mut url, super::texts::filled));
        Policy::default().visit(v);
    }
}

/// Calls a function with the name of each key.
struct Names<F: FnMut(&'static str)>(F);

impl<F: FnMut(&'static str)> Visitor for Names<F> {
    fn key(&mut self, name: &'static str, _setting: &mut dyn Setting) {
        (self.0)(name);
    }
}

/// Lays the keys of `set` over a policy.
struct Overlay<'a> {
    set: &'a Map<String, Value>,
    origin_keys: bool,
    from: &'a str,
    origins: &'a mut BTreeMap<&'static str, String>,
}

impl Visitor for Overlay<'_> {
    fn key(&mut self, name: &'static str, setting: &mut dyn Setting) {
        let allowed = self.origin_keys || !ORIGIN_KEYS.contains(&name);
        let Some(value) = self.set.get(name).filter(|value| allowed && !value.is_null()) else { return };
        if setting.set(value).is_ok() {
            self.origins.insert(name, self.from.to_owned());
        }
    }
}

struct Check<'a> {
    patch: &'a Map<String, Value>,
    known: Vec<&'static str>,
    errors: BTreeMap<String, Vec<String>>,
}

impl Visitor for Check<'_> {
    fn key(&mut self, name: &'static str, setting: &mut dyn Setting) {
        if ORIGIN_KEYS.contains(&name) {
            if self.patch.contains_key(name) {
                let message = "holds for a whole origin: set it in the configuration, in [delivery] or in an \
                               [[endpoint]] with url \"scheme://host[:port]/*\"";
                self.errors.insert(name.to_owned(), vec![message.to_owned()]);
            }
            return;
        }
        self.known.push(name);
        let Some(value) = self.patch.get(name).filter(|value| !value.is_null()) else { return };
        if let Err(message) = setting.set(value) {
            self.errors.insert(name.to_owned(), vec![message]);
        }
    }
}

/// Collects the values.
struct Values(Map<String, Value>);

impl Visitor for Values {
    fn key(&mut self, name: &'static str, setting: &mut dyn Setting) {
        self.0.insert(name.to_owned(), setting.show());
    }
}

/// The origin that a pattern of the form `scheme://host[:port]/*` covers as a whole.
fn whole_origin(pattern: &str) -> Option<Origin> {
    let origin = pattern.strip_suffix("/*").filter(|rest| !rest.contains('*'))?;
    let url = Url::parse(origin).ok()?;
    let bare = url.path() == "/" && url.query().is_none() && url.username().is_empty() && url.password().is_none();
    let origin = origin.split_once("://").is_some_and(|(_, authority)| !authority.contains('/'));
    (bare && origin && matches!(url.scheme(), "http" | "https"))
        .then(|| Origin(url.origin().ascii_serialization().into()))
}

/// A pattern as endpoints' URLs are written: scheme and host in lower case, no userinfo, no default port, a path.
fn normalise(pattern: &str) -> String {
    let pattern = pattern.trim();
    let Some((scheme, rest)) = pattern.split_once("://") else { return pattern.to_owned() };
    let scheme = scheme.to_ascii_lowercase();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = authority.to_ascii_lowercase();
    let host = authority.rsplit_once('@').map_or(authority.as_str(), |(_, host)| host);
    let default_port = if scheme == "http" { ":80" } else { ":443" };
    let authority = host.strip_suffix(default_port).unwrap_or(host);
    let path = if path.is_empty() && !authority.contains('*') { "/" } else { path };
    format!("{scheme}://{authority}{path}")
}

/// Whether `text` matches `pattern`, in which `*` stands for any run of characters.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    // The earliest place of each part leaves most to those that follow.
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}
