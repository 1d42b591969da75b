//! Photos for observations.

use crate::base::ids::OperationId;
use crate::evidence::idempotency::stored::{Made, MadeKind};
use crate::http::core::app::App;
use crate::http::core::problem::Problem;
use crate::http::core::query::{NoQuery, id_in_path};
use crate::http::core::write::{Envelope, WriteResponse};
use crate::timber::finding::photo::{self, PhotoHash, PhotoKind};
use crate::timber::party::key::Caller;
use crate::timber::party::reader::Reader;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// An uploaded photo.
#[derive(Serialize, ToSchema)]
pub struct UploadedPhoto {
    /// Its SHA-256 in hexadecimal digits.
    sha256: String,
}

/// Upload a photo
///
/// JPEG or PNG, at most 5 MB, as the body of the request. An observation names it by its SHA-256; photos that none names
/// are deleted after a week.
#[utoipa::path(
    post, path = "/v1/photos", operation_id = "upload_photo", tag = "findings", security(("token" = [])),
    request_body(content((Vec<u8> = "image/jpeg"), (Vec<u8> = "image/png"))),
    responses(
        (status = 201, description = "Stored", body = UploadedPhoto),
        (status = 415, description = "Neither JPEG nor PNG, or not what `Content-Type` says", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "More photos than the key has left today", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn upload_photo(
    State(app): State<App>,
    caller: Caller,
    envelope: Envelope,
) -> Result<Response, Problem> {
    let write = envelope.file(&app)?;
    let kind = PhotoKind::of(&envelope.body);
    let kind = kind.filter(|kind| envelope.media_type.as_deref() == Some(kind.media_type()));
    let kind = kind.ok_or_else(|| {
        Problem::unsupported_media_type(
            "This call accepts image/jpeg and image/png, and the file must be one.",
        )
    })?;
    app.limiter.photos().take(caller.key, 1)?;
    let hash = PhotoHash::of(&envelope.body);
    let work = Arc::new((app.clone(), caller.clone(), envelope.body));
    write
        .run(&app, &caller, "upload_photo", move |tx| {
            let work = Arc::clone(&work);
            Box::pin(async move {
                let (app, caller, bytes) = &*work;
                photo::add(tx, caller.organization, (hash, kind, bytes), app.clock.now()).await?;
                let made = Made::new(MadeKind::Operation, OperationId::new());
                Ok(WriteResponse::created(&UploadedPhoto { sha256: hash.hash().to_string() }, made))
            })
        })
        .await
}

/// A photo
///
/// For the organisation that uploaded it, and for inspectors.
#[utoipa::path(
    get, path = "/v1/photos/{sha256}", operation_id = "get_photo", tag = "findings", security(("token" = [])),
    params(("sha256" = PhotoHash, Path, description = "Its SHA-256 in hexadecimal digits")),
    responses(
        (status = 200, description = "The file", content((Vec<u8> = "image/jpeg"), (Vec<u8> = "image/png"))),
        (status = 404, description = "Absent, erased, or you may not see it", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn get_photo(
    State(app): State<App>,
    caller: Caller,
    Path(sha256): Path<String>,
    _: NoQuery,
) -> Result<Response, Problem> {
    let hash: PhotoHash = id_in_path(&sha256)?;
    let mut db = app.connection(caller.organization).await?;
    let (media_type, bytes) = photo::get(&mut **db, Reader::from(&caller), hash).await?;
    drop(db);
    let headers =
        [(CONTENT_TYPE, media_type.as_str()), (CACHE_CONTROL, "no-store"), (CONTENT_DISPOSITION, "inline")];
    Ok((headers, bytes).into_response())
}
