//! `Accept` and `Accept-Encoding`, with their weights (RFC 9110, section 12.5).

use crate::http::core::problem::PROBLEM_JSON;
use axum::extract::Request;
use axum::http::header::{ACCEPT, ACCEPT_ENCODING};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::cmp::{Ordering, Reverse};

/// What a client prefers if a resource exists as a page and as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preference {
    /// HTML.
    Html,
    /// JSON.
    Json,
    /// Both equally, or neither.
    None,
}

impl Preference {
    /// Reads `Accept`. Of two types with the same weight, the more precisely named one is preferred, then the
    /// first. Browsers name `text/html`; a program that accepts anything prefers neither.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let html = rank(headers, "text/html", "application/xhtml+xml");
        let json = rank(headers, "application/json", PROBLEM_JSON);
        match html.cmp(&json) {
            Ordering::Greater => Self::Html,
            Ordering::Less => Self::Json,
            Ordering::Equal => Self::None,
        }
    }
}

/// How much `Accept` prefers a media type: its weight, then how precisely it is named, then its position in
/// the header. `None`: it is not accepted.
pub type Rank = Option<(u16, u8, Reverse<usize>)>;

/// The rank of a representation for which a client may name the media type `name` or `also`. A wildcard such
/// as `text/*` is compared only with `name`.
#[must_use]
pub fn rank(headers: &HeaderMap, name: &str, also: &str) -> Rank {
    best(headers, name, also).filter(|(weight, ..)| *weight > 0)
}

/// The same rank as [`rank`], except that a type which the header refuses has a rank with weight 0. `None`
/// means that the header does not name the type.
fn best(headers: &HeaderMap, name: &str, also: &str) -> Rank {
    let group = name.split_once('/').map(|(group, _)| format!("{group}/*")).unwrap_or_default();
    let mut best: Rank = None;
    for (place, (range, weight)) in elements(headers, &ACCEPT).into_iter().enumerate() {
        let precision = match range.as_str() {
            exact if exact == name || exact == also => 2,
            wildcard if wildcard == group => 1,
            "*/*" => 0,
            _ => continue,
        };
        // The weight of the more precise name applies, even if a wildcard has a higher weight.
        if best.is_none_or(|best| (precision, weight) > (best.1, best.0)) {
            best = Some((weight, precision, Reverse(place)));
        }
    }
    best
}

/// Whether `Accept` refuses HTML by a weight of 0. HTML is not refused if `Accept` does not name it.
#[must_use]
pub fn refuses_html(headers: &HeaderMap) -> bool {
    best(headers, "text/html", "application/xhtml+xml").is_some_and(|(weight, ..)| weight == 0)
}

/// Ignores refusals of the identity encoding in `Accept-Encoding`. The request may be a write: it is stored
/// when the encoding of its response is chosen, so a 406 would report a failure that did not occur. RFC 9110
/// permits sending a response without encoding in this case.
pub fn accept_identity(mut request: Request) -> Request {
    let refuses = |(name, weight): &(String, u16)| *weight == 0 && matches!(name.as_str(), "identity" | "*");
    let accepted = elements(request.headers(), &ACCEPT_ENCODING);
    if accepted.iter().any(refuses) {
        request.headers_mut().remove(ACCEPT_ENCODING);
        for (name, weight) in accepted.iter().filter(|element| !refuses(element)) {
            let element = format!("{name};q={}.{:03}", weight / 1000, weight % 1000);
            if let Ok(value) = HeaderValue::try_from(element) {
                request.headers_mut().append(ACCEPT_ENCODING, value);
            }
        }
    }
    request
}

/// The elements of a list header in lower case, with their weights in thousandths. A weight that cannot be
/// read counts as none given, which is 1.
fn elements(headers: &HeaderMap, name: &HeaderName) -> Vec<(String, u16)> {
    let lists = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let elements = lists.flat_map(|list| list.split(',')).filter_map(|element| {
        let mut parameters = element.split(';').map(str::trim);
        let name = parameters.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
        let weight = parameters.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| thousandths(value.trim()))
        });
        Some((name, weight.flatten().unwrap_or(1000)))
    });
    elements.collect()
}

/// A weight: 0 to 1 with at most three decimals.
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = decimals.bytes().all(|byte| byte.is_ascii_digit());
    if !matches!(whole, "0" | "1") || decimals.len() > 3 || !digits {
        return None;
    }
    format!("{whole}{decimals:0<3}").parse().ok().filter(|weight| *weight <= 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn weights_and_precision_decide_between_page_and_json() {
        for (accept, preferred) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Preference::Html),
            ("application/json", Preference::Json),
            ("Application/JSON", Preference::Json),
            ("TEXT/HTML", Preference::Html),
            ("text/html;q=0.5, application/json", Preference::Json),
            ("text/html; Q=0.5 , application/json;q=0.4", Preference::Html),
            ("application/json, text/html", Preference::Json),
            ("text/html, application/json", Preference::Html),
            ("application/json, text/plain, */*", Preference::Json),
            ("*/*, text/html;q=0.1", Preference::Json),
            ("application/*", Preference::Json),
            ("text/*", Preference::Html),
            ("application/json;q=0, */*", Preference::Html),
            ("text/html;q=0", Preference::None),
            ("application/json;charset=utf-8;q=0.9, text/html;q=0.8", Preference::Json),
            ("*/*", Preference::None),
            ("image/png", Preference::None),
            ("", Preference::None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(Preference::of(&headers), preferred, "{accept}");
        }
    }

    #[test]
    fn html_is_refused_by_a_weight_of_0() {
        for (accept, refused) in [
            ("text/html;q=0", true),
            ("text/html; q=0.000, */*", true),
            ("text/*;q=0", true),
            ("*/*;q=0", true),
            ("*/*;q=0, text/html", false),
            ("text/html;q=0, application/xhtml+xml", false),
            ("image/png", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(refuses_html(&headers), refused, "{accept}");
        }
    }

    #[test]
    fn a_refusal_of_identity_is_removed_and_the_rest_stays() {
        for (sent, left) in [
            ("identity;q=0", vec![]),
            ("IDENTITY; Q=0.000", vec![]),
            ("*;q=0", vec![]),
            ("gzip;q=0.5, *;q=0", vec!["gzip;q=0.500"]),
            ("gzip, identity;q=0", vec!["gzip;q=1.000"]),
            ("gzip;q=0, identity;q=0", vec!["gzip;q=0.000"]),
            ("gzip, identity;q=0.1", vec!["gzip, identity;q=0.1"]),
        ] {
            let request = Request::builder().header(ACCEPT_ENCODING, sent).body(Body::empty()).unwrap();
            let request = accept_identity(request);
            let values: Vec<_> = request.headers().get_all(ACCEPT_ENCODING).iter().collect();
            assert_eq!(values, left, "{sent}");
        }
    }
}
