//! The configuration as written: file and environment side by side, each value with the place it stands at.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::error::{Place, Problem};
use super::setting::{Section, Setting, Visitor};

/// Variables that override keys: the prefix, then table and key with `__` between.
const ENV_PREFIX: &str = "NETBOX_WEBHOOKD__";

/// NetBox's own switch, read under its own name as well.
const ENV_WEBHOOKS_ENABLED: &str = "WEBHOOKS_ENABLED";

/// A value with its place.
#[derive(Debug)]
struct Found {
    place: Place,
    written: Written,
}

#[derive(Debug)]
enum Written {
    /// In the file: a value with a type.
    Value(Value),
    /// In a variable: a text that says nothing of its type.
    Text(String),
}

impl Written {
    /// What may be meant, in the order it is tried.
    fn readings(&self, list: bool) -> Vec<Value> {
        match self {
            Self::Value(value) => vec![value.clone()],
            Self::Text(text) if list => vec![text_as_list(text)],
            Self::Text(text) => [Value::from(text.as_str())].into_iter().chain(text_as_scalar(text)).collect(),
        }
    }
}

/// One table as written.
#[derive(Debug)]
pub struct Table {
    /// Line of its header.
    pub line: usize,
    name: String,
    entries: BTreeMap<String, Found>,
}

/// Everything written, sorted by table.
#[derive(Debug, Default)]
pub struct Document {
    sections: BTreeMap<&'static str, Table>,
    pub endpoints: Vec<Table>,
    /// `[[webhook]]` tables with the lines they begin at.
    pub webhooks: Vec<(usize, Value)>,
}

impl Document {
    /// Reads the file's text and the overriding variables. `sections` are the names of the known tables.
    pub fn read(
        text: &str,
        env: &[(String, String)],
        sections: &[&'static str],
        problems: &mut Vec<Problem>,
    ) -> Document {
        let (tree, errors) = DeTable::parse_recoverable(text);
        let lines = Lines::of(text);
        if !errors.is_empty() {
            // What a broken file seems to say would only add confusion.
            problems.extend(errors.iter().map(|e| {
                let line = lines.at(e.span().map_or(0, |span| span.start));
                Problem::new(Place::Line(line), "", format!("not valid TOML: {}", e.message()))
            }));
            return Document::default();
        }
        let mut document = Document::default();
        let mut walk = Walk { lines, sections, problems, document: &mut document };
        walk.top(tree.get_ref());
        walk.environment(env);
        document
    }

    /// The table of this name; an empty one if it is not written.
    pub fn take(&mut self, name: &'static str) -> Table {
        self.sections.remove(name).unwrap_or_else(|| Table::new(name, 0))
    }
}

impl Table {
    fn new(name: &str, line: usize) -> Self {
        Self { line, name: name.to_owned(), entries: BTreeMap::new() }
    }

    /// Sets every key of `section` that is written here; what is left over is a problem.
    pub fn apply(mut self, section: &mut dyn Section, problems: &mut Vec<Problem>) {
        let mut reader = Reader { table: &mut self, problems, known: Vec::new() };
        section.visit(&mut reader);
        let known = reader.known;
        self.refuse_rest(&known, problems);
    }

    /// The values written in the file.
    pub fn values(&self) -> Map<String, Value> {
        let values = self.entries.iter().filter_map(|(key, found)| match &found.written {
            Written::Value(value) => Some((key.clone(), value.clone())),
            Written::Text(_) => None,
        });
        values.collect()
    }

    /// Where a key stands; the table's header if it does not.
    pub fn place(&self, key: &str) -> Place {
        self.entries.get(key).map_or(Place::Line(self.line), |found| found.place.clone())
    }

    fn refuse_rest(self, known: &[&'static str], problems: &mut Vec<Problem>) {
        for (key, found) in self.entries {
            let hint = match nearest(&key, known) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => format!("known are {}", known.join(", ")),
            };
            problems.push(Problem::new(found.place, &join(&self.name, &key), format!("unknown key; {hint}")));
        }
    }
}

/// Sets what is written.
struct Reader<'a> {
    table: &'a mut Table,
    problems: &'a mut Vec<Problem>,
    known: Vec<&'static str>,
}

impl Visitor for Reader<'_> {
    fn key(&mut self, name: &'static str, setting: &mut dyn Setting) {
        self.known.push(name);
        let Some(found) = self.table.entries.remove(name) else { return };
        let mut complaint = None;
        for reading in found.written.readings(setting.takes_list()) {
            match setting.set(&reading) {
                Ok(()) => return,
                Err(e) => complaint = Some(e),
            }
        }
        if let Some(message) = complaint {
            self.problems.push(Problem::new(found.place, &join(&self.table.name, name), message));
        }
    }
}

/// One pass over file and environment.
struct Walk<'a> {
    lines: Lines,
    sections: &'a [&'static str],
    problems: &'a mut Vec<Problem>,
    document: &'a mut Document,
}

