//! Query strings and the pages of lists.

use actix_web::HttpRequest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::error::ApiError;
use crate::domain::time::Timestamp;
use crate::store::archive::{Edge, Listed, Looked, Page};

/// Rows of a page when the request does not say.
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 1_000;
/// First byte of a cursor: which side of the row it names is meant. Another layout gets other numbers.
const AFTER: u8 = 1;
const BEFORE: u8 = 2;

/// The parameters of a query string that nobody has taken yet. What is left at the end is unknown.
#[derive(Debug)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub fn of(req: &HttpRequest) -> Self {
        Self::parse(req.query_string())
    }

    /// Empty values count as not given, as in NetBox.
    pub fn parse(text: &str) -> Self {
        let pairs = form_urlencoded::parse(text.as_bytes()).into_owned().filter(|(_, value)| !value.is_empty());
        Self { pairs: pairs.collect() }
    }

    /// All values of a parameter.
    pub fn take_all(&mut self, name: &str) -> Vec<String> {
        self.pairs.extract_if(.., |(key, _)| key == name).map(|(_, value)| value).collect()
    }

    /// The value of a parameter that may be given once.
    pub fn take(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        let mut values = self.take_all(name);
        match values.len() {
            0 | 1 => Ok(values.pop()),
            n => Err(ApiError::field(name, format!("is given {n} times; give it once"))),
        }
    }

    /// Takes a yes-or-no parameter.
    pub fn take_bool(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        let Some(text) = self.take(name)? else { return Ok(None) };
        yes_or_no(&text).map(Some).map_err(|problem| ApiError::field(name, problem))
    }

    /// Takes an id.
    pub fn take_number(&mut self, name: &str) -> Result<Option<u32>, ApiError> {
        let Some(text) = self.take(name)? else { return Ok(None) };
        let problem = |_| ApiError::field(name, format!("\"{text}\" is not an id; give a whole number"));
        text.parse().map(Some).map_err(problem)
    }

    /// Takes `limit` and `cursor`.
    pub fn take_page(&mut self) -> Result<Page, ApiError> {
        let limit =
            match self.take("limit")? {
                None => DEFAULT_LIMIT,
                Some(text) => text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
                    ApiError::field("limit", format!("\"{text}\" is not a number from 1 to {MAX_LIMIT}"))
                })?,
            };
        let edge = match self.take("cursor")? {
            None => Edge::Start,
            Some(text) => decode_cursor(&text).ok_or_else(|| {
                ApiError::field("cursor", "is not one of ours; follow the URLs of an answer as they are")
            })?,
        };
        Ok(Page { edge, limit })
    }

    /// # Errors
    /// Names the parameters that nobody took.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.pairs.is_empty() {
            return Ok(());
        }
        Err(ApiError::fields(
            self.pairs.into_iter().map(|(name, _)| (name, vec!["is not a parameter of this URL".to_owned()])).collect(),
        ))
    }

    /// What is left, for readers that know names of their own.
    pub fn into_pairs(self) -> Vec<(String, String)> {
        self.pairs
    }
}

/// A list as NetBox answers it.
#[derive(Debug, Serialize)]
pub struct ListBody<T> {
    /// Exact, or `null` where counting would mean reading everything.
    pub count: Option<u64>,
    pub next: Option<String>,
    pub previous: Option<String>,
    pub results: Vec<T>,
    /// For pages; over REST a page with a `next` and few rows says the same.
    #[serde(skip)]
    pub looked: Option<Looked>,
}

impl<T> ListBody<T> {
    /// `url` is the list's own URL without a query.
    pub fn new<R>(listed: Listed<R>, links: &Links, show: impl FnMut(R) -> T) -> Self {
        Self {
            count: listed.count,
            next: listed.next.map(|row| links.page(AFTER, row)),
            previous: listed.previous.map(|row| links.page(BEFORE, row)),
            results: listed.rows.into_iter().map(show).collect(),
            looked: listed.looked,
        }
    }

    /// How far back a search came that did not come to the end.
    pub const fn looked_back(&self) -> Option<&Timestamp> {
        match &self.looked {
            Some(Looked::BackTo(at)) => Some(at),
            _ => None,
        }
    }

    /// The same towards the newer ones.
    pub const fn looked_on(&self) -> Option<&Timestamp> {
        match &self.looked {
            Some(Looked::UpTo(at)) => Some(at),
            _ => None,
        }
    }
}

/// What the links of a list are made of.
#[derive(Debug)]
pub struct Links {
    /// Without a query.
    url: String,
    /// Everything but the cursor.
    query: Vec<(String, String)>,
}

impl Links {
    /// `url`: the absolute URL of the list, without a query.
    pub fn new(url: String, query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
        Self { url, query: pairs.filter(|(key, _)| key != "cursor").collect() }
    }

    fn page(&self, side: u8, row: i64) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.query).append_pair("cursor", &encode_cursor(side, row));
        format!("{}?{}", self.url, query.finish())
    }
}

/// As NetBox and people write it.
pub fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "true" | "True" | "1" => Ok(true),
        "false" | "False" | "0" => Ok(false),
        other => Err(format!("\"{other}\" is neither true nor false")),
    }
}

/// One page of a list held in memory whose rows are in rising order of id.
pub fn page_of<T>(rows: Vec<T>, page: Page, id: impl Fn(&T) -> i64) -> Listed<T> {
    let count = Some(rows.len() as u64);
    let rows = rows.into_iter();
    let rows: Vec<T> = match page.edge {
        Edge::Start => rows.take(page.limit + 1).collect(),
        Edge::After(last) => rows.filter(|row| id(row) > last).take(page.limit + 1).collect(),
        Edge::Before(first) => rows.rev().filter(|row| id(row) < first).take(page.limit + 1).collect(),
    };
    Listed::new(rows, page, count, id)
}

