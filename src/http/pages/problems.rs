//! The descriptions of the problem types at the URL in `type`: `/problems` and
//! `/problems/{slug}` (HTML for a browser, else JSON), and `docs/PROBLEMS.md`,
//! all generated from [`ProblemType`].

use crate::http::core::problem::{PROBLEMS_PATH, Problem, ProblemType};
use axum::Router;
use axum::extract::Path;
use axum::http::header::{ACCEPT, CACHE_CONTROL, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{Html, IntoResponse, Json, Response};
use axum::routing::get;
use std::fmt::Write;

/// `GET /problems` and `GET /problems/{slug}`, public.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route(PROBLEMS_PATH, get(list_problems))
        .route(&format!("{PROBLEMS_PATH}/{{slug}}"), get(show_problem))
}

async fn list_problems(headers: HeaderMap) -> Response {
    respond(&headers, "Problems", ProblemType::ALL)
}

async fn show_problem(Path(slug): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let kind = ProblemType::ALL.iter().find(|kind| kind.slug() == slug).ok_or_else(Problem::not_found)?;
    Ok(respond(&headers, kind.title(), std::slice::from_ref(kind)))
}

fn respond(headers: &HeaderMap, heading: &str, kinds: &[ProblemType]) -> Response {
    let asks_for_html = headers
        .get_all(ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|types| types.to_ascii_lowercase().contains("text/html")));
    let mut response = if asks_for_html {
        Html(page(heading, kinds)).into_response()
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
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}

fn page(heading: &str, kinds: &[ProblemType]) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{0} – Ormantrace</title>\n<h1>{0}</h1>\n",
        escape(heading)
    );
    for kind in kinds {
        let _ = writeln!(
            html,
            "<h2 id=\"{slug}\">{}</h2>\n<p><code>{slug}</code>, {}</p>\n<p>{}</p>",
            escape(kind.title()),
            kind.status(),
            escape(kind.meaning()),
            slug = kind.slug(),
        );
    }
    html
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
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
        let response = routes::<()>().oneshot(request).await.unwrap();
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
            assert!(body.contains(&escape(kind.title())));
            let (status, media_type, body) = get(&path, "*/*").await;
            assert_eq!((status, media_type.as_str()), (200, "application/json"));
            assert!(body.contains(kind.slug()));
        }
        assert_eq!(get("/problems/no-such-thing", "text/html").await.0, 404);
        assert_eq!(get("/problems", "text/html").await.0, 200);
    }
}