impl Walk<'_> {
    fn top(&mut self, tree: &DeTable<'_>) {
        for (key, value) in tree {
            let line = self.lines.at(key.span().start);
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("endpoint", DeValue::Array(tables)) => {
                    for table in tables {
                        self.endpoint(table.get_ref(), self.lines.header(table.span().start));
                    }
                }
                ("webhook", DeValue::Array(tables)) => {
                    let found = tables.iter().map(|t| (self.lines.header(t.span().start), json(t.get_ref())));
                    self.document.webhooks.extend(found);
                }
                (name @ ("endpoint" | "webhook"), _) => {
                    self.complain(line, name, format!("must be a list of tables; write [[{name}]] above each"));
                }
                (name, DeValue::Table(table)) => self.section(name, table, line),
                (name, _) if self.known(name).is_some() => {
                    self.complain(line, name, format!("must be a table; write [{name}] and its keys below"));
                }
                (name, _) => self.unknown(name, line),
            }
        }
    }

    fn section(&mut self, name: &str, table: &DeTable<'_>, line: usize) {
        let Some(known) = self.known(name) else { return self.unknown(name, line) };
        for (key, value) in table {
            let place = Place::Line(self.lines.at(key.span().start));
            let path = join(name, key.get_ref());
            match value.get_ref() {
                DeValue::Table(inner) if self.known(&path).is_some() => {
                    self.section(&path, inner, self.lines.at(key.span().start));
                }
                value => self.put(known, key.get_ref(), Found { place, written: Written::Value(json(value)) }),
            }
        }
    }

    fn endpoint(&mut self, table: &DeValue<'_>, line: usize) {
        let DeValue::Table(keys) = table else {
            return self.complain(line, "endpoint", "must be a table; write [[endpoint]] above it".to_owned());
        };
        let mut found = Table::new("endpoint", line);
        for (key, value) in keys {
            let place = Place::Line(self.lines.at(key.span().start));
            let written = Written::Value(json(value.get_ref()));
            found.entries.insert(key.get_ref().to_string(), Found { place, written });
        }
        self.document.endpoints.push(found);
    }

    fn environment(&mut self, env: &[(String, String)]) {
        for (name, text) in env.iter().filter(|(name, _)| name == ENV_WEBHOOKS_ENABLED) {
            let written = Written::Text(text.clone());
            self.put("webhooks", "enabled", Found { place: Place::Environment(name.clone()), written });
        }
        for (name, text) in env {
            let Some(path) = name.strip_prefix(ENV_PREFIX) else { continue };
            let path = path.to_ascii_lowercase().replace("__", ".");
            let place = Place::Environment(name.clone());
            let section = path.rsplit_once('.').and_then(|(section, key)| Some((self.known(section)?, key)));
            match section {
                Some((section, key)) => self.put(section, key, Found { place, written: Written::Text(text.clone()) }),
                None => self.problems.push(Problem::new(
                    place,
                    &path,
                    format!(
                        "no such key; write {ENV_PREFIX}TABLE__KEY with one of the tables {}",
                        self.sections.join(", ")
                    ),
                )),
            }
        }
    }

    fn put(&mut self, section: &'static str, key: &str, found: Found) {
        let table = self.document.sections.entry(section).or_insert_with(|| Table::new(section, 0));
        table.entries.insert(key.to_owned(), found);
    }

    fn known(&self, name: &str) -> Option<&'static str> {
        self.sections.iter().find(|known| **known == name).copied()
    }

    fn unknown(&mut self, name: &str, line: usize) {
        let hint = match nearest(name, self.sections) {
            Some(meant) => format!("did you mean [{meant}]?"),
            None => format!("known are endpoint, webhook, {}", self.sections.join(", ")),
        };
        self.complain(line, name, format!("unknown table; {hint}"));
    }

    fn complain(&mut self, line: usize, key: &str, message: String) {
        self.problems.push(Problem::new(Place::Line(line), key, message));
    }
}

/// A variable's text as number or truth value, if it is one.
fn text_as_scalar(text: &str) -> Option<Value> {
    // NetBox's settings are Python: True is as good as true.
    let lower = text.trim().to_ascii_lowercase();
    let value = DeValue::parse(&lower).ok()?;
    matches!(value.get_ref(), DeValue::Boolean(_) | DeValue::Integer(_)).then(|| json(value.get_ref()))
}

/// A variable's text as list: TOML's, or items with commas between.
fn text_as_list(text: &str) -> Value {
    match DeValue::parse(text.trim()) {
        Ok(value) if value.get_ref().is_array() => json(value.get_ref()),
        _ => text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect::<Vec<_>>().into(),
    }
}

/// TOML as JSON: integers beyond 64 bits, infinities and datetimes become text.
fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            parsed.map_or_else(|_| Value::from(number.to_string()), Value::from)
        }
        DeValue::Float(number) => {
            let parsed = number.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            parsed.map_or_else(|| Value::from(number.to_string()), Value::Number)
        }
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            let entries = table.iter().map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref())));
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}

/// Where each line begins.
struct Lines {
    starts: Vec<usize>,
    headers: Vec<usize>,
}

impl Lines {
    fn of(text: &str) -> Self {
        let mut starts = vec![0];
        starts.extend(text.match_indices('\n').map(|(at, _)| at + 1));
        let header = |(_, line): &(usize, &str)| line.trim_start().starts_with("[[");
        let headers = text.lines().enumerate().filter(header).map(|(index, _)| index + 1).collect();
        Self { starts, headers }
    }

    /// Line number, from 1, of a byte position.
    fn at(&self, position: usize) -> usize {
        self.starts.partition_point(|start| *start <= position)
    }

    /// Line of the `[[…]]` at or above a position; the position's own line for inline tables.
    fn header(&self, position: usize) -> usize {
        let line = self.at(position);
        self.headers.iter().rev().find(|header| **header <= line).copied().unwrap_or(line)
    }
}

/// `section.key`, without the dot where one is missing.
fn join(section: &str, key: &str) -> String {
    let dot = if section.is_empty() || key.is_empty() { "" } else { "." };
    format!("{section}{dot}{key}")
}

/// The known name that a misspelt one most likely means.
fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let scored = known.iter().map(|name| (distance(word, name), *name));
    scored.filter(|(distance, name)| *distance <= (name.len() / 3).max(1)).min().map(|(_, name)| name)
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
