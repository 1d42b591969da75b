//! Keeps the parameters of a server up to date, also those that another instance set.

use crate::http::core::app::App;
use crate::timber::parameter::record::{READ_AGAIN_WITHIN, load};
use std::time::Duration;

/// How often the parameters are read: several times within [`READ_AGAIN_WITHIN`], so that a failed attempt does not
/// leave the server with an old value on the day from which a new one is in force.
const INTERVAL: Duration = Duration::from_mins(10);
const _: () = assert!(INTERVAL.as_secs() * 4 < READ_AGAIN_WITHIN.num_seconds().unsigned_abs());

/// Reads the parameters again and again. If they cannot be read, the last ones stay in force.
pub async fn read_again(app: App) {
    let mut rounds = tokio::time::interval(INTERVAL);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        match load(&app.pool).await {
            Ok(parameters) => app.rulebook.replace(parameters),
            Err(error) => {
                tracing::warn!(%error, "the parameters cannot be read now; the last ones stay in force")
            }
        }
    }
}
