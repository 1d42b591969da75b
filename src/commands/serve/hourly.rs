//! What a server does every hour: it deletes what has expired (stored responses, reports, photos, sessions of the
//! desk), and finds appeals that are overdue.

use crate::base::clock::ClockWatch;
use crate::evidence::idempotency::stored;
use crate::http::core::app::App;
use crate::services::reports;
use crate::timber::party::session;
use chrono::TimeDelta;
use sqlx::PgPool;
use std::time::Duration;

/// Interval at which expired stored responses are deleted.
const EXPIRY_INTERVAL: Duration = Duration::from_hours(1);
/// How far the system clock may deviate from the monotonic clock before housekeeping is skipped.
const MAX_CLOCK_JUMP: TimeDelta = TimeDelta::hours(1);

/// Does it every hour until the task is aborted.
pub(super) async fn run(app: App) {
    let watch = ClockWatch::new(app.clock.clone());
    let mut hours = tokio::time::interval(EXPIRY_INTERVAL);
    hours.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        hours.tick().await;
        keep_house(&app.pool, &watch).await;
        sweep_findings(&app, &watch).await;
        forget_sessions(&app, &watch).await;
    }
}

/// Deletes expired stored responses once, and returns the number of rows deleted. If the clock has jumped,
/// nothing is deleted, because responses that clients still rely on would look expired. Without such a
/// response, a request that a client sends again would be recorded twice.
pub async fn keep_house(pool: &PgPool, watch: &ClockWatch) -> u64 {
    let jump = watch.jump();
    if jump.abs() > MAX_CLOCK_JUMP {
        tracing::warn!(
            seconds = jump.num_seconds(),
            "the clock was changed since this server started: no expired response is deleted until it is set \
             back, or the server is restarted"
        );
        return 0;
    }
    match stored::forget_old(pool, watch.now()).await {
        Ok(0) => 0,
        Ok(rows) => {
            tracing::info!(rows, "expired stored responses deleted");
            rows
        }
        Err(error) => {
            tracing::warn!(%error, "expired stored responses cannot be deleted now");
            0
        }
    }
}

/// Deletes expired reports and photos, and finds appeals without an answer ([`reports::sweep`]). If the clock has
/// jumped, nothing is done, because everything would look overdue.
async fn sweep_findings(app: &App, watch: &ClockWatch) {
    if watch.jump().abs() > MAX_CLOCK_JUMP {
        return;
    }
    match reports::sweep(&app.pool, &app.rulebook, watch.now()).await {
        Ok(swept) if swept == reports::Swept::default() => {}
        Ok(reports::Swept { reports, photos, appeals }) => {
            tracing::info!(
                reports,
                photos,
                appeals,
                "expired reports and photos deleted, overdue appeals found"
            );
        }
        Err(error) => tracing::warn!(%error, "expired reports and overdue appeals cannot be swept now"),
    }
}

/// Deletes the rows of old sessions of the desk. If the clock has jumped, nothing is done.
async fn forget_sessions(app: &App, watch: &ClockWatch) {
    if watch.jump().abs() > MAX_CLOCK_JUMP {
        return;
    }
    match session::forget_old(&app.pool, watch.now()).await {
        Ok(0) => {}
        Ok(rows) => tracing::info!(rows, "old sessions deleted"),
        Err(error) => tracing::warn!(%error, "old sessions cannot be deleted now"),
    }
}