/// One page of a list held in memory in any order. When the order changes between two pages a row may show twice, or not
/// at all; when the row a page begins at is gone, the list begins again.
pub fn page_in_order<T>(mut rows: Vec<T>, page: Page, id: impl Fn(&T) -> i64) -> Listed<T> {
    let count = Some(rows.len() as u64);
    let place = |rows: &[T], of: i64| rows.iter().position(|row| id(row) == of);
    let (edge, mut rows) = match page.edge {
        Edge::After(last) => match place(&rows, last) {
            Some(place) => (page.edge, rows.split_off(place + 1)),
            None => (Edge::Start, rows),
        },
        Edge::Before(first) => match place(&rows, first) {
            Some(place) => {
                rows.truncate(place);
                rows.reverse();
                (page.edge, rows)
            }
            None => (Edge::Start, rows),
        },
        Edge::Start => (page.edge, rows),
    };
    rows.truncate(page.limit + 1);
    Listed::new(rows, Page { edge, ..page }, count, id)
}

fn encode_cursor(side: u8, row: i64) -> String {
    let mut bytes = vec![side];
    bytes.extend_from_slice(&row.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode_cursor(text: &str) -> Option<Edge> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (side, row) = bytes.split_first()?;
    let row = i64::from_be_bytes(row.try_into().ok()?);
    match *side {
        AFTER => Some(Edge::After(row)),
        BEFORE => Some(Edge::Before(row)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_gives_back_what_it_holds() {
        for n in [0, 1, -1, i64::MAX, i64::MIN] {
            assert_eq!(decode_cursor(&encode_cursor(AFTER, n)), Some(Edge::After(n)));
            assert_eq!(decode_cursor(&encode_cursor(BEFORE, n)), Some(Edge::Before(n)));
        }
        for bad in ["", "x", "AAAA", "AQ", "!!!!"] {
            assert_eq!(decode_cursor(bad), None, "{bad}");
        }
    }

    #[test]
    fn limits_are_bounded_and_named() {
        assert_eq!(Query::parse("").take_page().expect("defaults"), Page::first(50));
        assert_eq!(Query::parse("limit=1000").take_page().expect("the most").limit, 1000);
        for bad in ["limit=0", "limit=1001", "limit=x", "limit=-1", "limit=5&limit=6", "cursor=nonsense"] {
            let error = Query::parse(bad).take_page().expect_err(bad);
            assert!(error.to_string().contains(bad.split('=').next().expect("a name")), "{error}");
        }
    }

    #[test]
    fn an_unknown_parameter_is_refused_by_name() {
        let mut query = Query::parse("limit=5&colour=red&empty=");
        query.take_page().expect("a page");
        assert!(query.finish().expect_err("colour is unknown").to_string().contains("colour"));
    }

    #[test]
    fn links_keep_the_filters_and_lead_both_ways() {
        let links = Links::new("http://h/api/x/".into(), "status=failed&cursor=AQAAAAAAAAAB&q=a%20b");
        let listed = Listed { rows: vec![1], previous: Some(5), next: Some(7), count: None, looked: None };
        let body = ListBody::new(listed, &links, |n| n);
        let edge = |url: &str| {
            assert!(url.starts_with("http://h/api/x/?status=failed&q=a+b&cursor="), "{url}");
            Query::parse(url.split_once('?').expect("a query").1).take_page().expect("a page").edge
        };
        assert_eq!(body.next.as_deref().map(edge), Some(Edge::After(7)));
        assert_eq!(body.previous.as_deref().map(edge), Some(Edge::Before(5)));
    }

    #[test]
    fn paging_in_any_order_shows_every_row_once_and_leads_back() {
        let rows = || vec![30, 10, 50, 20, 40];
        let page = |edge| page_in_order(rows(), Page { edge, limit: 2 }, |n: &i64| *n);
        let (first, second, third) = (page(Edge::Start), page(Edge::After(10)), page(Edge::After(20)));
        assert_eq!((&first.rows, first.previous, first.next), (&vec![30, 10], None, Some(10)));
        assert_eq!((&second.rows, second.previous, second.next), (&vec![50, 20], Some(50), Some(20)));
        assert_eq!((&third.rows, third.previous, third.next), (&vec![40], Some(40), None));
        let back = page(Edge::Before(50));
        assert_eq!((&back.rows, back.previous, back.next), (&vec![30, 10], None, Some(10)));
        assert_eq!(page(Edge::After(99)).rows, first.rows, "it is gone");
    }

    #[test]
    fn paging_in_memory_shows_every_row_once_and_leads_back() {
        let page = |edge| page_of((1..=7).collect(), Page { edge, limit: 3 }, |n: &i64| *n);
        let mut pages = vec![page(Edge::Start)];
        while let Some(next) = pages.last().and_then(|p| p.next) {
            pages.push(page(Edge::After(next)));
        }
        let rows: Vec<_> = pages.iter().map(|p| p.rows.clone()).collect();
        assert_eq!(rows, [vec![1, 2, 3], vec![4, 5, 6], vec![7]]);
        let back = page(Edge::Before(pages[2].previous.expect("it is not the first")));
        assert_eq!((&back.rows, back.previous, back.next), (&vec![4, 5, 6], Some(4), Some(6)));
        let back = page(Edge::Before(4));
        assert_eq!((&back.rows, back.previous, back.next), (&vec![1, 2, 3], None, Some(3)));
        assert!(pages.iter().all(|p| p.count == Some(7)));
    }
}
