//! JSON responses of roughly known length: a growing buffer would be copied again and again.

use crate::base::shares::MemoryPermit;
use crate::http::core::problem::Problem;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use serde::Serialize;
use std::pin::Pin;
use std::task::{Context, Poll};

/// `value` as JSON, in a buffer allocated for `length` bytes. A longer text is not an error.
pub(in crate::http) fn json_with_capacity(
    value: &impl Serialize,
    length: usize,
) -> Result<Response, Problem> {
    let mut text = Vec::with_capacity(length);
    serde_json::to_writer(&mut text, value).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}

/// Holds the memory permit of a long response until its body is sent or dropped: as long as the client does
/// not read it, it is in memory.
pub(in crate::http) fn with_permit(response: Response, permit: Option<MemoryPermit>) -> Response {
    match permit {
        None => response,
        Some(permit) => response.map(|body| Body::new(PermittedBody { body, _permit: permit })),
    }
}

struct PermittedBody {
    body: Body,
    _permit: MemoryPermit,
}

impl HttpBody for PermittedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
