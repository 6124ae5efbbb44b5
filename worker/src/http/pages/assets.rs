//! The style sheet and the scripts: parts of the binary, served under names that contain
//! their digests, so that browsers may keep them for ever.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

use super::super::problem::Problem;

/// Number of characters of the digest in a name.
const DIGEST: usize = 16;
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// The files. A script may import those before it.
const FILES: [(&str, &str, &str); 8] = [
    ("almanac.css", STYLE, include_str!("assets/almanac.css")),
    ("icon.svg", IMAGE, include_str!("assets/icon.svg")),
    ("times.js", SCRIPT, include_str!("assets/times.js")),
    ("page.js", SCRIPT, include_str!("assets/page.js")),
    ("live.js", SCRIPT, include_str!("assets/live.js")),
    ("search.js", SCRIPT, include_str!("assets/search.js")),
    ("keys.js", SCRIPT, include_str!("assets/keys.js")),
    ("almanac.js", SCRIPT, include_str!("assets/almanac.js")),
];

/// A file as it is served.
struct Asset {
    content_type: &'static str,
    text: String,
}

/// The files by the names under which they are served, and these names by the files' own.
struct Assets {
    files: BTreeMap<String, Asset>,
    names: BTreeMap<&'static str, String>,
}

static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    let mut assets = Assets {
        files: BTreeMap::new(),
        names: BTreeMap::new(),
    };
    for (name, content_type, text) in FILES {
        let mut text = text.to_owned();
        for (imported, served) in &assets.names {
            text = text.replace(&format!("\"./{imported}\""), &format!("\"./{served}\""));
        }
        let digest = hex::encode(Sha256::digest(&text));
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        let served = format!("{stem}-{}.{extension}", &digest[..DIGEST]);
        assets.names.insert(name, served.clone());
        assets.files.insert(served, Asset { content_type, text });
    }
    assets
});

/// The path under which a file is served.
pub(super) fn path(name: &str) -> String {
    let served = ASSETS.names.get(name).map_or(name, String::as_str);
    format!("/assets/{served}")
}

/// `GET /assets/{name}`
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let Some(asset) = ASSETS.files.get(&name) else {
        return Problem::new(StatusCode::NOT_FOUND, "there is no such file").into_response();
    };
    let kept = HeaderValue::from_static("private, max-age=31536000, immutable");
    let kind = HeaderValue::from_static(asset.content_type);
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, kept)];
    (headers, asset.text.as_str()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_change_with_the_contents() {
        let path = path("almanac.css");
        let (before, after) = path.split_once('-').unwrap();
        assert_eq!(before, "/assets/almanac");
        let (digest, extension) = after.split_once('.').unwrap();
        assert_eq!((digest.len(), extension), (DIGEST, "css"));
        assert_eq!(ASSETS.files.len(), FILES.len());
    }
}
