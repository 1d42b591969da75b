//! The demonstration: a small believable world, made once through the public API, with keys that
//! everybody knows.

use crate::config::Settings;
use crate::error::Result;
use crate::http::app::App;
use crate::serve::{self, Operation};

mod keys;

/// Why the demonstration cannot be shown. `Display` is the whole message.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database holds something else.
    #[error(
        "This database holds data of its own, and the demonstration fills only an empty one: choose another \
         --data-dir (or database)."
    )]
    NotEmpty,
    /// A step of the world was refused.
    #[error("The demonstration's step \"{step}\" was answered {status}: {problem}")]
    Step {
        /// Which.
        step: String,
        /// Status of the answer.
        status: u16,
        /// The answer.
        problem: String,
    },
}

/// Whether anybody can call with a key of the demonstration.
pub async fn has_demo_keys(app: &App) -> Result<bool> {
    let hashes: Vec<Vec<u8>> = keys::all().map(|token| token.hash().to_vec()).collect();
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM api_key WHERE token_hash = ANY ($1) AND revoked_at IS NULL) AS "found!""#,
        &hashes
    );
    Ok(found.fetch_one(&app.pool).await?)
}

/// `ormantrace demo`.
///
/// # Errors
/// A sentence for the administrator.
pub async fn serve(settings: &Settings, operation: Operation) -> Result<(), serve::Failure> {
    let stop = serve::told_to_stop()?;
    let ready = serve::prepare(settings, operation).await?;
    ready.run(stop).await;
    Ok(())
}
