//! The style sheets and the icon, compiled in, under names that contain a hash of their content: a browser
//! may cache them for a year, and changed content gets a new name.

use axum::{
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

struct Asset {
    name: String,
    content_type: HeaderValue,
    body: &'static [u8],
}

impl Asset {
    fn new(stem: &str, extension: &str, content_type: &'static str, body: &'static [u8]) -> Self {
        let hash = hex::encode(Sha256::digest(body));
        let name = format!("{stem}.{}.{extension}", &hash[..16]);
        Self { name, content_type: HeaderValue::from_static(content_type), body }
    }

    fn path(&self) -> String {
        format!("/assets/{}", self.name)
    }
}

static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("site", "css", "text/css; charset=utf-8", include_bytes!("assets/site.css")));
static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_bytes!("assets/icon.svg")));

static DESK_STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("desk", "css", "text/css; charset=utf-8", include_bytes!("assets/desk.css")));

/// The path of the style sheet that only the desk has, in addition to that of all pages.
#[must_use]
pub fn desk_style_path() -> String {
    DESK_STYLE.path()
}

/// The path of the style sheet.
#[must_use]
pub fn style_path() -> String {
    STYLE.path()
}

/// The path of the icon.
#[must_use]
pub fn icon_path() -> String {
    ICON.path()
}

/// `GET /assets/{file}`: the file, cacheable for a year; or a 404 without a body, which the router replaces
/// by its problem document.
pub async fn get_asset(Path(file): Path<String>) -> Response {
    let Some(asset) = [&STYLE, &DESK_STYLE, &ICON].into_iter().find(|asset| asset.name == file) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, asset.content_type.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    (headers, asset.body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_named_file_is_kept_for_a_year_and_any_other_name_is_not_there() {
        let css = "text/css; charset=utf-8";
        for (path, kind) in [(style_path(), css), (desk_style_path(), css), (icon_path(), "image/svg+xml")] {
            let name = path.strip_prefix("/assets/").unwrap().to_owned();
            let response = get_asset(Path(name)).await;
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()[header::CONTENT_TYPE], kind);
            assert_eq!(response.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        }
        for absent in ["site.css", "site.0000000000000000.css", "../../etc/passwd", ""] {
            assert_eq!(get_asset(Path(absent.to_owned())).await.status(), StatusCode::NOT_FOUND, "{absent}");
        }
    }
}
