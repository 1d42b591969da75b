//! Separators (GS, ASCII 29) that are written out as text: a reader or a program has put characters such as
//! `<GS>` or `x1D` in place of the control character. Below, such a text is a *written separator*.

use super::gs1::{self, GS};

/// Written separators that are always read as separators, in lower case. A value that contains one (after
/// percent-decoding) is rejected; all but the first two contain characters that no value may contain.
pub(super) const WRITTEN: [&str; 17] = [
    "<gs>", "<fnc1>", "{gs}", "{fnc1}", "[gs]", "[fnc1]", "\\u001d", "\\u{1d}", "\\x1d", "\\x{1d}", "&#29;",
    "&#x1d;", "␝", "↔", "{1d}", "[1d]", "^]",
];

/// Written separators that consist of characters that a serial may contain, in lower case, longer ones first.
/// They are read as separators only if the unchanged text is no code, or is not the code of a registered
/// seal.
pub(super) const WORDS: [&str; 22] = [
    "<u+001d>", "_x001d_", "ascii29", "(fnc1)", "(0x1d)", "<0x1d>", "u+001d", "u001d", "<029>", "<x1d>",
    "_gs_", "x1d;", "&gs;", "<1d>", "<29>", "(gs)", "(1d)", "(29)", "fnc1", "0x1d", "%1d", "=1d",
];

/// Names of the separator, in lower case. They are read as separators only between punctuation characters
/// (`-GS-`, `_x1D_`, `'FNC1'`).
const NAMES: [&str; 8] = ["gs", "fnc1", "0x1d", "x1d", "u001d", "x001d", "u+001d", "ascii29"];

/// Whether a value contains one of [`WRITTEN`]. Of these, a value can contain only `<GS>` and `<FNC1>`.
pub(super) fn holds_written_separator(value: &str) -> bool {
    value.contains('<') && {
        let lower = value.to_ascii_lowercase();
        WRITTEN.iter().any(|written| lower.contains(written))
    }
}

/// The text with a GS in place of each written separator that [`word_at`] recognises; `None` if there is
/// none. Such a word is replaced only where a separator can be: at the end of the text, or where an element
/// or another separator follows.
pub(super) fn with_words_replaced(text: &str) -> Option<String> {
    replaced(text, |rest, _| {
        word_at(rest).filter(|after| may_follow(after)).map(|after| (String::new(), after))
    })
}

/// As [`with_words_replaced`], but replaces more. These become a GS: one of [`NAMES`] between any punctuation
/// characters, `1D` between two equal ones, the separator's number in brackets, and a bare `GS`. An identifier in
/// brackets, such as `(93)`, becomes a GS and the identifier. `text` is a value, or a code without
/// brackets around its own identifiers.
pub(super) fn with_separators(text: &str) -> Option<String> {
    replaced(text, |rest, begun| {
        let word = word_at(rest).or_else(|| set_off(rest)).or_else(|| numbered(rest));
        let word = word.filter(|after| may_follow(after));
        let word = word.or_else(|| framed(rest).or_else(|| bare(rest)).filter(|_| begun));
        let identifier = || bracketed_identifier(rest).filter(|_| begun);
        word.map(|after| (String::new(), after))
            .or_else(|| identifier().map(|(ai, after)| (ai.to_owned(), after)))
    })
}

