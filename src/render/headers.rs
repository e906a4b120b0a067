//! The headers a webhook's definition asks for.

use std::borrow::Cow;

use super::RenderError;
use super::prepared::Headers;
use crate::domain::webhook::{WebhookSpec, header_lines};

const CONTENT_TYPE: &str = "Content-Type";

/// `Content-Type` and the additional headers, which may override it; of a header given twice the last holds, as in
/// NetBox. Control characters are taken out, so no value can end the line it stands in. Lines without a colon are left
/// out, as NetBox does it since 4.6.6.
///
/// # Errors
/// A name or value that cannot be sent, or a header that only this service may set; names the line, from 1.
pub(super) fn read(webhook: &WebhookSpec, additional: &str) -> Result<Headers, RenderError> {
    let content_type = printable(&webhook.http_content_type).replace('\n', "");
    let mut headers = vec![(CONTENT_TYPE.to_owned(), content_type.trim().to_owned())];
    for line in header_lines(&printable(additional)) {
        let (name, value) = match line {
            Ok(header) => header,
            Err((line, _)) if lacks_colon(additional, line) => continue,
            Err((line, reason)) => return Err(RenderError::Header { line, reason }),
        };
        match headers.iter_mut().find(|(given, _)| given.eq_ignore_ascii_case(name)) {
            Some(given) => given.1 = value.to_owned(),
            None => headers.push((name.to_owned(), value.to_owned())),
        }
    }
    Ok(headers)
}

fn lacks_colon(text: &str, line: usize) -> bool {
    text.lines().nth(line - 1).is_some_and(|line| !line.contains(':'))
}

/// The lines of a text without control characters, which nearly never are in it.
fn printable(text: &str) -> Cow<'_, str> {
    let unwanted = |c: char| c.is_control() && c != '\n';
    if text.contains(unwanted) { Cow::Owned(text.replace(unwanted, "")) } else { Cow::Borrowed(text) }
}
