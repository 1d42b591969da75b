//! Browser and system of a session in two words, from `User-Agent`: enough for a person to know a session again, and
//! no more is stored.

use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;

/// Names in `User-Agent`, with the word for each; the first that occurs counts, since browsers name others too.
const BROWSERS: [(&str, &str); 8] = [
    ("YaBrowser/", "Yandex"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
];
const SYSTEMS: [(&str, &str); 6] = [
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];

/// Such as `Firefox, Android`; a dash if nothing is known.
pub(super) fn browser_of(headers: &HeaderMap) -> String {
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let word = |names: &[(&str, &'static str)]| {
        names.iter().find(|(name, _)| agent.contains(name)).map(|(_, word)| *word)
    };
    match (word(&BROWSERS), word(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser}, {system}"),
        (Some(word), None) | (None, Some(word)) => word.to_owned(),
        (None, None) => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn two_words_and_nothing_of_the_rest() {
        let of = |agent: &'static str| {
            browser_of(&[(USER_AGENT, HeaderValue::from_static(agent))].into_iter().collect())
        };
        let phone = "Mozilla/5.0 (Linux; Android 14; SM-A155F) AppleWebKit/537.36 (KHTML, like Gecko) \
                     Chrome/126.0.0.0 Mobile Safari/537.36";
        assert_eq!(of(phone), "Chrome, Android");
        assert_eq!(
            of("Mozilla/5.0 (Windows NT 10.0; Win64; x64) YaBrowser/24.7 Safari/537.36"),
            "Yandex, Windows"
        );
        assert_eq!(of("<script>alert()</script>"), "–");
        assert_eq!(browser_of(&HeaderMap::new()), "–");
    }
}
