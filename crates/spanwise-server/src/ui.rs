//! The UI: the files of `web/dist`, embedded when the binary was built.
//!
//! Paths that are no file get `index.html`, since the UI reads its state from the URL.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use rust_embed::{EmbeddedFile, RustEmbed};
use sha2::{Digest, Sha256};
use spanwise_model::wire::base64;

use crate::auth::hex;
use crate::error::ApiError;

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct Dist;

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
    <title>Spanwise</title><h1>Spanwise is running</h1>\
    <p>This binary was built without the UI. Build it with <code>make ui</code> (or start with \
    <code>make run</code>), then build the server again.</p>\
    <p>The query API is at <a href=\"/api/v1/traces\">/api/v1/traces</a>.</p></html>\n";

/// What a page may load apart from scripts.
const CONTENT_SECURITY: &str = "default-src 'self'; img-src 'self' data: blob:; \
    media-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; font-src 'self' data:; \
    worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'";

/// Files in gzip, made when first asked for.
type Compressed = Arc<Mutex<HashMap<String, Bytes>>>;

/// Every path that nothing else takes.
pub fn routes() -> Router {
    Router::new().fallback(any(serve)).with_state(Compressed::default())
}

async fn serve(
    State(compressed): State<Compressed>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return ApiError::not_found(format!("there is no {}", uri.path())).into_response();
    }
    let path = uri.path().trim_start_matches('/');
    if let Some(file) = Dist::get(path).filter(|_| path != "index.html") {
        return respond(&compressed, path, file, &headers);
    }
    // A missing script must not come back as a page: the browser would say something baffling.
    if path.starts_with("assets/") {
        return StatusCode::NOT_FOUND.into_response();
    }
    match Dist::get("index.html") {
        Some(file) => respond(&compressed, "index.html", file, &headers),
        None => page(NOT_BUILT),
    }
}

fn page(html: &'static str) -> Response {
    let mut response = Response::new(Body::from(html));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    secure(headers, &[]);
    response
}

fn respond(
    compressed: &Compressed,
    path: &str,
    file: EmbeddedFile,
    request: &HeaderMap,
) -> Response {
    let etag = format!("\"{}\"", hex(&file.metadata.sha256_hash()[..12]));
    // The names of assets contain a hash of what is in them.
    let caching = if path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let known = request.get(header::IF_NONE_MATCH).is_some_and(|seen| seen == etag.as_str());
    let gzip = !known && accepts_gzip(request) && is_compressible(path) && file.data.len() > 1024;
    let scripts = if path == "index.html" { inline_scripts(&file.data) } else { Vec::new() };
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else if gzip {
        Response::new(Body::from(gzipped(compressed, path, &etag, &file.data)))
    } else {
        Response::new(Body::from(match file.data {
            Cow::Borrowed(data) => Bytes::from_static(data),
            Cow::Owned(data) => data.into(),
        }))
    };
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &str| {
        // A file name that makes no header value costs the header, not the file.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, &content_type(file.metadata.mimetype()));
    set(header::CACHE_CONTROL, caching);
    set(header::ETAG, &etag);
    set(header::VARY, "accept-encoding");
    if gzip {
        set(header::CONTENT_ENCODING, "gzip");
    }
    secure(headers, &scripts);
    response
}

fn content_type(mime: &str) -> String {
    if mime.starts_with("text/") || mime.ends_with("javascript") {
        format!("{mime}; charset=utf-8")
    } else {
        mime.to_owned()
    }
}

/// Nothing but our own scripts runs in a page that shows what models wrote: files of this server,
/// and what stands in the page itself and is named here.
fn secure(headers: &mut HeaderMap, inline_scripts: &[String]) {
    let scripts = inline_scripts.join(" ");
    let content_security = format!("{CONTENT_SECURITY}; script-src 'self' {scripts}");
    if let Ok(value) = HeaderValue::from_str(&content_security) {
        headers.insert(header::CONTENT_SECURITY_POLICY, value);
    }
    for (name, value) in
        [(header::X_CONTENT_TYPE_OPTIONS, "nosniff"), (header::REFERRER_POLICY, "same-origin")]
    {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// The scripts that stand in a page, as the sources that its policy allows: `'sha256-…'` of each.
fn inline_scripts(page: &[u8]) -> Vec<String> {
    let page = String::from_utf8_lossy(page);
    let scripts = page.split("<script>").skip(1).filter_map(|rest| rest.split_once("</script>"));
    let hashes = scripts.map(|(script, _)| base64::encode(&Sha256::digest(script)));
    hashes.map(|hash| format!("'sha256-{hash}'")).collect()
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    accepted.is_some_and(|accepted| {
        accepted.split(',').any(|coding| coding.split(';').next().unwrap_or("").trim() == "gzip")
    })
}

fn is_compressible(path: &str) -> bool {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    matches!(extension, "html" | "js" | "css" | "svg" | "json" | "map" | "txt" | "webmanifest")
}

fn gzipped(compressed: &Compressed, path: &str, etag: &str, data: &[u8]) -> Bytes {
    let key = format!("{path} {etag}");
    let mut compressed = compressed.lock().unwrap_or_else(PoisonError::into_inner);
    let made = compressed.entry(key).or_insert_with(|| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        // Writing to memory cannot fail.
        drop(encoder.write_all(data));
        encoder.finish().unwrap_or_default().into()
    });
    made.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_run_its_own_scripts_and_no_others() {
        let page = b"<script src=\"/a.js\"></script><script>go()</script><p><script>go";
        let allowed = inline_scripts(page);
        assert_eq!(allowed, ["'sha256-5KYv+PUboo5h+0+YAtGRPbwv5d/QxzHslP4YGnUaxRw='"]);

        let mut headers = HeaderMap::new();
        secure(&mut headers, &allowed);
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.ends_with(&format!("; script-src 'self' {}", allowed[0])), "{policy}");
    }
}
