//! `publish`, `witness` and `key`: the commands that run separately from the server, with their own keys.

use super::Failure;
use crate::base::clock::Clock;
use crate::base::config::{DatabaseSettings, shown};
use crate::commands::serve::{self, shutdown_signal};
use crate::db;
use crate::evidence::register::publish::{PublishSettings, Publisher};
use crate::evidence::register::witness::{Witness, WitnessError};
use crate::evidence::register::witness_client::WitnessAddress;
use crate::evidence::tlog::Folder;
use crate::evidence::tlog::disk::Disk;
use crate::evidence::tlog::note::{Kind, Signer, VerifierKey, is_name};
use crate::http::core::app::server_settings;
use crate::http::core::metrics::Exposition;
use crate::http::router::METRICS_PATH;
use crate::http::witness;
use crate::net::server::Server;
use crate::services::verifier::command::any_key;
use clap::{Args, Subcommand};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Settings of `publish`.
#[derive(Args, Clone, Debug)]
pub struct PublishArgs {
    #[command(flatten)]
    database: DatabaseSettings,

    /// Folder of the register: the published files and the last signed checkpoint
    /// [default: register in the data directory]
    #[arg(long, env = "ORMANTRACE_REGISTER_DIR", value_name = "FOLDER")]
    register_dir: Option<PathBuf>,

    /// File of the key that signs the register; during a change of keys both files, separated by a comma
    /// [default: keys/register.key in the data directory]
    #[arg(long, env = "ORMANTRACE_REGISTER_KEY", value_name = "FILE", value_delimiter = ',')]
    register_key: Vec<PathBuf>,

    /// Name of the register, such as wood.example/register. Needed only at the first start, which creates the
    /// key with this name
    #[arg(long, env = "ORMANTRACE_ORIGIN", value_name = "NAME", value_parser = name)]
    origin: Option<String>,

    /// A witness: its address, an equals sign, its public key; separate several with commas
    #[arg(long, env = "ORMANTRACE_WITNESS", value_name = "URL=VKEY", value_delimiter = ',')]
    witness: Vec<WitnessAddress>,

    /// Certificates (PEM) of a private certificate authority, for witnesses over https, in addition to those
    /// that browsers trust
    #[arg(long, env = "ORMANTRACE_WITNESS_CA", value_name = "FILE")]
    witness_ca: Option<PathBuf>,

    /// Number of witnesses that should cosign a checkpoint; with fewer it is published too, with a warning
    #[arg(long, env = "ORMANTRACE_QUORUM", value_name = "NUMBER", default_value_t = 0)]
    quorum: usize,

    /// At start, compare only the newest leaves of the database with the register, not all of them
    #[arg(long, env = "ORMANTRACE_QUICK_START")]
    quick_start: bool,

    /// Begin a new register although the key exists already and the database has records; for a single start,
    /// never in a unit file: if the folder is lost, a start with this option begins a second history
    #[arg(long)]
    begin: bool,

    /// Milliseconds between two queries for new leaves
    #[arg(long, env = "ORMANTRACE_POLL_MILLISECONDS", value_name = "NUMBER", default_value_t = 200)]
    #[arg(value_parser = clap::value_parser!(u16).range(10..=10_000))]
    poll_milliseconds: u16,

    /// Address of a listener for /metrics, without authentication
    #[arg(long, env = "ORMANTRACE_PUBLISH_METRICS_LISTEN", value_name = "ADDRESS:PORT")]
    metrics_listen: Option<SocketAddr>,

    /// End when standard input ends; `serve` starts its publisher with this option
    #[arg(long)]
    lifeline: bool,
}

/// Settings of `witness`.
#[derive(Args, Clone, Debug)]
pub struct WitnessArgs {
    /// Address and port to listen on
    #[arg(
        long,
        env = "ORMANTRACE_WITNESS_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8081"
    )]
    listen: SocketAddr,

    /// Folder of the witness's state; if it is lost, the witness needs a new key
    #[arg(long, env = "ORMANTRACE_WITNESS_DIR", value_name = "FOLDER")]
    dir: PathBuf,

    /// File of the witness's key, made with `key make --witness`
    #[arg(long, env = "ORMANTRACE_WITNESS_KEY", value_name = "FILE")]
    key: PathBuf,

    /// Public key of a register to watch; separate several with commas; while the key of a register is being
    /// replaced, give both
    #[arg(long, env = "ORMANTRACE_WATCH", value_name = "VKEY", value_delimiter = ',', required = true)]
    #[arg(value_parser = any_key)]
    register: Vec<VerifierKey>,
}

