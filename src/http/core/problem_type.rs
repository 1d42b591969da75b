//! The table of all problem types. `docs/PROBLEMS.md` and the pages under `/problems` are
//! generated from it.

use axum::http::StatusCode;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident, $slug:literal, $status:ident, $title:literal, $meaning:literal;)+) => {
        /// Every problem type: its stable slug, status, title and what to do about it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProblemType { $(#[doc = $title] $name,)+ }

        impl ProblemType {
            /// All types, by status.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The stable last part of `type`; kebab-case, never changed, never reused.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug,)+ }
            }

            /// The HTTP status of the response.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// A few words that are the same for each occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }

            /// What it means and what the client does about it, for the documentation.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)+ }
            }
        }
    };
}

kinds! {
    Malformed, "malformed-request", BAD_REQUEST, "The request cannot be read",
        "The body is not valid JSON or CSV, or the URL is not valid text. The same bytes will be refused again.";
    Unauthorized, "unauthorized", UNAUTHORIZED, "A valid token is needed",
        "The call needs `Authorization: Bearer TOKEN`, or the token sent is unknown, expired or revoked. An invalid token is refused on public routes too.";
    Forbidden, "forbidden", FORBIDDEN, "Your role may never call this",
        "The token is valid, but no organisation with your roles may make this call, on any resource.";
    OrganizationSuspended, "organization-suspended", FORBIDDEN, "Your organisation is suspended",
        "The operator has suspended your organisation. It may read, explain findings, revoke its keys, and record `arrived`, `received`, `lost`, `destroyed`, `rejected` and `withdrawn`. Ask the operator for the reason.";
    OwnCase, "own-case", FORBIDDEN, "Not in your own case",
        "Your organisation takes part in this case, so another inspectorate must decide: it holds, owns or carries the timber, issued or holds its felling ticket, or recorded what is to be corrected.";
    NotFound, "not-found", NOT_FOUND, "Not found, or not visible to you",
        "What the URL names does not exist, or you may not see it. The response is the same for both.";
    NotPublishedYet, "not-published-yet", NOT_FOUND, "Not in the public register yet",
        "The record exists, but the published register does not cover it yet. Try again after `Retry-After` seconds; where no register is published, there are no proofs.";
    MethodNotAllowed, "method-not-allowed", METHOD_NOT_ALLOWED, "The URL does not support this method",
        "The URL exists; the `Allow` header lists the methods it supports.";
    RequestTimeout, "request-timeout", REQUEST_TIMEOUT, "The body came too slowly",
        "The body stopped arriving, or was not complete in time. Nothing was stored. Send it again, smaller or over a better connection.";
    Conflict, "conflict", CONFLICT, "In conflict with the present state",
        "The request is well-formed, but what it names is not in a state that allows it. `errors` lists the conflicts and, for custody events, the event types that would be allowed.";
    InProgress, "in-progress", CONFLICT, "The same request is still running",
        "A request with this idempotency key is still running. Send it again after `Retry-After` seconds with the same key and body.";
    AlreadyDone, "already-done", CONFLICT, "Already done",
        "This was done before, but its response is not stored. `detail` names the resource that was made; read that.";
    AlreadyCreated, "already-created", CONFLICT, "Already created; its token is shown only once",
        "An API key was created by an earlier request with this idempotency key. Its token is never stored and cannot be shown again: revoke that API key and create another.";
    TooLarge, "too-large", PAYLOAD_TOO_LARGE, "The body is too large",
        "A body may have 256 kB, that of a batch 5 MB, counted after decompression. Split it.";
    UnsupportedMediaType, "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "The media type is not supported",
        "Send `Content-Type: application/json` (or, where the call accepts tables, `text/csv`, `text/tab-separated-values` or `application/vnd.ms-excel`), without `Content-Encoding`; only batches may have `Content-Encoding: gzip`.";
    Wrong, "unprocessable", UNPROCESSABLE_ENTITY, "Invalid values",
        "The request can be read, but values in it are wrong. `errors` lists every one of them with its location. Correct them and send again.";
    KeyReused, "idempotency-key-reused", UNPROCESSABLE_ENTITY, "The idempotency key belongs to another request",
        "This key was sent before with another method, URL or body. Use a new key for a new request.";
    TooManyRequests, "too-many-requests", TOO_MANY_REQUESTS, "Too many requests",
        "Public checks and proofs are limited per address; with a token, per key and day. Unknown BINs that requests name are also limited per key and day. Wait `Retry-After` seconds.";
    Internal, "internal", INTERNAL_SERVER_ERROR, "Error in the server",
        "An error in the server. Give `request_id` when you report it. A write may be repeated safely with the same idempotency key.";
    Unavailable, "unavailable", SERVICE_UNAVAILABLE, "Not available just now",
        "A dependency of the server is unavailable. Nothing was stored. Send again after `Retry-After` seconds.";
    Overloaded, "overloaded", SERVICE_UNAVAILABLE, "Too busy just now",
        "More requests wait than can be served within a second. Nothing was done. Send again after `Retry-After` seconds.";
    OutcomeUnknown, "outcome-unknown", SERVICE_UNAVAILABLE, "Whether it was stored is not known",
        "The connection to the database broke while the result was being confirmed. Send the same request with the same idempotency key: it is done exactly once, whether or not the first attempt was stored.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_kebab_case_and_each_once() {
        for (index, kind) in ProblemType::ALL.iter().enumerate() {
            assert!(kind.slug().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{kind:?}");
            assert!(kind.status().is_client_error() || kind.status().is_server_error());
            assert!(!ProblemType::ALL[..index].iter().any(|other| other.slug() == kind.slug()), "{kind:?}");
        }
        assert!(ProblemType::ALL.is_sorted_by_key(|kind| kind.status()), "docs list them by status");
    }
}
