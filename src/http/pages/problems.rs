//! The descriptions of the problem types at the URL in `type`: `/problems` and
//! `/problems/{slug}` (HTML for a browser, else JSON), and `docs/PROBLEMS.md`,
//! all generated from [`ProblemType`].

use super::docs::inline;
use super::routes::{html, language};
use super::view::{Frame, render};
use crate::base::i18n::Lang;
use crate::http::core::accept::Preference;
use crate::http::core::problem::{PROBLEMS_PATH, Problem, ProblemType};
use askama::Template;
use axum::extract::{OriginalUri, Path};
use axum::http::header::{CACHE_CONTROL, VARY};
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse, Json, Response};
use std::fmt::Write;

#[derive(Template)]
#[template(path = "problems.html")]
struct ProblemsPage<'a> {
    frame: Frame,
    title: &'a str,
    kinds: &'a [ProblemType],
    is_list: bool,
}

pub(in crate::http) async fn list_problems(OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    respond(&uri, &headers, "Problems", ProblemType::ALL)
}

pub(in crate::http) async fn show_problem(
    Path(slug): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let kind = ProblemType::ALL.iter().find(|kind| kind.slug() == slug).ok_or_else(Problem::not_found)?;
    Ok(respond(&uri, &headers, kind.title(), std::slice::from_ref(kind)))
}

fn respond(uri: &Uri, headers: &HeaderMap, title: &str, kinds: &[ProblemType]) -> Response {
    let mut response = if Preference::of(headers) == Preference::Html {
        html(render_problems(language(uri, headers), title, kinds))
    } else {
        let described = kinds.iter().map(|kind| {
            serde_json::json!({
                "type": format!("{PROBLEMS_PATH}/{}", kind.slug()),
                "status": kind.status().as_u16(),
                "title": kind.title(),
                "meaning": kind.meaning(),
            })
        });
        Json(serde_json::json!({ "items": described.collect::<Vec<_>>() })).into_response()
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept, accept-language"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}

/// The page of all problem types, or of one. Its text is English; the frame around the text is in the
/// language `lang`.
#[must_use]
pub fn render_problems(lang: Lang, title: &str, kinds: &[ProblemType]) -> String {
    render(&ProblemsPage { frame: Frame::new(lang), title, kinds, is_list: kinds.len() > 1 })
}

/// The meaning of a type as HTML.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "a template passes references")]
fn meaning(kind: &ProblemType) -> String {
    inline(kind.meaning())
}

/// A response of this type.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "a template passes references")]
fn example(kind: &ProblemType) -> String {
    let mut problem = serde_json::json!({
        "type": format!("{PROBLEMS_PATH}/{}", kind.slug()),
        "title": kind.title(),
        "status": kind.status().as_u16(),
        "detail": kind.title(),
        "instance": "/v1/harvests",
        "request_id": "01a22075-4b7e-72df-8f2d-c9f9bf80fe1e",
    });
    match kind {
        ProblemType::Wrong => {
            problem["detail"] = "1 value is wrong; errors lists each.".into();
            problem["errors"] = serde_json::json!([{
                "pointer": "/logs/0/seal_number",
                "code": "seal-number-length",
                "detail": "A seal number has 4 to 20 characters.",
            }]);
        }
        ProblemType::Conflict => {
            problem["errors"] = serde_json::json!([{
                "pointer": "/logs/0/seal_number",
                "code": "seal-applied",
                "detail": "Seal DEMO-000041 is on a log already; a seal is applied once.",
            }]);
        }
        _ => {}
    }
    serde_json::to_string_pretty(&problem).unwrap_or_default()
}

/// The complete text of `docs/PROBLEMS.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# Problems\n\n\
         Every error response is `application/problem+json` (RFC 9457). `type` is a URL on the server's\n\
         public address that leads to the text below. In a program, tell types apart by the last part of\n\
         the URL, the slug, which never changes. `detail` is for a person and may change. `errors` lists\n\
         every field error at once, each with a stable `code` and its location: `pointer` into a JSON\n\
         body, `line` and `column` of a CSV body, `parameter` of the query, or `header`. `request_id`\n\
         identifies the request in the server's trace.\n\n\
         Generated from `src/http/core/problem_type.rs`; do not edit. To generate it again:\n\
         `ORMANTRACE_PRINT_DOCS=1 cargo test --lib pages::problems`.\n\n\
         | status | slug | title |\n|---|---|---|\n",
    );
    for kind in ProblemType::ALL {
        let _ = writeln!(
            text,
            "| {} | [`{slug}`](#{slug}) | {} |",
            kind.status().as_u16(),
            kind.title(),
            slug = kind.slug()
        );
    }
    for kind in ProblemType::ALL {
        let _ = write!(
            text,
            "\n## {}\n\n**{}.** {}.\n\n{}\n",
            kind.slug(),
            kind.status(),
            kind.title(),
            kind.meaning()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use axum::http::header::ACCEPT;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    #[test]
    fn the_document_is_what_the_table_prints() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PROBLEMS.md");
        if std::env::var_os("ORMANTRACE_PRINT_DOCS").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            markdown(),
            "docs/PROBLEMS.md says how to generate it again"
        );
    }

    async fn get(path: &str, accept: &str) -> (u16, String, String) {
        let request = Request::get(path).header(ACCEPT, accept).body(Body::empty()).unwrap();
        let routes = axum::Router::<()>::new()
            .route("/problems", axum::routing::get(list_problems))
            .route("/problems/{slug}", axum::routing::get(show_problem));
        let response = routes.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn every_type_leads_to_its_description() {
        for kind in ProblemType::ALL {
            let path = format!("{PROBLEMS_PATH}/{}", kind.slug());
            let (status, media_type, body) = get(&path, "text/html,*/*").await;
            assert_eq!((status, media_type.as_str()), (200, "text/html; charset=utf-8"));
            assert!(body.contains(&kind.title().replace('\'', "&#39;")), "{path}");
            assert!(body.contains("<div lang=\"en\">") && body.contains("<footer"), "{path}");
            let (status, media_type, body) = get(&path, "*/*").await;
            assert_eq!((status, media_type.as_str()), (200, "application/json"));
            assert!(body.contains(kind.slug()));
        }
        assert_eq!(get("/problems/no-such-thing", "text/html").await.0, 404);
        assert_eq!(get("/problems", "text/html").await.0, 200);
    }
}
