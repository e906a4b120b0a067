//! What commands print: JSON as it came, or tables for people.

use std::io::{self, Write};

use serde_json::Value;

/// Longest cell of a table, in characters; the rest is in `--json`.
const MAX_CELL: usize = 60;

/// Prints to stdout. A reader that went away (`| head`) is no error.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Prints one line to stdout.
pub fn line(text: &str) -> io::Result<()> {
    print(&format!("{text}\n"))
}

/// Prints JSON, indented.
pub fn json(value: &Value) -> io::Result<()> {
    line(&format!("{value:#}"))
}

/// A table of some fields of objects; `a.b` is a field of a field.
pub fn table(rows: &[Value], columns: &[(&str, &str)]) -> String {
    let mut lines: Vec<Vec<String>> = vec![columns.iter().map(|(title, _)| (*title).to_owned()).collect()];
    lines.extend(rows.iter().map(|row| columns.iter().map(|(_, path)| cell(row, path)).collect()));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let padded = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    lines.iter().map(padded).collect()
}

/// Every value of an object on a line of its own, inner ones as `outer.inner`.
pub fn fields(value: &Value) -> String {
    let mut lines = Vec::new();
    flatten("", value, &mut lines);
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    lines.iter().map(|(name, value)| format!("{name:<width$}  {value}\n")).collect()
}

fn flatten(name: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            let dot = if name.is_empty() { "" } else { "." };
            fields.iter().for_each(|(key, value)| flatten(&format!("{name}{dot}{key}"), value, lines));
        }
        value => lines.push((name.to_owned(), plain(value))),
    }
}

fn cell(row: &Value, path: &str) -> String {
    let value = path.split('.').try_fold(row, |value, key| value.get(key)).unwrap_or(&Value::Null);
    let text = plain(value);
    match text.char_indices().nth(MAX_CELL) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        // What a receiver or a user wrote must not steer the terminal.
        Value::String(text) => text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [json!({"id": 1, "e": {"m": "dcim.site"}}), json!({"id": 20, "x": ["a", "b"]})];
        let table = table(&rows, &[("ID", "id"), ("MODEL", "e.m"), ("X", "x")]);
        assert_eq!(table, "ID  MODEL      X\n1   dcim.site  -\n20  -          a, b\n");
    }

    #[test]
    fn long_and_hostile_cells_are_tamed() {
        let rows = [json!({"a": "x".repeat(70)}), json!({"a": "\u{1b}[2J"})];
        let table = table(&rows, &[("A", "a")]);
        assert!(table.contains(&format!("{}…\n", "x".repeat(60))));
        assert!(!table.contains('\u{1b}'));
    }

    #[test]
    fn nested_fields_are_named_by_their_path() {
        assert_eq!(fields(&json!({"a": {"b": 1}, "c": null})), "a.b  1\nc    -\n");
    }
}
