//! The session of a request: a layer around every page of the desk but the sign-in, and what the pages read of it.

use super::layout::{Frame, language};
use crate::base::i18n::Lang;
use crate::base::percent;
use crate::base::token::SessionSecret;
use crate::http::core::app::App;
use crate::http::core::auth::UnresolvedCaller;
use crate::http::core::cookie::{LANGUAGE, SESSION, cookie, set_cookie};
use crate::http::core::place::RequestPlace;
use crate::http::core::problem::Problem;
use crate::timber::party::key::Caller;
use crate::timber::party::reader::Reader;
use crate::timber::party::session::Session;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{LOCATION, REFERRER_POLICY, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use tower_http::csrf::CsrfLayer;

/// The sign-in.
pub(super) const SIGN_IN: &str = "/desk/sign-in";
/// Longest path that a sign-in leads back to, in bytes.
const MAX_NEXT: usize = 1_000;
/// How long a chosen language is remembered: a year, in seconds.
const LANGUAGE_SECONDS: i64 = 365 * 24 * 3_600;

/// The session of a request; an extractor. [`Caller`], the roles of [`crate::http::core::auth`] and
/// [`UnresolvedCaller`] are extractors on these routes too.
#[derive(Clone)]
pub struct Desk {
    pub(super) session: Arc<Session>,
    pub(super) lang: Lang,
    pub(super) uri: Uri,
}

impl Desk {
    pub(super) fn caller(&self) -> &Caller {
        &self.session.caller
    }

    pub(super) fn reader(&self) -> Reader {
        Reader::from(self.caller())
    }

    pub(super) fn frame(&self) -> Frame {
        Frame::of(self)
    }
}

impl FromRequestParts<App> for Desk {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Problem::internal("a page of the desk without its layer"))
    }
}

/// The layer against writes that another site's page sends: the browser says where a request comes from
/// (`Sec-Fetch-Site`, else `Origin`). The origin of the public URL is trusted, since a proxy may rewrite `Host`.
///
/// # Panics
/// Never: the settings accept no public URL without an origin.
pub fn same_site_writes(public_url: Option<&str>) -> CsrfLayer {
    let layer = CsrfLayer::new();
    match public_url.and_then(origin) {
        Some(origin) => layer.add_trusted_origin(origin).unwrap_or_default(),
        None => layer,
    }
}

/// The origin as browsers send it: lower case, without the scheme's own port.
fn origin(url: &str) -> Option<String> {
    let url = url.trim_end_matches('/').to_ascii_lowercase();
    let (scheme, host) = url.split_once("://")?;
    let own_port = if scheme == "https" { ":443" } else { ":80" };
    Some(format!("{scheme}://{}", host.strip_suffix(own_port).unwrap_or(host)))
}

/// The session of the request's cookie, if it has not ended.
pub(super) async fn session_of(app: &App, headers: &HeaderMap) -> Result<Option<Session>, Problem> {
    let Some(secret) = cookie(headers, SESSION).and_then(SessionSecret::from_text) else { return Ok(None) };
    Ok(app.reads.session(&secret, app.clock.now()).await?)
}

/// Lets only requests with a session through; others are led to the sign-in. A form that was sent without a session is
/// not sent again after the sign-in.
pub async fn require_session(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let session = match session_of(&app, &parts.headers).await {
        Ok(Some(session)) => session,
        Ok(None) => {
            if !matches!(parts.method, Method::GET | Method::HEAD) {
                return see_other(&format!("{SIGN_IN}?ended=1"));
            }
            return see_other(&sign_in_path(
                parts.uri.path_and_query().map_or("/desk", |path| path.as_str()),
            ));
        }
        Err(problem) => return problem.into_response(),
    };
    let place = parts.extensions.get::<Arc<RequestPlace>>().cloned();
    if let Some(place) = &place {
        place.belongs_to(session.caller.organization);
    }
    let lang = language(&parts.uri, &parts.headers);
    parts.extensions.insert(session.caller.clone());
    parts.extensions.insert(UnresolvedCaller::of_session(session.key, place));
    let desk = Desk { session: Arc::new(session), lang, uri: parts.uri.clone() };
    let frame = desk.frame();
    parts.extensions.insert(desk);
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if !response.status().is_success() {
        response.extensions_mut().insert(frame);
    }
    response
}

/// Remembers a language that the query chooses, and lets browsers name the origin of the forms that they send.
pub async fn remember_language(request: Request, next: Next) -> Response {
    let chosen = Lang::from_tag(&super::values::Values::of_query(request.uri()).get("lang"));
    let mut response = next.run(request).await;
    // With `no-referrer`, the policy of all other responses, a form is sent with `Origin: null`.
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    if let Some(lang) = chosen {
        response.headers_mut().append(SET_COOKIE, set_cookie(LANGUAGE, lang.code(), LANGUAGE_SECONDS));
    }
    response
}

/// A redirect to a page of the desk.
pub(super) fn see_other(path: &str) -> Response {
    match HeaderValue::try_from(path) {
        Ok(path) => (StatusCode::SEE_OTHER, [(LOCATION, path)]).into_response(),
        Err(_) => Problem::not_found().into_response(),
    }
}

/// The path of the sign-in that leads to `next`.
pub(super) fn sign_in_path(next: &str) -> String {
    if next == "/desk" {
        return SIGN_IN.to_owned();
    }
    format!("{SIGN_IN}?next={}", percent::encode_segment(next))
}

/// `text`, if it is a path of the desk that a sign-in may lead to; else the desk's home page. What a browser could read
/// as another host (`//`, `\`) or skips over (control characters, `..`) is refused.
pub(super) fn safe_next(text: &str) -> &str {
    let rest = text.strip_prefix("/desk");
    let is_path = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let is_plain = text.len() <= MAX_NEXT
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && !["//", "\\", ".."].iter().any(|bad| text.contains(bad));
    let leads_back = !text.starts_with("/desk/sign-");
    if is_path && is_plain && leads_back { text } else { "/desk" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_to_pages_of_the_desk_only() {
        for fine in ["/desk", "/desk/logs/KZ%201?a=b", "/desk?lang=kk", "/desk/search?q=%2F%2Fx"] {
            assert_eq!(safe_next(fine), fine);
        }
        for foreign in [
            "",
            "//evil.kz",
            "https://evil.kz/desk",
            "/desk//evil.kz",
            "/desk\\evil.kz",
            "/\\evil.kz",
            "/deskx",
            "/desk/../verify",
            "/desk/\t/x",
            "/desk/\r\nSet-Cookie:x",
            "/desk/ғ",
            "/desk/sign-out",
            "/desk@evil.kz",
            "/desk/sign-in?next=/desk",
        ] {
            assert_eq!(safe_next(foreign), "/desk", "{foreign}");
        }
        assert_eq!(safe_next(&format!("/desk/{}", "a".repeat(MAX_NEXT))), "/desk");
    }

    #[test]
    fn the_origin_is_written_as_browsers_do() {
        assert_eq!(origin("https://Orman.Example:443/").as_deref(), Some("https://orman.example"));
        assert_eq!(origin("http://127.0.0.1:8080").as_deref(), Some("http://127.0.0.1:8080"));
        assert_eq!(origin("http://orman.example:80").as_deref(), Some("http://orman.example"));
        assert_eq!(origin("orman.example"), None);
    }
}
