//! The files of the published register: `/checkpoint` and `/tile/…` (C2SP tlog-tiles), and
//! `/keys.json`, which lists the keys of the publisher and the witnesses. This server adds the keys
//! of its receipts, which the publisher need not know.
//!
//! Any web server can serve the folder's files instead. A path is parsed as the name of a tile or
//! rejected, so no other file can be reached. Only tiles that the published checkpoint covers are
//! served, because caches store a tile permanently.

use crate::evidence::tlog::{Checkpoint, Folder, Note, Tile, VerifierKey};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::io;
use std::sync::Arc;

/// A checkpoint is cached for only 2 s, because several are published per second.
const SHORT_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=2");
/// A tile never changes.
const IMMUTABLE_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The published files. Each response is 404 while nothing is published.
#[derive(Clone, Debug)]
pub struct RegisterFiles {
    folder: Folder,
    receipts: Arc<[String]>,
}

impl RegisterFiles {
    /// The files of `folder`. `receipts` are the keys of this server's receipts; they are added to
    /// `keys.json`, because the publisher does not know them.
    #[must_use]
    pub fn of(folder: &Folder, receipts: &[VerifierKey]) -> Self {
        Self { folder: folder.clone(), receipts: receipts.iter().map(ToString::to_string).collect() }
    }

    /// `GET /checkpoint`.
    pub(in crate::http) async fn checkpoint(self) -> Response {
        respond(TEXT, SHORT_CACHE, read(move || self.folder.published()).await)
    }

    /// `GET /tile/…`.
    pub(in crate::http) async fn tile(self, path: String) -> Response {
        respond(BYTES, IMMUTABLE_CACHE, read(move || tile(&self.folder, &path)).await)
    }

    /// `GET /keys.json`.
    pub(in crate::http) async fn keys(self) -> Response {
        let keys = move || Ok(self.folder.keys()?.map(|json| with_receipts(json, &self.receipts)));
        respond(JSON, SHORT_CACHE, read(keys).await)
    }
}

/// The publisher's `keys.json` with the keys of receipts added. Text that is not a JSON object is unchanged.
fn with_receipts(json: Vec<u8>, receipts: &[String]) -> Vec<u8> {
    match serde_json::from_slice::<serde_json::Map<String, Value>>(&json) {
        Ok(mut statement) if !receipts.is_empty() => {
            statement.insert("receipts".to_owned(), receipts.into());
            let mut text = serde_json::to_vec_pretty(&statement).unwrap_or(json);
            text.push(b'\n');
            text
        }
        _ => json,
    }
}

/// A tile's bytes, if the path names one that the published checkpoint covers.
fn tile(folder: &Folder, path: &str) -> io::Result<Option<Vec<u8>>> {
    let Some(tile) = Tile::parse(&format!("tile/{path}")) else { return Ok(None) };
    let Some(published) = folder.published()? else { return Ok(None) };
    let note = Note::parse(&published).map_err(damaged)?;
    let size = Checkpoint::parse(note.text()).map_err(damaged)?.size;
    if !tile.is_within(size) {
        return Ok(None);
    }
    match folder.tile(&tile) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn damaged(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("checkpoint: {error}"))
}

async fn read(
    task: impl FnOnce() -> io::Result<Option<Vec<u8>>> + Send + 'static,
) -> io::Result<Option<Vec<u8>>> {
    tokio::task::spawn_blocking(task).await.map_err(io::Error::other)?
}

fn respond(kind: HeaderValue, cache: HeaderValue, read: io::Result<Option<Vec<u8>>>) -> Response {
    match read {
        Ok(Some(bytes)) => {
            // These files are public, so a program that runs in a web page of another origin may read them,
            // too.
            let open = (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            ([(CONTENT_TYPE, kind), (CACHE_CONTROL, cache), open], bytes).into_response()
        }
        // This 404 has no body; the layers add a problem document as its body.
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            tracing::error!(%error, "the register's folder cannot be read");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
#[path = "register_tests.rs"]
mod tests;
