//! The demonstration: realistic sample data, created once through the public API, with public keys.
//!
//! The sample data is created only in an empty database. Each call has its own idempotency key and the same
//! content every time, so after an interrupted start the next start continues where the first one ended.

use crate::base::config::{OperatorToken, Settings};
use crate::commands::serve::{self, Ready, ServeOptions};
use crate::http::core::app::App;
use crate::http::router;
use crate::timber::party::bootstrap::Bootstrap;
use std::io::Write;

mod guide;
mod histories;
mod register;
mod script;
mod timber;
mod world;

pub use crate::commands::demo_keys::Participant;
pub use script::Script;

/// Why the demonstration cannot be set up. `Display` is the complete message.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database contains other data.
    #[error(
        "This database contains other data, and the demonstration fills only an empty one: choose another \
         --data-dir (or database)."
    )]
    NotEmpty,
    /// A step was rejected.
    #[error("The demonstration's step \"{step}\" failed with status {status}: {problem}")]
    Step {
        /// The step.
        step: String,
        /// Status of the response.
        status: u16,
        /// Body of the response.
        problem: String,
    },
    /// The library or the database returned an error.
    #[error("The demonstration cannot be set up: {0}.")]
    Library(#[from] crate::base::error::Error),
    /// The server does not start.
    #[error("{0}")]
    Serve(#[from] serve::Failure),
    /// A setting is wrong.
    #[error("{0}")]
    Settings(#[from] crate::base::error::Invalid),
    /// The signal handlers cannot be installed, or standard output cannot be written.
    #[error("{0}.")]
    Io(#[from] std::io::Error),
}

/// `ormantrace demo`.
///
/// # Errors
/// A sentence for the administrator; nothing is left running.
pub async fn serve(settings: &Settings, operation: ServeOptions) -> Result<(), Failure> {
    let mut stop = Box::pin(serve::shutdown_signal()?);
    let no_publish = operation.publisher.off;
    let mut settings = settings.clone();
    settings.serve.allow_demonstration_codes = true;
    let settings = &settings;
    let mut ready = serve::prepare(settings, operation).await?;
    // The demonstration runs its publisher in this process, together with a witness.
    ready.publisher = None;
    // If a signal interrupts the creation of the sample data, the next start continues it.
    let shown = tokio::select! {
        shown = show(&ready) => shown,
        () = &mut stop => {
            ready.close_unserved().await;
            return Ok(());
        }
    };
    if let Err(failure) = shown {
        ready.close_unserved().await;
        return Err(failure);
    }
    let register = if no_publish { None } else { start_register(&ready, settings).await };
    let Some(register) = register else {
        ready.run(stop).await;
        return Ok(());
    };
    ready
        .run(async move {
            stop.await;
            register.stop().await;
        })
        .await;
    Ok(())
}

/// Starts the demonstration's register. The demonstration works without it too, so a failure is only logged.
async fn start_register(ready: &Ready, settings: &Settings) -> Option<register::Register> {
    let url = ready.layers.public_url.as_deref().unwrap_or_default();
    let origin = url.split_once("://").map_or(url, |(_, name)| name);
    let started = match settings.database.data_dir() {
        Ok(data_dir) => {
            register::Register::start(&data_dir, ready.register.clone(), origin, ready.publisher_options())
                .await
        }
        Err(error) => Err(error.into()),
    };
    started.map_err(|error| tracing::warn!(%error, "the demonstration has no register")).ok()
}

async fn show(ready: &Ready) -> Result<(), Failure> {
    fill(&ready.app).await?;
    let url = format!("http://{}", serve::reachable(ready.address));
    let guide = guide::text(&url, &program());
    let mut out = std::io::stdout().lock();
    out.write_all(guide.as_bytes())?;
    Ok(out.flush()?)
}

/// This program's path, quoted for a shell; `ormantrace` if the system does not give the path.
fn program() -> String {
    let file = std::env::current_exe().ok().and_then(|file| file.into_os_string().into_string().ok());
    let file = file.unwrap_or_else(|| "ormantrace".to_owned());
    let plain = |sign: char| sign.is_alphanumeric() || "/._-+".contains(sign);
    if file.chars().all(plain) { file } else { format!("'{}'", file.replace('\'', r"'\''")) }
}

/// Creates the part of the sample data that is missing.
///
/// # Errors
/// If the database contains other data, or a step is rejected.
pub async fn fill(app: &App) -> Result<(), Failure> {
    let operator: OperatorToken = Participant::Operator.token().parse()?;
    if let Bootstrap::AlreadyPresent { .. } = serve::bootstrap(app, Some(&operator), None).await? {
        let known = app.reads.caller(operator.token(), app.clock.now()).await?;
        known.ok_or(Failure::NotEmpty)?;
    }
    let router = router::router(app.clone(), &crate::http::core::layers::LayerSettings::default());
    let mut script = Script::new(app, router).await?;
    if !world::is_complete(&script).await? {
        tracing::info!("creating the data of the demonstration");
        world::make(&mut script).await?;
    }
    Ok(())
}
