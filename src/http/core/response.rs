//! JSON responses of roughly known length: a growing buffer would be copied again and again.

use crate::http::core::problem::Problem;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// `value` as JSON, in a buffer allocated for `length` bytes. A longer text is not an error.
pub(in crate::http) fn json_with_capacity(
    value: &impl Serialize,
    length: usize,
) -> Result<Response, Problem> {
    let mut text = Vec::with_capacity(length);
    serde_json::to_writer(&mut text, value).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}
