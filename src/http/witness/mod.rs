//! `ormantrace witness` over HTTP (C2SP tlog-witness): `POST /add-checkpoint` and `GET /healthz`.

use crate::evidence::register::witness::{MAX_REQUEST, Verdict, Witness};
use crate::net::server::Server;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::future::Future;
use std::sync::Arc;

/// The routes of a witness.
pub fn routes(witness: Arc<Witness>) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/healthz", get(async || "ok\n"))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(witness)
}

/// Serves a witness until `stop` resolves.
pub async fn serve(witness: Arc<Witness>, server: Server, stop: impl Future<Output = ()>) {
    tracing::info!(address = %server.local_addr(), key = %witness.key(), "witnessing");
    server.serve(routes(witness), stop).await;
    tracing::info!("witnessing has ended");
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, request: Bytes) -> Verdict {
    let verdict = tokio::task::spawn_blocking(move || witness.add_checkpoint(&request)).await;
    verdict.unwrap_or(Verdict::NotStored)
}

impl IntoResponse for Verdict {
    fn into_response(self) -> Response {
        match self {
            Self::Signed(lines) => ([(CONTENT_TYPE, "text/plain; charset=utf-8")], lines).into_response(),
            Self::Malformed(what) => (StatusCode::BAD_REQUEST, format!("{what}\n")).into_response(),
            Self::Unsigned => (StatusCode::FORBIDDEN, "not signed by a known key\n").into_response(),
            Self::Unknown => (StatusCode::NOT_FOUND, "this witness does not watch it\n").into_response(),
            Self::Conflict(size) => {
                (StatusCode::CONFLICT, [(CONTENT_TYPE, "text/x.tlog.size")], format!("{size}\n"))
                    .into_response()
            }
            Self::Inconsistent => (StatusCode::UNPROCESSABLE_ENTITY, "not consistent\n").into_response(),
            Self::NotStored => (StatusCode::INTERNAL_SERVER_ERROR, "not now\n").into_response(),
        }
    }
}
