//! Style and script, inside the binary: named by their hash, so that browsers keep them for good.

use std::io::Write;
use std::sync::OnceLock;

use actix_web::http::header::{self, EntityTag, IfNoneMatch};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::failure::Failure;
use crate::web::error::ApiError;

/// One file.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    plain: &'static [u8],
    /// First half of the SHA-256, in hex.
    hash: String,
    gzip: Bytes,
}

const FILES: [(&str, &str, &[u8]); 7] = [
    ("style.css", "text/css; charset=utf-8", include_bytes!("../assets/style.css")),
    ("page.js", "text/javascript; charset=utf-8", include_bytes!("../assets/page.js")),
    ("chart.js", "text/javascript; charset=utf-8", include_bytes!("../assets/chart.js")),
    ("icon.svg", "image/svg+xml", include_bytes!("../assets/icon.svg")),
    ("htmx.js", "text/javascript; charset=utf-8", include_bytes!("../assets/vendor/htmx-2.0.11/htmx.min.js")),
    ("uplot.js", "text/javascript; charset=utf-8", include_bytes!("../assets/vendor/uplot-1.6.32/uPlot.iife.min.js")),
    ("uplot.css", "text/css; charset=utf-8", include_bytes!("../assets/vendor/uplot-1.6.32/uPlot.min.css")),
];

fn assets() -> &'static [Asset] {
    static ASSETS: OnceLock<Vec<Asset>> = OnceLock::new();
    ASSETS.get_or_init(|| {
        let asset = |(name, content_type, plain): (_, _, &'static [u8])| {
            let hash = Sha256::digest(plain)[..16].iter().map(|b| format!("{b:02x}")).collect();
            Asset { name, content_type, plain, hash, gzip: gzip(plain) }
        };
        FILES.into_iter().map(asset).collect()
    })
}

fn gzip(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(plain);
    encoder.finish().unwrap_or_default().into()
}

/// The hash in the URL of a file; empty for one that is not there, which tests find.
pub fn hash_of(name: &str) -> &'static str {
    assets().iter().find(|asset| asset.name == name).map_or("", |asset| asset.hash.as_str())
}

/// `GET …/assets/{hash}/{name}`. A file of another release is not found, its page is loaded anew anyway.
pub async fn get(req: HttpRequest, path: web::Path<(String, String)>) -> Result<HttpResponse, Failure> {
    let (hash, name) = path.into_inner();
    let Some(asset) = assets().iter().find(|asset| asset.name == name && asset.hash == hash) else {
        return Err(ApiError::not_found("this file is not here").into());
    };
    let tag = EntityTag::new_strong(asset.hash.clone());
    let mut answer = HttpResponse::Ok();
    answer
        .content_type(asset.content_type)
        .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .insert_header((header::ETAG, tag.to_string()))
        .insert_header((header::VARY, "Accept-Encoding"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if is_known(&req, &tag) {
        return Ok(HttpResponse::NotModified()
            .insert_header((header::ETAG, tag.to_string()))
            .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
            .finish());
    }
    let accepted = req.headers().get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or("");
    if accepted.split(',').any(|coding| coding.split(';').next().unwrap_or("").trim() == "gzip") {
        return Ok(answer.insert_header((header::CONTENT_ENCODING, "gzip")).body(asset.gzip.clone()));
    }
    Ok(answer.body(asset.plain))
}

fn is_known(req: &HttpRequest, tag: &EntityTag) -> bool {
    use actix_web::http::header::Header;
    match IfNoneMatch::parse(req) {
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(tag)),
        Ok(IfNoneMatch::Any) => true,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_page_is_small() {
        let first = ["style.css", "page.js", "htmx.js", "icon.svg", "chart.js", "uplot.js", "uplot.css"];
        let sizes = assets().iter().filter(|a| first.contains(&a.name)).map(|a| a.gzip.len());
        let total: usize = sizes.sum();
        assert!(total < 80 << 10, "{total} bytes");
    }

    #[test]
    fn vendored_files_are_those_that_were_published() {
        let sums = include_str!("../assets/vendor/SHA256SUMS");
        for (name, path) in [
            ("htmx.js", "htmx-2.0.11/htmx.min.js"),
            ("uplot.js", "uplot-1.6.32/uPlot.iife.min.js"),
            ("uplot.css", "uplot-1.6.32/uPlot.min.css"),
        ] {
            let asset = assets().iter().find(|asset| asset.name == name).expect("it is there");
            assert!(sums.lines().any(|l| l.starts_with(&asset.hash) && l.ends_with(path)), "{path}");
        }
    }
}
