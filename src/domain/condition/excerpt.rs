//! The beginning of a value, short enough for an answer or a log line.

use std::io;

use serde_json::Value;

use super::walk::Found;

/// The most bytes of a value that are shown.
pub const MAX_EXCERPT: usize = 160;

pub(super) fn of_value(value: &Value) -> String {
    cut(|out| serde_json::to_writer(out, value))
}

pub(super) fn of_found(found: &Found<'_>) -> String {
    match found {
        Found::One(value) => of_value(value),
        Found::Each(values) => cut(|out| serde_json::to_writer(out, values)),
    }
}

pub(super) fn of_list(list: &[Value]) -> String {
    cut(|out| serde_json::to_writer(out, list))
}

/// The beginning of a key or path, without quotes.
pub(super) fn of_name(name: &str) -> String {
    match name.char_indices().find(|(start, c)| start + c.len_utf8() > MAX_EXCERPT) {
        None => name.to_owned(),
        Some((end, _)) => format!("{}…", &name[..end]),
    }
}

pub(super) fn of_text(text: &str) -> String {
    cut(|out| serde_json::to_writer(out, text))
}

/// Stops the writer when there is enough, so that a huge value costs no more than its excerpt.
fn cut(write: impl FnOnce(&mut Bounded) -> serde_json::Result<()>) -> String {
    let mut out = Bounded { bytes: Vec::new() };
    let complete = write(&mut out).is_ok();
    let whole_chars = match std::str::from_utf8(&out.bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&out.bytes[..error.valid_up_to()]).unwrap_or_default(),
    };
    if complete { whole_chars.to_owned() } else { format!("{whole_chars}…") }
}

struct Bounded {
    bytes: Vec<u8>,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MAX_EXCERPT - self.bytes.len();
        let taken = room.min(bytes.len());
        self.bytes.extend_from_slice(&bytes[..taken]);
        if taken == 0 && !bytes.is_empty() { Err(io::ErrorKind::WriteZero.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
