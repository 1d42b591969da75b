//! Keeps the parameters of a server up to date, also those that another instance set.

use crate::base::error::Result;
use crate::evidence::chain::Tx;
use crate::http::core::app::App;
use crate::timber::event::actor::Actor;
use crate::timber::parameter::record::{self, READ_AGAIN_WITHIN};
use crate::timber::party::bootstrap::Bootstrap;
use std::time::Duration;

/// How often the parameters are read: several times within [`READ_AGAIN_WITHIN`], so that a failed attempt does not
/// leave the server with an old value on the day from which a new one is in force.
const INTERVAL: Duration = Duration::from_mins(10);
const _: () = assert!(INTERVAL.as_secs() * 4 < READ_AGAIN_WITHIN.num_seconds().unsigned_abs());

/// Sets the parameters of a new database, and reads those of every database.
///
/// # Errors
/// From the database.
pub async fn begin(app: &App, operator: &Bootstrap) -> Result<()> {
    if let Bootstrap::Created { organization, key, .. } = operator {
        let mut tx = Tx::begin(&app.pool).await?;
        let is_new = sqlx::query_scalar!(
            r#"SELECT NOT EXISTS (SELECT FROM log) AND NOT EXISTS (SELECT FROM parameter) AS "new!""#
        );
        if is_new.fetch_one(&mut *tx).await? {
            record::begin(&mut tx, &Actor::of(*organization, *key, app.clock.now())?).await?;
        }
        tx.commit().await?;
    }
    record::refresh(&app.rulebook, &app.pool).await
}

/// Reads the parameters again and again. If they cannot be read, the last ones stay in force.
pub async fn read_again(app: App) {
    let mut rounds = tokio::time::interval(INTERVAL);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        if let Err(error) = record::refresh(&app.rulebook, &app.pool).await {
            tracing::warn!(%error, "the parameters cannot be read now; the last ones stay in force");
        }
    }
}
