//! Conditional requests: `ETag` and `If-None-Match` (RFC 9110, section 13).
//!
//! A history has an ETag, so that a client that already has the current history gets 304. For this response
//! the server reads one row, and neither reads nor sends the events.

use axum::http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

/// An entity tag: equal tags mean equal responses. Valid only for the same caller and URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ETag(String);

impl ETag {
    /// `value` consists of letters and digits. The ETag is weak: it is the same with and without compression.
    #[must_use]
    pub fn new(value: &str) -> Self {
        Self(format!("W/\"{value}\""))
    }

    /// Whether `If-None-Match` names this ETag or `*`, so that the client has this response already.
    #[must_use]
    pub fn matches(&self, headers: &HeaderMap) -> bool {
        let opaque = |tag: &str| tag.trim().strip_prefix("W/").unwrap_or(tag.trim()).to_owned();
        let own = opaque(&self.0);
        let lists = headers.get_all(IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
        lists.flat_map(|list| list.split(',')).any(|tag| tag.trim() == "*" || opaque(tag) == own)
    }

    /// The 304 response.
    #[must_use]
    pub fn not_modified(&self) -> Response {
        self.on(StatusCode::NOT_MODIFIED.into_response())
    }

    /// The response with this ETag. Only the client may cache it, and must revalidate it each time.
    #[must_use]
    pub fn on(&self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        if let Ok(tag) = HeaderValue::from_str(&self.0) {
            headers.insert(ETAG, tag);
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        headers.insert(VARY, HeaderValue::from_static("authorization"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_by_itself_in_a_list_or_by_a_star() {
        let known = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static(value));
            ETag::new("6f1e").matches(&headers)
        };
        for value in ["W/\"6f1e\"", "\"6f1e\"", "\"aa\", W/\"6f1e\"", "*"] {
            assert!(known(value), "{value}");
        }
        for value in ["W/\"6f1f\"", "6f1e", "\"6f1\"", ""] {
            assert!(!known(value), "{value}");
        }
        assert!(!ETag::new("6f1e").matches(&HeaderMap::new()));
    }
}
