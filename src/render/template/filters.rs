//! Jinja2's filters and NetBox's `header_safe`.
//!
//! # Source
//! Jinja2 3.1 `filters.py`. Not here: `random` (chance), `urlize` and `wordwrap`, NetBox's `env` (the environment is
//! nobody's business).

mod numbers;
mod pprint;
mod select;
mod sequences;
mod sorting;
mod strings;

pub(super) use sorting::try_sort;

use minijinja::Environment;

use super::call::Callable;
use super::format;
use Callable::{Fixed, Free};

const FILTERS: &[(&str, Callable)] = &[
    ("abs", Fixed(&["value"], numbers::abs)),
    ("attr", Fixed(&["value", "name"], sequences::attr)),
    ("batch", Fixed(&["value", "linecount", "fill_with"], sequences::batch)),
    ("capitalize", Fixed(&["s"], strings::capitalize)),
    ("center", Fixed(&["value", "width"], strings::center)),
    ("count", Fixed(&["value"], sequences::length)),
    ("d", Fixed(&["value", "default_value", "boolean"], strings::default)),
    ("default", Fixed(&["value", "default_value", "boolean"], strings::default)),
    ("dictsort", Fixed(&["value", "case_sensitive", "by", "reverse"], sorting::dictsort)),
    ("e", Fixed(&["value"], strings::escape)),
    ("escape", Fixed(&["value"], strings::escape)),
    ("filesizeformat", Fixed(&["value", "binary"], numbers::filesizeformat)),
    ("first", Fixed(&["seq"], sequences::first)),
    ("float", Fixed(&["value", "default"], numbers::float)),
    ("forceescape", Fixed(&["value"], strings::forceescape)),
    ("format", Free(format::filter)),
    ("groupby", Fixed(&["value", "attribute", "default", "case_sensitive"], sorting::groupby)),
    ("header_safe", Fixed(&["value"], strings::header_safe)),
    ("indent", Fixed(&["s", "width", "first", "blank"], strings::indent)),
    ("int", Fixed(&["value", "default", "base"], numbers::int)),
    ("items", Fixed(&["value"], sequences::items)),
    ("join", Fixed(&["value", "d", "attribute"], strings::join)),
    ("last", Fixed(&["seq"], sequences::last)),
    ("length", Fixed(&["value"], sequences::length)),
    ("list", Fixed(&["value"], sequences::list)),
    ("lower", Fixed(&["s"], strings::lower)),
    ("map", Free(select::map)),
    ("max", Fixed(&["value", "case_sensitive", "attribute"], sorting::max)),
    ("min", Fixed(&["value", "case_sensitive", "attribute"], sorting::min)),
    ("pprint", Fixed(&["value"], pprint::pprint)),
    ("reject", Free(select::reject)),
    ("rejectattr", Free(select::rejectattr)),
    ("replace", Fixed(&["s", "old", "new", "count"], strings::replace)),
    ("reverse", Fixed(&["value"], sequences::reverse)),
    ("round", Fixed(&["value", "precision", "method"], numbers::round)),
    ("safe", Fixed(&["value"], strings::safe)),
    ("select", Free(select::select)),
    ("selectattr", Free(select::selectattr)),
    ("slice", Fixed(&["value", "slices", "fill_with"], sequences::slice)),
    ("sort", Fixed(&["value", "reverse", "case_sensitive", "attribute"], sorting::sort)),
    ("string", Fixed(&["object"], strings::string)),
    ("striptags", Fixed(&["value"], strings::striptags)),
    ("sum", Fixed(&["iterable", "attribute", "start"], numbers::sum)),
    ("title", Fixed(&["s"], strings::title)),
    ("tojson", Fixed(&["value", "indent"], strings::tojson)),
    ("trim", Fixed(&["value", "chars"], strings::trim)),
    ("truncate", Fixed(&["s", "length", "killwords", "end", "leeway"], strings::truncate)),
    ("unique", Fixed(&["value", "case_sensitive", "attribute"], sorting::unique)),
    ("upper", Fixed(&["s"], strings::upper)),
    ("urlencode", Fixed(&["value"], strings::urlencode)),
    ("wordcount", Fixed(&["s"], strings::wordcount)),
    ("xmlattr", Fixed(&["d", "autospace"], strings::xmlattr)),
];

pub(super) fn is_known(name: &str) -> bool {
    FILTERS.iter().any(|(known, _)| *known == name)
}

pub(super) fn register(environment: &mut Environment<'static>) {
    for (name, filter) in FILTERS {
        environment.add_filter(format!("f_{name}"), filter.boxed());
    }
}
