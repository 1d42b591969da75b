//! Cookies of the desk. Their names begin with `__Host-`: a browser takes such a cookie only from this host, for all
//! its paths, over https (or from the machine itself), so no neighbouring host can set it.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

/// The cookie with the secret of a session.
pub const SESSION: &str = "__Host-ormantrace";
/// The cookie with the language that was chosen on the desk.
pub const LANGUAGE: &str = "__Host-ormantrace-lang";

/// The value of a cookie of the request; the first one, if there are several.
#[must_use]
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lists = headers.get_all(COOKIE).iter().filter_map(|list| list.to_str().ok());
    let mut cookies = lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
    cookies.find(|(of, _)| *of == name).map(|(_, value)| value.trim_matches('"'))
}

/// `Set-Cookie` for a cookie that lasts `seconds`; with 0 the browser removes it. Scripts cannot read it, and a request
/// from another site brings it only if it opens a page. `value` has no characters that a cookie cannot have.
#[must_use]
pub fn set_cookie(name: &str, value: &str, seconds: i64) -> HeaderValue {
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; Secure; SameSite=Lax");
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        assert_eq!(cookie(&headers, SESSION), None);
        headers.append(COOKIE, HeaderValue::from_static("a=1; __Host-ormantrace-lang=kk;x"));
        headers
            .append(COOKIE, HeaderValue::from_static("x__Host-ormantrace=3; __Host-ormantrace=\"secret\""));
        headers.append(COOKIE, HeaderValue::from_static("__Host-ormantrace=second"));
        assert_eq!(cookie(&headers, SESSION), Some("secret"));
        assert_eq!(cookie(&headers, LANGUAGE), Some("kk"));
        assert_eq!(
            set_cookie(SESSION, "s", 60),
            "__Host-ormantrace=s; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax"
        );
    }
}
