//! The frame of every page of the desk: the bar with the search field and the account, the links to the parts of the
//! desk, and the choice of language.

use super::session::Desk;
use crate::base::i18n::Lang;
use crate::base::i18n::text::{say, say_with};
use crate::http::core::cookie::LANGUAGE;
use crate::http::core::cookie::cookie;
use crate::http::pages::{assets, routes};
use crate::timber::party::key::Caller;
use crate::timber::party::role::Role;
use askama::Template;
use axum::http::response::Parts;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

/// The frame of a page.
#[derive(Clone, Debug)]
pub struct Frame {
    pub(super) lang: Lang,
    pub(super) style: String,
    pub(super) desk_style: String,
    pub(super) icon: String,
    /// The name of the organisation; `None` on pages without a session.
    pub(super) account: Option<String>,
    pub(super) links: Vec<Link>,
    pub(super) languages: Vec<LanguageLink>,
    /// What the search field shows.
    pub(super) query: String,
    pub(super) title: String,
    pub(super) is_wrong: bool,
}

/// A link of the frame.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) path: &'static str,
    pub(super) label: String,
    pub(super) current: bool,
}

#[derive(Clone, Debug)]
pub(super) struct LanguageLink {
    pub(super) query: String,
    pub(super) code: &'static str,
    pub(super) name: &'static str,
    pub(super) current: bool,
}

/// The parts of the desk, each with the key of its name.
const PARTS: [(&str, &str); 4] = [
    ("/desk", "desk-nav-home"),
    ("/desk/logs", "desk-nav-logs"),
    ("/desk/codes", "desk-nav-codes"),
    ("/desk/sessions", "desk-nav-sessions"),
];

impl Frame {
    /// The frame of a page without a session.
    pub(super) fn outside(lang: Lang, uri: &Uri) -> Self {
        Self {
            lang,
            style: assets::style_path(),
            desk_style: assets::desk_style_path(),
            icon: assets::icon_path(),
            account: None,
            links: Vec::new(),
            languages: languages(lang, uri),
            query: String::new(),
            title: String::new(),
            is_wrong: false,
        }
    }

    /// The frame of a page of this session.
    pub(super) fn of(desk: &Desk) -> Self {
        let path = desk.uri.path();
        let link = |(of, key): (&'static str, &str)| Link {
            path: of,
            label: say(desk.lang, key),
            current: path == of || of != "/desk" && path.starts_with(&format!("{of}/")),
        };
        let parts = PARTS.into_iter().filter(|(path, _)| may_open(path, desk.caller()));
        let name = desk.session.organization_name.clone();
        Self {
            account: Some(name.unwrap_or_else(|| say(desk.lang, "desk-nameless"))),
            links: parts.map(link).collect(),
            ..Self::outside(desk.lang, &desk.uri)
        }
    }

    /// The same frame with the title of the page; the most specific word comes first.
    #[must_use]
    pub(super) fn titled(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// The title begins with "Error:" if the page shows a form again.
    #[must_use]
    pub(super) fn wrong_if(mut self, is_wrong: bool) -> Self {
        self.is_wrong = is_wrong;
        self
    }

    /// With the text in the search field.
    #[must_use]
    pub(super) fn searching(mut self, query: &str) -> Self {
        query.clone_into(&mut self.query);
        self
    }

    pub(super) fn say(&self, key: &str) -> String {
        say(self.lang, key)
    }

    pub(super) fn code(&self) -> &'static str {
        self.lang.code()
    }
}

/// Whether a part of the desk has anything for the caller. The operator reads no histories.
fn may_open(path: &str, caller: &Caller) -> bool {
    path != "/desk/logs" || caller.roles.iter().any(|role| *role != Role::Operator)
}

/// The links to the same page in each language. They keep the page's own parameters.
fn languages(lang: Lang, uri: &Uri) -> Vec<LanguageLink> {
    let others: Vec<&str> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("lang=") && *pair != "lang")
        .collect();
    let link = |of: Lang| LanguageLink {
        query: others
            .iter()
            .copied()
            .chain([format!("lang={}", of.code()).as_str()])
            .collect::<Vec<_>>()
            .join("&"),
        code: of.code(),
        name: of.own_name(),
        current: of == lang,
    };
    Lang::ALL.map(link).into()
}

/// The language of a page of the desk: by the query's `lang`, else as chosen before, else by `Accept-Language`.
pub(super) fn language(uri: &Uri, headers: &HeaderMap) -> Lang {
    let chosen = super::values::Values::of_query(uri).get("lang");
    let chosen = Lang::from_tag(&chosen).or_else(|| Lang::from_tag(cookie(headers, LANGUAGE)?));
    chosen.unwrap_or_else(|| routes::language(&Uri::from_static("/desk"), headers))
}

/// Renders a page.
pub(super) fn page(template: &impl Template) -> Response {
    routes::html(crate::http::pages::render(template))
}

#[derive(Template)]
#[template(path = "desk/error.html")]
struct ErrorPage<'a> {
    frame: Frame,
    heading: String,
    text: String,
    status: String,
    retry: Option<String>,
    request_id: &'a str,
}

/// The page for a problem on the desk ([`routes::DeskPage`]). The frame is that of the session, if the request had one.
pub fn error_page(
    parts: &mut Parts,
    (uri, headers): (&Uri, &HeaderMap),
    request_id: &str,
    retry_after: Option<u32>,
) -> String {
    let status = parts.status;
    let frame = parts.extensions.remove::<Frame>();
    let frame = frame.unwrap_or_else(|| Frame::outside(language(uri, headers), uri));
    let lang = frame.lang;
    let family = match status.as_u16() {
        403 => "403",
        404 => "404",
        429 => "429",
        503 => "503",
        _ => "other",
    };
    let heading = say(lang, &format!("desk-problem-{family}-title"));
    crate::http::pages::render(&ErrorPage {
        frame: frame.titled(heading.clone()),
        heading,
        text: say(lang, &format!("desk-problem-{family}-text")),
        status: say_with(lang, "error-status", &[("status", status.as_str().into())]),
        retry: retry_after.map(|seconds| say_with(lang, "error-retry", &[("seconds", seconds.into())])),
        request_id,
    })
}
