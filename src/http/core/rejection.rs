//! Rejections by the framework and by the limits on a body, converted to a [`Problem`].

use crate::http::core::body::BodyError;
use crate::http::core::problem::{Problem, ProblemType, chain};
use axum::extract::rejection::{
    BytesRejection, ExtensionRejection, FailedToBufferBody, JsonRejection, PathRejection, QueryRejection,
    StringRejection,
};
use std::error::Error as StdError;

impl Problem {
    /// The problem for a body that could not be read: too large, too slow, an unsupported
    /// encoding, or incomplete. Handlers that read the body themselves use this.
    #[must_use]
    pub fn from_body_error(error: &(dyn StdError + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(inner) = next {
            if let Some(error) = inner.downcast_ref::<BodyError>() {
                return Self::from(*error);
            }
            if inner.is::<http_body_util::LengthLimitError>() {
                return Self::new(ProblemType::TooLarge, "The body has more bytes than this call accepts.");
            }
            next = inner.source();
        }
        Self::malformed("The body is incomplete.").caused_by(chain(error))
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => Self::too_large(limit),
            BodyError::TooSlow => {
                Self::new(ProblemType::RequestTimeout, "The body did not arrive in time. Nothing was stored.")
            }
            BodyError::Encoding { gzip: true } => {
                Self::unsupported_media_type("The Content-Encoding is not supported; use gzip or none.")
            }
            BodyError::Encoding { gzip: false } => {
                Self::unsupported_media_type("This call accepts no Content-Encoding; gzip is for batches.")
            }
            BodyError::BadGzip => Self::malformed("The body is declared as gzip but is invalid or cut off."),
        }
    }
}

impl From<FailedToBufferBody> for Problem {
    fn from(rejection: FailedToBufferBody) -> Self {
        Self::from_body_error(&rejection)
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        Self::from_body_error(&rejection)
    }
}

impl From<StringRejection> for Problem {
    fn from(rejection: StringRejection) -> Self {
        match rejection {
            StringRejection::InvalidUtf8(_) => Self::malformed("The body is not UTF-8."),
            other => Self::from_body_error(&other),
        }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        match rejection {
            JsonRejection::MissingJsonContentType(_) => {
                Self::unsupported_media_type("Send Content-Type: application/json.")
            }
            // serde's messages quote the input, which may contain a person's name, so they are not used, not
            // even for the trace.
            JsonRejection::JsonSyntaxError(_) => Self::malformed("The body is not JSON."),
            JsonRejection::JsonDataError(_) => {
                Self::new(ProblemType::Wrong, "The JSON does not have the structure that this call expects.")
            }
            other => Self::from_body_error(&other),
        }
    }
}

impl From<QueryRejection> for Problem {
    fn from(_: QueryRejection) -> Self {
        Self::new(ProblemType::Wrong, "A query parameter is unknown, repeated or not of its type.")
    }
}

impl From<PathRejection> for Problem {
    /// An invalid id names nothing (404); a path that is not UTF-8 is malformed (400).
    fn from(rejection: PathRejection) -> Self {
        use axum::extract::path::ErrorKind;
        match rejection {
            PathRejection::FailedToDeserializePathParams(failure) => match failure.kind() {
                ErrorKind::InvalidUtf8InPathParam { .. } => {
                    Self::malformed("The path is not UTF-8 after percent-decoding.")
                }
                ErrorKind::WrongNumberOfParameters { .. } | ErrorKind::UnsupportedType { .. } => {
                    Self::internal(failure.body_text())
                }
                _ => Self::not_found(),
            },
            other => Self::internal(chain(&other)),
        }
    }
}

impl From<ExtensionRejection> for Problem {
    fn from(rejection: ExtensionRejection) -> Self {
        Self::internal(chain(&rejection))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, Bytes};
    use axum::extract::{FromRequest, FromRequestParts, Json, Path, Query, Request};
    use axum::http::header::CONTENT_TYPE;
    use std::collections::HashMap;

    async fn json(content_type: Option<&str>, body: &'static str) -> Problem {
        let mut request = Request::builder();
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.body(Body::from(body)).unwrap();
        Json::<HashMap<String, u32>>::from_request(request, &()).await.unwrap_err().into()
    }

    #[tokio::test]
    async fn json_that_is_none_that_is_wrong_and_that_does_not_say_so() {
        assert_eq!(json(None, "{}").await.kind(), ProblemType::UnsupportedMediaType);
        assert_eq!(json(Some("text/csv"), "{}").await.kind(), ProblemType::UnsupportedMediaType);
        assert_eq!(json(Some("application/json"), "{").await.kind(), ProblemType::Malformed);
        assert_eq!(json(Some("application/json"), r#"{"pieces": "ten"}"#).await.kind(), ProblemType::Wrong);
    }

    #[tokio::test]
    async fn a_fault_is_found_under_the_frameworks_wrapping() {
        let broken = |error: BodyError| {
            let pieces = futures_util::stream::iter([Err::<Bytes, _>(error)]);
            Bytes::from_request(Request::new(Body::from_stream(pieces)), &())
        };
        let kind = |rejection: BytesRejection| Problem::from(rejection).kind();
        assert_eq!(kind(broken(BodyError::TooLarge { limit: 9 }).await.unwrap_err()), ProblemType::TooLarge);
        assert_eq!(kind(broken(BodyError::TooSlow).await.unwrap_err()), ProblemType::RequestTimeout);
        assert_eq!(kind(broken(BodyError::BadGzip).await.unwrap_err()), ProblemType::Malformed);
        let encoding = BodyError::Encoding { gzip: false };
        assert_eq!(kind(broken(encoding).await.unwrap_err()), ProblemType::UnsupportedMediaType);
    }

    #[tokio::test]
    async fn a_query_of_the_wrong_type_is_422() {
        let (mut parts, ()) = Request::builder().uri("/v1/logs?limit=many").body(()).unwrap().into_parts();
        let refused = Query::<HashMap<String, u32>>::from_request_parts(&mut parts, &()).await.unwrap_err();
        assert_eq!(Problem::from(refused).kind(), ProblemType::Wrong);
    }

    #[tokio::test]
    async fn a_path_without_its_route_is_our_own_fault() {
        let (mut parts, ()) = Request::builder().uri("/v1/logs").body(()).unwrap().into_parts();
        let refused = Path::<String>::from_request_parts(&mut parts, &()).await.unwrap_err();
        assert_eq!(Problem::from(refused).kind(), ProblemType::Internal);
    }
}
