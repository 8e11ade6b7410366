//! The page and the client library it is written on, as they were when this was compiled.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::routing::get;
use include_dir::{Dir, include_dir};

static PAGE: Dir = include_dir!("$CARGO_MANIFEST_DIR/playground");
static CLIENT: Dir = include_dir!("$CARGO_MANIFEST_DIR/../clients/javascript/src");

/// The policy of a page that connects to this URL; a path is its own origin's. Nothing from elsewhere, nothing inline, in nobody's frame.
pub fn content_security_policy(connect: &str) -> HeaderValue {
    let elsewhere =
        Uri::try_from(connect).ok().and_then(|uri| Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?)));
    // `ws:` of the own origin is in `'self'` only for newer browsers, so loopback is named.
    let gateway = elsewhere.as_deref().unwrap_or("ws://127.0.0.1:* ws://localhost:*");
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
         connect-src 'self' {gateway}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    // A URL has nothing in it that a header cannot hold.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// One route per file, so that no path can lead anywhere else.
pub fn router(csp: &HeaderValue) -> Router {
    let mut router = Router::new();
    for (dir, prefix) in [(&PAGE, "/"), (&CLIENT, "/client/")] {
        for (path, contents) in files(dir) {
            let headers = headers(content_type(&path), csp);
            let answer = get(move || async move { (headers, contents) });
            if prefix == "/" && path == "index.html" {
                router = router.route("/", answer.clone());
            }
            router = router.route(&format!("{prefix}{path}"), answer);
        }
    }
    router
}

/// What every answer here carries.
pub fn headers(content_type: &'static str, csp: &HeaderValue) -> [(HeaderName, HeaderValue); 5] {
    [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        // Whoever edits a file and builds again wants to see it.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, csp.clone()),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ]
}

fn files(dir: &'static Dir<'static>) -> Vec<(String, &'static [u8])> {
    let mut all: Vec<_> = dir
        .files()
        // A path is a route's pattern, so what would be read as one is left out, and so are hidden files.
        .filter_map(|f| f.path().to_str().map(|p| (p.replace('\\', "/"), f.contents())))
        .filter(|(path, _)| !path.contains(['{', '}']) && !path.split('/').any(|part| part.starts_with('.')))
        .collect();
    all.extend(dir.dirs().flat_map(files));
    all
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    }
}
