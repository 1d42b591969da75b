//! Keyset pagination: a page starts after the last item of the previous page, so that
//! rows added in between shift nothing.

use crate::base::error::{Invalid, Location};
use crate::base::ids::OrganizationId;
use crate::base::input::lower_uuids;
use crate::base::percent;
use crate::base::units::whole;
use crate::http::core::app::App;
use crate::http::core::problem::Problem;
use axum::http::Uri;
use axum::http::{HeaderValue, header::LINK};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;
use utoipa::ToSchema;

/// Default number of items per page.
pub const DEFAULT_LIMIT: i64 = 100;
/// Maximum number of items per page.
pub const MAX_LIMIT: i64 = 1_000;

/// Items per page, 1 to 1,000.
#[derive(Clone, Copy, Debug)]
pub struct Limit(i64);

impl Limit {
    /// Parses a number from 1 to 1,000.
    pub fn parse(digits: &str) -> Result<Self, Invalid> {
        match whole(digits) {
            Some(limit @ 1..=MAX_LIMIT) => Ok(Self(limit)),
            _ => Err(Invalid::new("bad-limit", "The limit is a whole number from 1 to 1,000.")),
        }
    }

    /// The number of rows to read: one more than the page has, because the extra row shows whether another
    /// page follows.
    #[must_use]
    pub fn probe(limit: Option<Self>) -> i64 {
        Self::of(limit) + 1
    }

    /// The number, or the default.
    #[must_use]
    pub fn of(limit: Option<Self>) -> i64 {
        limit.map_or(DEFAULT_LIMIT, |limit| limit.0)
    }
}

impl utoipa::PartialSchema for Limit {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::Integer)
            .minimum(Some(1))
            .maximum(Some(1_000))
            .default(Some(100.into()))
            .description(Some("Items per page"))
            .build()
            .into()
    }
}

impl ToSchema for Limit {}

crate::base::input::parse_number!(Limit);

/// Where a page starts. For the server, a cursor contains the last key of the previous page; clients send it
/// back without interpreting it.
#[derive(Clone, Debug)]
pub struct Cursor(String);

impl Cursor {
    /// Accepts any text in the form of a cursor; [`Cursors::key`] checks whether it is valid.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let fits =
            text.len() <= 512 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if fits { Ok(Self(text.to_owned())) } else { Err(invalid_cursor()) }
    }
}

/// Makes and reads the cursors of one list for one organisation. A cursor is signed with a server secret. A
/// cursor of another list, of another organisation or of other filters is refused, and so is an invented one.
#[derive(Debug)]
pub struct Cursors<'r> {
    secret: &'r [u8; 32],
    organization: OrganizationId,
    uri: &'r Uri,
}

/// Bytes of a cursor's signature: guessing one takes more requests than anyone can send.
const SIGNATURE: usize = 16;

impl<'r> Cursors<'r> {
    /// The cursors of the list at `uri`, for `organization`.
    #[must_use]
    pub fn of(app: &'r App, organization: OrganizationId, uri: &'r Uri) -> Self {
        Self { secret: &app.fingerprint_key, organization, uri }
    }

    /// The key in the cursor.
    pub fn key<K: DeserializeOwned>(&self, cursor: Option<&Cursor>) -> Result<Option<K>, Problem> {
        let Some(cursor) = cursor else { return Ok(None) };
        let refused = || Problem::wrong_at(Location::Query("cursor".into()), invalid_cursor());
        let bytes = URL_SAFE_NO_PAD.decode(&cursor.0).map_err(|_| refused())?;
        let (signature, key) = bytes.split_at_checked(SIGNATURE).ok_or_else(refused)?;
        self.mac(key).verify_truncated_left(signature).map_err(|_| refused())?;
        serde_json::from_slice(key).map(Some).map_err(|_| refused())
    }

    fn after<K: Serialize>(&self, key: &K) -> String {
        let key = serde_json::to_vec(key).unwrap_or_default();
        let signature = self.mac(&key).finalize().into_bytes();
        URL_SAFE_NO_PAD.encode([&signature[..SIGNATURE], &key].concat())
    }

    fn mac(&self, key: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.secret).expect("HMAC takes any key");
        // The secret is also the key of the request fingerprints. The two uses cannot be confused: the
        // content of a fingerprint begins with a length, not with this text.
        mac.update(b"ormantrace/cursor\0");
        mac.update(self.organization.0.as_bytes());
        mac.update(lower_uuids(self.uri.path()).as_bytes());
        mac.update(b"\0");
        // Only the size of a page may change between pages. A query has no NUL, and a name is not empty.
        for (name, value) in filters(self.uri) {
            for part in [&name, "\0", &value, "\0"] {
                mac.update(part.as_bytes());
            }
        }
        mac.update(b"\0");
        mac.update(key);
        mac
    }
}

/// The parameters of a list that choose its items (not `lang`, the language of a page), sorted by name, as they are read: without escapes, UUIDs in
/// lower case, and with a plus for a blank, since `+` and `%2B` before the offset of a time are the same.
fn filters(uri: &Uri) -> Vec<(String, String)> {
    let read = |text: &str| percent::decode_lossy(&text.replace('+', " ")).replace(' ', "+");
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let pairs = pairs.map(|(name, value)| (read(name), lower_uuids(&read(value)).into_owned()));
    let mut filters: Vec<(String, String)> =
        pairs.filter(|(name, _)| !matches!(name.as_str(), "cursor" | "limit" | "lang")).collect();
    filters.sort_unstable();
    filters
}

fn invalid_cursor() -> Invalid {
    let detail = "This is not a cursor of this list with these filters; use `next` of the previous page, and change \
                  nothing but the limit.";
    Invalid::new("bad-cursor", detail)
}

impl utoipa::PartialSchema for Cursor {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^[A-Za-z0-9_-]{1,512}$"))
            .description(Some("`next` of the previous page"))
            .build()
            .into()
    }
}

impl ToSchema for Cursor {}

crate::base::input::parse_text!(Cursor);

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Cursor of the next page; null on the last.
    pub next: Option<String>,
}

impl<T: Serialize> Page<T> {
    /// A page of rows that were read with [`Limit::probe`]. Drops the extra row, and makes the cursor of the
    /// next page from the last key on this page.
    pub fn of<R, K: Serialize>(
        cursors: &Cursors<'_>,
        mut rows: Vec<R>,
        limit: Option<Limit>,
        key: impl Fn(&R) -> K,
        item: impl Fn(R) -> T,
    ) -> Self {
        let size = usize::try_from(Limit::of(limit)).unwrap_or(usize::MAX);
        let more = rows.len() > size;
        rows.truncate(size);
        let next = if more { rows.last().map(|row| cursors.after(&key(row))) } else { None };
        Self { items: rows.into_iter().map(item).collect(), next }
    }

    /// The response, with `Link: rel="next"`; `uri` is the request's own.
    #[must_use]
    pub fn into_response(self, uri: &Uri) -> Response {
        let link = self.next.as_ref().and_then(|next| {
            let parameters = uri.query().unwrap_or_default().split('&');
            let others: Vec<_> = parameters.filter(|p| !p.is_empty() && !p.starts_with("cursor=")).collect();
            let query =
                others.into_iter().chain([format!("cursor={next}").as_str()]).collect::<Vec<_>>().join("&");
            HeaderValue::try_from(format!("<{}?{query}>; rel=\"next\"", uri.path())).ok()
        });
        let mut response = axum::Json(self).into_response();
        if let Some(link) = link {
            response.headers_mut().insert(LINK, link);
        }
        response
    }
}