/// Keys of a register or a witness.
#[derive(Clone, Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key, and print its public half
    Make {
        /// Name of the register or witness that signs with it, such as wood.example/register
        #[arg(long, value_name = "NAME", value_parser = name)]
        name: String,
        /// Make a key for a witness: it signs cosignatures, which state their time
        #[arg(long)]
        witness: bool,
        /// File to create; must not exist yet
        file: PathBuf,
    },
    /// Print a key's public half
    Show {
        /// File of the key
        file: PathBuf,
    },
}

fn name(text: &str) -> Result<String, &'static str> {
    if is_name(text) {
        Ok(text.to_owned())
    } else {
        Err("a name has no spaces and no +, and at most 255 bytes")
    }
}

impl PublishArgs {
    /// Publishes until `SIGTERM` or Ctrl-C.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let signal = shutdown_signal()?;
        let lifeline = self.lifeline;
        let mut stop = Box::pin(async move {
            tokio::select! {
                () = signal => {}
                () = input_ends(), if lifeline => {}
            }
        });
        let (settings, folder) = self.settings()?;
        let database = tokio::select! {
            () = &mut stop => return Ok(()),
            opened = db::open_for_publisher(&self.database) => opened?,
        };
        let metrics_server = match self.metrics_listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let exposition = Exposition::new();
        let publisher = Publisher::open(settings, folder, database, Clock::system())?;
        for key in publisher.keys().verifiers() {
            tracing::info!(%key, "signing with");
        }
        let metrics_task = metrics_server.map(|server| {
            tracing::info!(address = %server.local_addr(), "metrics are at /metrics");
            tokio::spawn(server.serve(exposition.open_routes(METRICS_PATH), std::future::pending()))
        });
        let ended = publisher.run(stop).await;
        if let Some(task) = metrics_task {
            task.abort();
        }
        Ok(ended?)
    }

    fn settings(&self) -> Result<(PublishSettings, Folder), Failure> {
        let in_data = |name: &str| Ok::<_, Failure>(self.database.data_dir()?.join(name));
        let dir = match &self.register_dir {
            Some(dir) => dir.clone(),
            None => in_data("register")?,
        };
        let keys = if self.register_key.is_empty() {
            vec![in_data("keys/register.key")?]
        } else {
            self.register_key.clone()
        };
        let settings = PublishSettings {
            keys,
            origin: self.origin.clone(),
            witnesses: self.witness.clone(),
            witness_ca: self.witness_ca.clone(),
            quorum: self.quorum,
            quick: self.quick_start,
            begin: self.begin,
            poll: Duration::from_millis(self.poll_milliseconds.into()),
        };
        Ok((settings, Folder::new(dir)))
    }
}

impl WitnessArgs {
    /// Cosigns checkpoints until `SIGTERM` or Ctrl-C.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let stop = shutdown_signal()?;
        let server = bind(self.listen).await?;
        let signer = Signer::load(&self.key).map_err(WitnessError::Key)?;
        let witness = Witness::open(&self.dir, Disk::system(), signer, self.register, Clock::system())?;
        witness::serve(Arc::new(witness), server, stop).await;
        Ok(())
    }
}

impl KeyCommand {
    /// Makes or shows a key.
    pub(super) fn run(self) -> Result<(), Failure> {
        let signer = match self {
            Self::Make { name, witness, file } => {
                let kind = if witness { Kind::Cosignature } else { Kind::Text };
                let signer = Signer::generate(&name, kind)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
                signer
                    .save(&file)
                    .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", shown(&file))))?;
                signer
            }
            Self::Show { file } => Signer::load(&file)?,
        };
        Ok(writeln!(io::stdout(), "{}", signer.verifier())?)
    }
}

/// Resolves when standard input ends. Reads in a thread of its own, because the runtime would wait for a read
/// on its blocking pool before it ends.
async fn input_ends() {
    let (send, ended) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(send);
    });
    let _ = ended.await;
}

async fn bind(address: SocketAddr) -> Result<Server, Failure> {
    let bound = Server::bind(address, server_settings()).await;
    Ok(bound.map_err(|cause| serve::Failure::Listen { address, cause })?)
}
