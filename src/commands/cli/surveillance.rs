//! `ormantrace surveillance`.

use super::Failure;
use crate::base::clock::Clock;
use crate::base::config::DatabaseSettings;
use crate::base::error::Error;
use crate::db;
use crate::evidence::idempotency::secret;
use crate::services::surveillance::postgres::PersonSecret;
use crate::services::surveillance::replay;
use crate::timber::parameter::{Rulebook, record};
use clap::{Args, Subcommand};
use std::io::Write;

/// Settings of `surveillance`.
#[derive(Args, Clone, Debug)]
pub struct SurveillanceArgs {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// Judge all recorded events by the rules of this program, and print how the findings differ
    Replay {
        #[command(flatten)]
        database: Box<DatabaseSettings>,

        /// Put the result into force: findings that these rules do not make are superseded. Stop the server first
        #[arg(long)]
        apply: bool,
    },
}

impl SurveillanceArgs {
    /// Replays, prints the report, and puts the result into force if that was requested.
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let Action::Replay { database, apply } = &self.command;
        let database = db::open_existing(database).await?;
        let done = replayed(&database, *apply).await;
        database.close().await;
        done
    }
}

async fn replayed(database: &db::Database, apply: bool) -> Result<(), Failure> {
    let failed = |error: Error| Failure::Unchecked(error.to_string());
    let clock = Clock::system();
    let secret = PersonSecret(secret::shared(&database.pool, "surveillance").await.map_err(failed)?);
    let mut owner = database.owner().await.map_err(|error| failed(Error::Database(error)))?;
    let rulebook = Rulebook::new(clock.clone());
    rulebook.replace(record::load(&mut owner).await.map_err(failed)?);
    let report = replay::replay(&mut owner, secret, rulebook, clock.clone()).await;
    write!(std::io::stdout(), "{}", report.map_err(failed)?)?;
    if !apply {
        return Ok(());
    }
    if replay::apply(&mut owner, &clock).await.map_err(failed)? {
        writeln!(std::io::stdout(), "These findings are in force now.")?;
        return Ok(());
    }
    Err(Failure::Unchecked("Surveillance runs in a server: stop the server first.".to_owned()))
}
