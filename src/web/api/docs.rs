//! `GET /api/docs/`: the schema as a page to read. Plain HTML, no script.

use std::fmt::Write;

use actix_web::HttpResponse;
use actix_web::http::header;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::schema::document;
use crate::web::State;
use crate::web::error::ApiError;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color:#1a1a1a;background:#fff}h2{margin-top:2.5rem;border-bottom:1px solid #ccc}h3{font-size:1rem;margin:1.5rem 0 .3rem}\
code,pre{font-family:ui-monospace,monospace;font-size:.9em}.method{display:inline-block;min-width:4.5rem;font-weight:700;\
color:#0b5394}table{border-collapse:collapse;margin:.5rem 0}td,th{text-align:left;vertical-align:top;\
padding:.15rem .8rem .15rem 0}.scope{color:#555}\
@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#181818}.method{color:#8ab4f8}.scope{color:#aaa}a{color:#8ab4f8}}";

/// `GET /api/docs/`
pub async fn show(state: State) -> Result<HttpResponse, ApiError> {
    let page = page(&document(&state.config().server.base_path));
    let style = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .body(page))
}

fn page(schema: &Value) -> String {
    let mut html = String::with_capacity(64 << 10);
    let title = text(&schema["info"]["title"]);
    let base = schema["servers"][0]["url"].as_str().unwrap_or("/").trim_end_matches('/');
    // Writing to a string cannot fail, here and below.
    let _ = write!(
        html,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head><body><h1>{title} {}</h1>",
        text(&schema["info"]["version"])
    );
    paragraphs(&mut html, &schema["info"]["description"]);
    let _ =
        write!(html, "<p>The same for programs: <a href=\"{0}/api/schema/\">{0}/api/schema/</a>.</p>", escape(base));
    for tag in list(&schema["tags"]) {
        let _ = write!(html, "<h2>{}</h2>", text(&tag["name"]));
        paragraphs(&mut html, &tag["description"]);
        for (path, item) in schema["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                if operation["tags"][0] == tag["name"] {
                    operation_html(&mut html, schema, (&format!("{base}{path}"), method), (item, operation));
                }
            }
        }
    }
    html.push_str("</body></html>\n");
    html
}

fn operation_html(
    html: &mut String,
    schema: &Value,
    (path, method): (&str, &str),
    (item, operation): (&Value, &Value),
) {
    let _ = write!(
        html,
        "<h3><span class=\"method\">{}</span> <code>{}</code></h3><p>{}",
        escape(&method.to_uppercase()),
        escape(path),
        text(&operation["summary"])
    );
    match operation["security"][0]["token"][0].as_str() {
        Some(scope) => {
            let _ = write!(html, " <span class=\"scope\">Scope <code>{}</code>.</span></p>", escape(scope));
        }
        None => html.push_str(" <span class=\"scope\">No token needed.</span></p>"),
    }
    paragraphs(html, &operation["description"]);
    let parameters = list(&item["parameters"]).iter().chain(list(&operation["parameters"]));
    let rows: Vec<_> = parameters.map(|p| resolve(schema, p)).map(|p| (&p["name"], &p["description"])).collect();
    table(html, "Parameter", &rows);
    let body = resolve(schema, &operation["requestBody"]["content"]["application/json"]["schema"]);
    let fields = body["properties"].as_object();
    let rows: Vec<(Value, &Value)> =
        fields.into_iter().flatten().map(|(name, field)| (Value::from(name.as_str()), &field["description"])).collect();
    table(html, "Field", &rows.iter().map(|(name, text)| (name, *text)).collect::<Vec<_>>());
    let answers = operation["responses"].as_object();
    let rows: Vec<(Value, &Value)> = answers
        .into_iter()
        .flatten()
        .map(|(status, answer)| (Value::from(status.as_str()), &resolve(schema, answer)["description"]))
        .collect();
    table(html, "Answer", &rows.iter().map(|(name, text)| (name, *text)).collect::<Vec<_>>());
}

fn table(html: &mut String, heading: &str, rows: &[(&Value, &Value)]) {
    if rows.is_empty() {
        return;
    }
    let _ = write!(html, "<table><tr><th>{heading}</th><th></th></tr>");
    for (name, description) in rows {
        let _ = write!(html, "<tr><td><code>{}</code></td><td>{}</td></tr>", text(name), text(description));
    }
    html.push_str("</table>");
}

fn paragraphs(html: &mut String, value: &Value) {
    for paragraph in value.as_str().unwrap_or("").split("\n\n").filter(|p| !p.is_empty()) {
        let _ = write!(html, "<p>{}</p>", escape(paragraph));
    }
}

/// What a `$ref` within the document names.
fn resolve<'a>(schema: &'a Value, value: &'a Value) -> &'a Value {
    let reference = value["$ref"].as_str().and_then(|r| r.strip_prefix('#'));
    reference.and_then(|pointer| schema.pointer(pointer)).unwrap_or(value)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or(""))
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::urls::URLS;

    #[test]
    fn the_page_shows_every_url_and_runs_nothing() {
        let html = page(&document("/hooks"));
        for url in URLS {
            assert!(html.contains(&format!("<code>/hooks{}</code>", escape(url.path))), "{}", url.path);
        }
        assert!(!html.contains("<script"));
    }

    #[test]
    fn what_the_schema_says_is_text() {
        let schema = serde_json::json!({"info": {"title": "<b>x</b>", "version": "1", "description": "a & b"}});
        let html = page(&schema);
        assert!(html.contains("&lt;b&gt;x&lt;/b&gt;") && html.contains("a &amp; b") && !html.contains("<b>"));
    }
}