/// Calls `find` at each position of `text`. It gets the rest of the text, and whether anything comes before
/// it. At a match, `find` returns a replacement and the text after the match; a GS and the replacement then
/// take the place of the match. The result is `None` if there is no match in `text`.
fn replaced<'t>(text: &'t str, find: impl Fn(&'t str, bool) -> Option<(String, &'t str)>) -> Option<String> {
    let mut done = String::with_capacity(text.len());
    let mut found = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some((instead, after)) = find(rest, !done.is_empty()) {
            done.push(GS);
            done.push_str(&instead);
            found = true;
            rest = after;
        } else {
            done.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    found.then_some(done)
}

fn may_follow(after: &str) -> bool {
    let element = after.trim_start_matches(GS);
    let separated = element.len() < after.len();
    element.is_empty() || separated || gs1::begins_element(element) || word_at(element).is_some()
}

/// If `text` begins with a written separator (one of [`WORDS`], `x1D`, or a name in quotes), the text after
/// it.
fn word_at(text: &str) -> Option<&str> {
    let begins = |word: &&&str| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    let word = WORDS.iter().find(begins).map(|word| &text[word.len()..]);
    // `X1D` without quotes is not read as a separator: serials in capital letters may contain it by chance.
    let bare = || text.strip_prefix("x1D").or_else(|| text.strip_prefix("x1d"));
    word.or_else(bare).or_else(|| quoted(text))
}

/// If `text` begins with one of [`NAMES`] in quotes, the text after it. Quotes are two equal punctuation
/// characters, or a pair such as `(` and `)`.
fn quoted(text: &str) -> Option<&str> {
    let open = text.chars().next().filter(char::is_ascii_punctuation)?;
    let close = match open {
        '(' => ')',
        '<' => '>',
        '&' => ';',
        same => same,
    };
    let after = name_at(&text[1..], open)?;
    after.strip_prefix(close)
}

/// If `text` begins with one of [`NAMES`] between any punctuation characters, the text after them.
fn set_off(text: &str) -> Option<&str> {
    let sign = |c: char| c.is_ascii_punctuation();
    let inner = text.trim_start_matches(sign);
    let last = text[..text.len() - inner.len()].chars().next_back()?;
    let rest = name_at(inner, last)?;
    let after = rest.trim_start_matches(sign);
    (after.len() < rest.len()).then_some(after)
}

/// If `text` begins with the separator's number in brackets (`<0029>`, `(0x001D)`, `<U+1D>`), the text after it.
fn numbered(text: &str) -> Option<&str> {
    let (inner, after) = match text.as_bytes().first()? {
        b'<' => text[1..].split_once('>')?,
        b'(' => text[1..].split_once(')')?,
        _ => return None,
    };
    let inner = inner.to_ascii_lowercase();
    let number = ["u+", "0x", "x", "u", ""].iter().find_map(|sign| inner.strip_prefix(sign))?;
    matches!(number.trim_start_matches('0'), "29" | "1d").then_some(after)
}

/// If `text` begins with `1D` between two equal punctuation characters and a complete element follows, the text
/// after it. Without such an element it may be part of a serial (`LOT-1D-0001`).
fn framed(text: &str) -> Option<&str> {
    let sign = text.chars().next().filter(char::is_ascii_punctuation)?;
    let after = text[1..].strip_prefix("1D").or_else(|| text[1..].strip_prefix("1d"))?.strip_prefix(sign)?;
    gs1::elements(after).is_ok_and(|elements| !elements.is_empty()).then_some(after)
}

/// If `text` begins with `GS` without any punctuation, the text after it. Serials in capital letters may contain
/// `GS` by chance, so an element must follow that ends a marking code (`91`, `92`, `93`) or has a fixed number
/// of digits, at least six.
fn bare(text: &str) -> Option<&str> {
    let after = text.strip_prefix("GS")?;
    let elements = gs1::elements(after).ok()?;
    let first = elements.first()?;
    let fixed = first.is_predefined() && first.value.len() >= 6;
    (fixed || matches!(first.ai, "91" | "92" | "93")).then_some(after)
}

/// If `text` begins with one of [`NAMES`], the text after the name. `sign` is the character before `text`:
/// after a character that people use as a quote, `1D` counts as a name too.
fn name_at(text: &str, sign: char) -> Option<&str> {
    let begins = |word: &&str| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    let quotes = matches!(sign, '_' | '\'' | '"' | '*' | '/');
    NAMES.into_iter().chain(quotes.then_some("1d")).find(begins).map(|name| &text[name.len()..])
}

/// If `text` begins with a known application identifier in brackets: the identifier, and the text after the
/// brackets.
fn bracketed_identifier(text: &str) -> Option<(&str, &str)> {
    let (inner, close) = match text.as_bytes().first()? {
        b'(' => (&text[1..], ')'),
        b'<' => (&text[1..], '>'),
        _ => return None,
    };
    let (ai, after) = inner.split_once(close)?;
    (gs1::is_identifier(ai) && !after.is_empty()).then_some((ai, after))
}

/// Replaces every written separator with a GS.
pub(super) fn separated(text: &str) -> String {
    let written = |rest: &&str| {
        WRITTEN.iter().find(|w| rest.get(..w.len()).is_some_and(|head| head.eq_ignore_ascii_case(w)))
    };
    let with_gs = replaced(text, |rest, _| Some((String::new(), &rest[written(&rest)?.len()..])));
    with_gs.unwrap_or_else(|| text.to_owned())
}
