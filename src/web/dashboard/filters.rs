//! The filters of a list, as its URL has them, for the form and the links that change them.

use actix_web::HttpRequest;

use crate::store::archive::Page;
use crate::web::error::ApiError;
use crate::web::query::Query;

/// Names and values in the order of the URL, without page and notice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filters {
    pub pairs: Vec<(String, String)>,
}

impl Filters {
    /// The filters of a request, and which page of the list it wants.
    pub fn of(req: &HttpRequest) -> Result<(Self, Page), ApiError> {
        let mut query = Query::of(req);
        query.take_all("notice");
        let page = query.take_page()?;
        Ok((Self { pairs: query.into_pairs() }, page))
    }

    /// The first value of a filter; empty when it is not set.
    pub fn value(&self, name: &str) -> &str {
        self.pairs.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }

    pub fn has(&self, name: &str, value: &str) -> bool {
        self.pairs.iter().any(|(k, v)| k == name && v == value)
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Others than those that are always in sight.
    pub fn more(&self) -> bool {
        self.beside(&["status", "q"])
    }

    /// Others than these.
    pub fn beside(&self, names: &[&str]) -> bool {
        self.pairs.iter().any(|(key, _)| !names.contains(&key.as_str()))
    }

    /// All but those called `name`: what a form must repeat beside its own field.
    pub fn others(&self, name: &str) -> impl Iterator<Item = &(String, String)> {
        self.pairs.iter().filter(move |(key, _)| key != name)
    }

    /// The query with `name=value` set if it is not, and without it if it is.
    pub fn toggled(&self, name: &str, value: &str) -> String {
        let mut pairs: Vec<_> = self.pairs.iter().filter(|(k, v)| !(k == name && v == value)).collect();
        let added = (name.to_owned(), value.to_owned());
        if pairs.len() == self.pairs.len() {
            pairs.push(&added);
        }
        query(pairs)
    }

    /// The query without a filter.
    pub fn without(&self, name: &str) -> String {
        query(self.others(name))
    }
}

fn query<'a>(pairs: impl IntoIterator<Item = &'a (String, String)>) -> String {
    let mut text = form_urlencoded::Serializer::for_suffix(String::from("?"), 1);
    text.extend_pairs(pairs);
    text.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_add_and_remove_one_filter_and_keep_the_rest() {
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        let filters = Filters { pairs: vec![pair("status", "failed"), pair("q", "a b")] };
        assert_eq!(filters.toggled("status", "failed"), "?q=a+b");
        assert_eq!(filters.toggled("status", "pending"), "?status=failed&q=a+b&status=pending");
        assert_eq!(filters.without("q"), "?status=failed");
        assert_eq!((filters.value("q"), filters.value("model"), filters.more()), ("a b", "", false));
    }
}
