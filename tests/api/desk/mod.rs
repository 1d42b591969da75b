//! The pages of the desk from the outside, without script: as a browser that keeps cookies and sends forms.

mod logs;
mod records;
mod rights;
mod sessions;

use crate::world::{Answer, Org, World};
use axum::body::Body;
use axum::http::Request;
use ormantrace::base::percent::encode_segment;

/// A browser that is signed in, or not yet.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    pub cookie: Option<String>,
}

impl Visitor {
    /// Signs in with the key of an organisation.
    pub async fn of(world: &World, org: &Org) -> Self {
        let answer =
            Self::default().post(world, "/desk/sign-in", &[("key", &org.token), ("next", "/desk")]).await;
        assert_eq!((answer.status.as_u16(), location(&answer)), (303, "/desk"), "{}", answer.text());
        Self { cookie: Some(session_cookie(&answer)) }
    }

    /// A request with the visitor's cookie and the language English.
    pub fn request(&self, method: &str, path: &str) -> axum::http::request::Builder {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("accept", "text/html,application/xhtml+xml")
            .header("accept-language", "en");
        match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        }
    }

    pub async fn get(&self, world: &World, path: &str) -> Answer {
        world.send(self.request("GET", path).body(Body::empty()).unwrap()).await
    }

    /// Sends a form as a browser does, from the desk's own page.
    pub async fn post(&self, world: &World, path: &str, fields: &[(&str, &str)]) -> Answer {
        let pairs = fields.iter().map(|(name, value)| format!("{name}={}", encode_segment(value)));
        let request = self
            .request("POST", path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", "http://orman.test")
            .header("sec-fetch-site", "same-origin");
        world.send(request.body(Body::from(pairs.collect::<Vec<_>>().join("&"))).unwrap()).await
    }

    /// The page, which must be there.
    #[track_caller]
    pub fn page(answer: &Answer) -> String {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.headers["cache-control"], "no-store");
        answer.text()
    }
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Where a redirect leads.
pub fn location(answer: &Answer) -> &str {
    answer.headers.get("location").and_then(|path| path.to_str().ok()).unwrap_or_default()
}

/// The session's cookie as a browser sends it back.
pub fn session_cookie(answer: &Answer) -> String {
    let set = answer.headers.get_all("set-cookie").iter().map(|set| set.to_str().unwrap());
    let set = set.into_iter().find(|set| set.starts_with("__Host-ormantrace=")).expect("a session");
    for attribute in ["; Path=/", "; HttpOnly", "; Secure", "; SameSite=Lax"] {
        assert!(set.contains(attribute), "{set}");
    }
    set.split(';').next().unwrap().to_owned()
}

/// The value of a hidden field of a page.
#[track_caller]
pub fn hidden(page: &str, name: &str) -> String {
    let at = format!("name=\"{name}\" value=\"");
    let start = page.find(&at).unwrap_or_else(|| panic!("no field {name}: {page}")) + at.len();
    page[start..].split('"').next().unwrap().to_owned()
}
