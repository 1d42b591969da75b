//! The demonstration: a small believable world, made once through the public API, with keys that
//! everybody knows.
//!
//! The world fills only an empty database. Each of its calls has an idempotency key of its own and
//! the same content every time, so a start after one that was cut off goes on where that ended.

use crate::base::config::{OperatorToken, Settings};
use crate::commands::serve::{self, Operation, Ready};
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

pub use crate::commands::demo_keys::Who;
pub use script::Script;

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
    /// The database said no.
    #[error("The demonstration cannot be made: {0}.")]
    House(#[from] crate::base::error::Error),
    /// The server does not start.
    #[error("{0}")]
    Serve(#[from] serve::Failure),
    /// A setting is wrong.
    #[error("{0}")]
    Settings(#[from] crate::base::error::Invalid),
    /// The system gives no signals, or no standard output.
    #[error("{0}.")]
    Io(#[from] std::io::Error),
}

/// `ormantrace demo`.
///
/// # Errors
/// A sentence for the administrator; nothing is left running.
pub async fn serve(settings: &Settings, operation: Operation) -> Result<(), Failure> {
    let mut stop = Box::pin(serve::told_to_stop()?);
    let ready = serve::prepare(settings, operation).await?;
    // Cut off by a signal, the next start goes on with it.
    let shown = tokio::select! {
        shown = show(&ready) => shown,
        () = &mut stop => {
            ready.abandon().await;
            return Ok(());
        }
    };
    if let Err(failure) = shown {
        ready.abandon().await;
        return Err(failure);
    }
    let Some(register) = start_register(&ready, settings).await else {
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

/// The world is worth seeing without its register, too; why there is none is told.
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

/// This program, as a shell takes it: its file, or where the system does not say which, its name.
fn program() -> String {
    let file = std::env::current_exe().ok().and_then(|file| file.into_os_string().into_string().ok());
    let file = file.unwrap_or_else(|| "ormantrace".to_owned());
    let plain = |sign: char| sign.is_alphanumeric() || "/._-+".contains(sign);
    if file.chars().all(plain) { file } else { format!("'{}'", file.replace('\'', r"'\''")) }
}

/// Makes the world, as far as it is not there.
///
/// # Errors
/// If the database holds other data, or a step is refused.
pub async fn fill(app: &App) -> Result<(), Failure> {
    let operator: OperatorToken = Who::Operator.token().parse()?;
    if let Bootstrap::Kept { .. } = serve::bootstrap(app, Some(&operator)).await? {
        let known = app.reads.caller(operator.token(), app.clock.now()).await?;
        known.ok_or(Failure::NotEmpty)?;
    }
    let router = router::router(app.clone(), &crate::http::core::layers::LayerSettings::default());
    let mut script = Script::new(app, router).await?;
    if !world::is_whole(&script).await? {
        tracing::info!("the demonstration's world is being made");
        world::make(&mut script).await?;
    }
    Ok(())
}
