//! `GET /api/schema/`: the API described in OpenAPI 3.1.

use actix_web::HttpResponse;
use serde_json::{Value, json};

use crate::web::State;
use crate::web::error::ApiError;

/// Maintained by hand; a test compares it with the table of URLs.
const SCHEMA: &str = include_str!("openapi.json");

/// The document, with the version and the path this service has.
pub fn document(base_path: &str) -> Value {
    // A test parses it.
    let mut schema: Value = serde_json::from_str(SCHEMA).unwrap_or_default();
    schema["info"]["version"] = json!(env!("CARGO_PKG_VERSION"));
    schema["servers"] = json!([{ "url": if base_path.is_empty() { "/" } else { base_path } }]);
    schema
}

/// `GET /api/schema/`
pub async fn show(state: State) -> Result<HttpResponse, ApiError> {
    let schema = document(&state.config().server.base_path);
    Ok(HttpResponse::Ok().content_type("application/vnd.oai.openapi+json; version=3.1").json(schema))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::admin::Scope;
    use crate::web::urls::URLS;

    #[test]
    fn the_schema_names_exactly_the_urls_there_are() {
        let schema = document("");
        let paths = schema["paths"].as_object().expect("paths");
        let described: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().expect("a path item").keys().filter(|key| *key != "parameters");
                methods.map(|method| (path.clone(), method.to_uppercase()))
            })
            .collect();
        let served: BTreeSet<_> =
            URLS.iter().flat_map(|u| u.methods.iter().map(|(m, ..)| (u.path.to_owned(), (*m).to_owned()))).collect();
        assert_eq!(described, served);
    }

    #[test]
    fn the_schema_names_the_scope_each_url_needs() {
        let schema = document("");
        for url in URLS {
            for (method, scope, _) in url.methods {
                let security = &schema["paths"][url.path][method.to_lowercase()]["security"];
                let expected = scope.map_or(json!([]), |s: Scope| json!([{ "token": [s.as_str()] }]));
                assert_eq!(*security, expected, "{method} {}", url.path);
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn check(schema: &Value, value: &Value) {
            match value {
                Value::Object(object) => {
                    if let Some(Value::String(reference)) = object.get("$ref") {
                        let pointer = reference.strip_prefix('#').expect("a local reference");
                        assert!(schema.pointer(pointer).is_some(), "{reference}");
                    }
                    object.values().for_each(|v| check(schema, v));
                }
                Value::Array(items) => items.iter().for_each(|v| check(schema, v)),
                _ => {}
            }
        }
        let schema = document("");
        check(&schema, &schema);
    }
}
