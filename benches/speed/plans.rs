//! The requests of each measurement.

use super::timber::{FIRST_SEAL, Parties};
use super::traffic::{Dice, Plan};
use chrono::{DateTime, TimeDelta, Utc};
use std::fmt::Write as _;
use std::io::Write as _;
use std::ops::Range;

/// The public check of a random log by its seal's number.
pub struct Checks<'t> {
    /// The range of logs.
    pub logs: Range<u64>,
    /// Each request has one of these tokens, if there are any. Requests with a token are not limited by
    /// address.
    pub tokens: &'t [String],
}

/// The history of a random log by its seal's number.
pub struct Histories<'t> {
    /// The range of logs.
    pub logs: Range<u64>,
    /// Each request has one of these tokens.
    pub tokens: &'t [String],
    /// The query of the request: empty, or `?evidence=none`.
    pub query: &'static str,
}

/// A custody event of a random log, recorded by its holder.
pub struct Appends<'p> {
    /// The range of logs.
    pub logs: Range<u64>,
    /// The organisations, among them the holders.
    pub parties: &'p Parties,
    /// When it happened.
    pub occurred_at: String,
    body: String,
}

/// Searches for events by region, type and time. It requests a page from a random time on, and then the
/// following pages up to the last.
pub struct Searches<'t> {
    /// An inspector's token.
    pub token: &'t str,
    /// Time of the first event.
    pub from: DateTime<Utc>,
    /// Time of the last event.
    pub until: DateTime<Utc>,
    /// Cursors of next pages, each with the second after `from` at which its list begins.
    next: Vec<(u64, String)>,
}

/// A holder's logs, page after page.
pub struct Holdings<'t> {
    /// The holder's token.
    pub token: &'t str,
    next: Vec<String>,
}

fn get(out: &mut Vec<u8>, path: std::fmt::Arguments<'_>, token: Option<&str>) {
    // Writing to memory does not fail.
    let _ = write!(out, "GET {path} HTTP/1.1\r\nHost: measured.example\r\n");
    if let Some(token) = token {
        let _ = write!(out, "Authorization: Bearer {token}\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn token_of<'t>(tokens: &'t [String], dice: &mut Dice) -> Option<&'t str> {
    let place = usize::try_from(dice.roll(tokens.len() as u64)).unwrap_or_default();
    tokens.get(place).map(String::as_str)
}

fn one_of(logs: &Range<u64>, dice: &mut Dice) -> u64 {
    logs.start + dice.roll(logs.end - logs.start)
}

impl Plan for Checks<'_> {
    fn request(&mut self, dice: &mut Dice, out: &mut Vec<u8>) -> u64 {
        let log = one_of(&self.logs, dice);
        get(out, format_args!("/v1/verify/KZ{}", FIRST_SEAL + log), token_of(self.tokens, dice));
        log
    }
}

impl Plan for Histories<'_> {
    fn request(&mut self, dice: &mut Dice, out: &mut Vec<u8>) -> u64 {
        let log = one_of(&self.logs, dice);
        let token = token_of(self.tokens, dice);
        get(out, format_args!("/v1/logs/KZ{}/history{}", FIRST_SEAL + log, self.query), token);
        log
    }
}

impl<'p> Appends<'p> {
    /// Events of `logs` that happened at `now`.
    #[must_use]
    pub fn new(logs: Range<u64>, parties: &'p Parties, now: DateTime<Utc>) -> Self {
        let occurred_at = now.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        Self { logs, parties, occurred_at, body: String::new() }
    }
}

impl Plan for Appends<'_> {
    fn request(&mut self, dice: &mut Dice, out: &mut Vec<u8>) -> u64 {
        let log = one_of(&self.logs, dice);
        self.body.clear();
        let _ = write!(
            self.body,
            r#"{{"type":"stored","logs":["KZ{}"],"occurred_at":"{}","place":{{"name":"Семей, дайын өнім алаңы","region":"KZ-10","kind":"storage"}}}}"#,
            FIRST_SEAL + log,
            self.occurred_at
        );
        let _ = write!(
            out,
            "POST /v1/custody-events HTTP/1.1\r\nHost: measured.example\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
            self.parties.sawmill(log).token,
            self.body.len(),
            self.body
        );
        log
    }
}

impl<'t> Searches<'t> {
    /// Searches for events received in a time span.
    #[must_use]
    pub fn new(token: &'t str, from: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        Self { token, from, until, next: Vec::new() }
    }
}

impl Plan for Searches<'_> {
    fn request(&mut self, dice: &mut Dice, out: &mut Vec<u8>) -> u64 {
        let (second, next) = match self.next.pop() {
            Some((second, next)) => (second, Some(next)),
            None => {
                let span = (self.until - self.from).num_seconds();
                (dice.roll(u64::try_from(span).unwrap_or(1)), None)
            }
        };
        let at = self.from + TimeDelta::seconds(i64::try_from(second).unwrap_or_default());
        let at = at.format("%Y-%m-%dT%H:%M:%SZ");
        let list = format_args!("/v1/events?region=KZ-10&type=stored&limit=50&from={at}");
        match next {
            // A cursor holds for the filters of its list.
            Some(next) => get(out, format_args!("{list}&cursor={next}"), Some(self.token)),
            None => get(out, list, Some(self.token)),
        }
        second
    }

    fn answered(&mut self, second: u64, body: &[u8]) {
        if self.next.is_empty()
            && let Some(next) = next(body)
        {
            self.next.push((second, next));
        }
    }
}

impl<'t> Holdings<'t> {
    /// The logs of the token's owner.
    #[must_use]
    pub fn new(token: &'t str) -> Self {
        Self { token, next: Vec::new() }
    }
}

impl Plan for Holdings<'_> {
    fn request(&mut self, _dice: &mut Dice, out: &mut Vec<u8>) -> u64 {
        match self.next.pop() {
            Some(next) => {
                get(out, format_args!("/v1/logs?holder=me&limit=50&cursor={next}"), Some(self.token));
            }
            None => get(out, format_args!("/v1/logs?holder=me&limit=50"), Some(self.token)),
        }
        0
    }

    fn answered(&mut self, _item: u64, body: &[u8]) {
        self.next.extend(next(body));
    }
}

/// The cursor at the end of a page.
fn next(body: &[u8]) -> Option<String> {
    let tail = &body[body.len().saturating_sub(600)..];
    let tail = String::from_utf8_lossy(tail);
    let (_, cursor) = tail.rsplit_once(r#""next":""#)?;
    cursor.strip_suffix("\"}").map(str::to_owned)
}
