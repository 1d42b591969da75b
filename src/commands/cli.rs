//! The command line: commands and their settings.
//!
//! An error in the command line itself ends the process with exit code 2 and the usage. Any other failure
//! ends it with exit code 1 and a message; [`Failure::exit_code`] has the exception.

use crate::base::clock::Clock;
use crate::base::config::{DatabaseSettings, Settings};
use crate::base::error::Invalid;
use crate::base::telemetry::{self, Format, TelemetryError};
use crate::commands::demo;
use crate::commands::erase::{self, ErasureTarget};
use crate::commands::publisher::PublisherOptions;
use crate::commands::serve::{self, ServeOptions};
use crate::db::{self, Mode, OpenError};
use crate::http::core::app::server_settings;
use crate::http::core::body::BodySettings;
use crate::http::router;
use crate::net::pace::Pace;
use crate::net::server::ServerSettings;
use crate::services::verifier::command::{self, VerifyArgs};
use crate::timber::party::bin::Bin;
use clap::{Args, Parser, Subcommand, ValueEnum as _};
use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::ids::{FindingId, HarvestId};
use crate::evidence::register::publish::PublishError;
use crate::evidence::register::witness::WitnessError;
use crate::evidence::tlog::VerifierKey;
use crate::http::core::address::Network;

mod backup;
mod check;
mod register;
mod surveillance;

/// Marking and tracing of timber: seals, felling tickets, harvests, custody, verification.
#[derive(Debug, Parser)]
#[command(name = "ormantrace", version, arg_required_else_help = false)]
#[command(after_help = "The default command is `serve`: `ormantrace --listen 0.0.0.0:8080` serves.")]
pub struct Cli {
    /// Format of the log lines on standard error
    #[arg(long, env = "ORMANTRACE_LOG_FORMAT", value_name = "FORMAT", global = true)]
    #[arg(value_enum, default_value_t = Format::Text)]
    log_format: Format,

    /// Filter for the log lines, such as info,ormantrace=debug
    #[arg(long = "log", env = "ORMANTRACE_LOG", value_name = "FILTER", global = true)]
    #[arg(default_value = telemetry::DEFAULT_FILTER)]
    log: String,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Migrate the database and serve (the default)
    Serve(Box<ServeArgs>),
    /// Serve realistic sample data with fixed demo keys, created on first start; never for real data
    Demo(Box<ServeArgs>),
    /// Apply the pending migrations to the database, and exit
    Migrate(DatabaseSettings),
    /// Print the OpenAPI document, and exit
    Openapi,
    /// Check that a server on this machine is ready; exit code 0 if it is (for container health checks)
    Probe {
        /// Address the server listens on
        #[arg(
            long,
            env = "ORMANTRACE_LISTEN",
            value_name = "ADDRESS:PORT",
            default_value = "127.0.0.1:8080"
        )]
        listen: SocketAddr,
        /// Address of the server's separate listener for probes, if it has one
        #[arg(long, env = "ORMANTRACE_PROBE_LISTEN", value_name = "ADDRESS:PORT")]
        probe_listen: Option<SocketAddr>,
    },
    /// Check an export, a proof, a receipt or a checkpoint offline; exit code 0 if every check passes
    Verify(Box<VerifyArgs>),
    /// Erase a person's data permanently: from the tables, the indexes and the files of a private cluster
    Erase(EraseArgs),
    /// Sign and publish the register of all events; a process separate from the server, with a key that the
    /// database's administrator does not have
    Publish(Box<register::PublishArgs>),
    /// Cosign the checkpoints of a register, each only if it is consistent with the previous one
    Witness(Box<register::WitnessArgs>),
    /// Make or show the key of a register or a witness
    #[command(subcommand)]
    Key(register::KeyCommand),
    /// Back up the register, the database and the keys into a folder, while a server runs or without one
    Backup(backup::BackupArgs),
    /// Restore a backup into an empty data directory or database, and check the result like fsck
    Restore(backup::RestoreArgs),
    /// Check the entire database against its evidence and the register; exit code 0 if there are no errors,
    /// 1 with one line per error, 2 if the check could not be completed
    Fsck(check::FsckArgs),
    /// Replay the rules of surveillance over all recorded events, and print what changes
    Surveillance(surveillance::SurveillanceArgs),
}

/// Settings of `serve` and `demo`.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    #[command(flatten)]
    settings: Settings,

    #[command(flatten)]
    operation: ServeOptionArgs,
}

/// Keys, limits and timeouts of a server.
#[derive(Args, Clone, Debug)]
struct ServeOptionArgs {
    /// File of the key that signs marking codes; created if missing. All instances must share one key
    /// [default: keys/marking.key in the data directory]
    #[arg(long, env = "ORMANTRACE_MARKING_KEY", value_name = "FILE")]
    marking_key: Option<std::path::PathBuf>,

    /// Folder of the published register, which `publish` writes and the server serves
    /// [default: register in the data directory]
    #[arg(long, env = "ORMANTRACE_REGISTER_DIR", value_name = "FOLDER")]
    register_dir: Option<std::path::PathBuf>,
    /// File of the key that signs receipts; created if missing [default: keys/receipt.key in the data
    /// directory]
    #[arg(long, env = "ORMANTRACE_RECEIPT_KEY", value_name = "FILE")]
    receipt_key: Option<std::path::PathBuf>,

    /// Public key of earlier receipts, shown in addition to the current one for as long as such receipts may
    /// be checked; separate several with commas
    #[arg(long, env = "ORMANTRACE_FORMER_RECEIPT_KEY", value_name = "VKEY", value_delimiter = ',')]
    #[arg(value_parser = command::receipt_key)]
    former_receipt_key: Vec<VerifierKey>,

    /// Name of the register, such as wood.example/register. A receipt key that the server creates is named
    /// ORIGIN/receipts; an existing key keeps its name. With a private PostgreSQL, this option also makes the
    /// server publish the register [default: the public address without http:// or https://]
    #[arg(long, env = "ORMANTRACE_ORIGIN", value_name = "NAME", value_parser = origin)]
    origin: Option<String>,

    /// Do not publish the register. Without it, a server with a private PostgreSQL runs `publish` if --origin is
    /// given or --public-url leads to other machines
    #[arg(long, env = "ORMANTRACE_NO_PUBLISH")]
    no_publish: bool,

    /// Limit of public checks of unknown codes, per minute and client address, without a token
    #[arg(long, env = "ORMANTRACE_MISSES_PER_MINUTE", value_name = "NUMBER", default_value_t = 30)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    misses_per_minute: u32,

    /// Limit of public checks with any result, per second and client address, without a token
    #[arg(long, env = "ORMANTRACE_HITS_PER_SECOND", value_name = "NUMBER", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    hits_per_second: u32,

    /// Limit of public checks with any result, per day and client address, without a token; 0: no limit. Raise it
    /// if many people share one address
    #[arg(long, env = "ORMANTRACE_HITS_PER_ADDRESS_AND_DAY", value_name = "NUMBER", default_value_t = 2_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=1_000_000_000))]
    hits_per_address_and_day: u32,

    /// Limit of checks with any result, per day and key; 0: no limit
    #[arg(long, env = "ORMANTRACE_HITS_PER_KEY_AND_DAY", value_name = "NUMBER", default_value_t = 20_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=1_000_000_000))]
    hits_per_key_and_day: u32,

    /// Limit of unknown BINs that a key names as receiver, carrier or holder, per day; 0: no limit
    #[arg(
        long,
        env = "ORMANTRACE_UNKNOWN_BINS_PER_KEY_AND_DAY",
        value_name = "NUMBER",
        default_value_t = 200
    )]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=1_000_000_000))]
    unknown_bins_per_key_and_day: u32,

    /// Networks of proxies from which X-Forwarded-For is accepted, such as 10.0.0.0/8; separate several with
    /// commas
    #[arg(long, env = "ORMANTRACE_TRUSTED_PROXY", value_name = "NETWORK", value_delimiter = ',')]
    #[arg(value_parser = Network::parse)]
    trusted_proxy: Vec<Network>,

    /// Address of a separate listener for /metrics, without authentication; if not set, /metrics requires the
    /// operator's token
    #[arg(long, env = "ORMANTRACE_METRICS_LISTEN", value_name = "ADDRESS:PORT")]
    metrics_listen: Option<SocketAddr>,

    /// Address of a separate listener for /healthz and /readyz, which the main listener serves too
    #[arg(long, env = "ORMANTRACE_PROBE_LISTEN", value_name = "ADDRESS:PORT")]
    probe_listen: Option<SocketAddr>,

    /// Limit of open connections per client address (IPv6: per /64), except for trusted proxies; the one that
    /// has been idle for the longest time is closed for a new one
    #[arg(long, env = "ORMANTRACE_CONNECTIONS_PER_ADDRESS", value_name = "NUMBER", default_value_t = 256)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections_per_address: u32,

    /// Time limit in seconds for a complete request header, and for an idle connection
    #[arg(long, env = "ORMANTRACE_HEADER_SECONDS", value_name = "SECONDS", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=300))]
    header_seconds: u16,

    /// Time limit in seconds for a complete request body, which must also arrive with 8 kB per second, averaged
    /// over 10 seconds
    #[arg(long, env = "ORMANTRACE_BODY_SECONDS", value_name = "SECONDS", default_value_t = 120)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=300))]
    body_seconds: u16,

    /// Time limit in seconds for the requests in progress when the server receives a stop signal
    #[arg(long, env = "ORMANTRACE_DRAIN_SECONDS", value_name = "SECONDS", default_value_t = 30)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=30))]
    drain_seconds: u16,

    /// Seconds from the first 503 of /readyz until the listener closes, so that load balancers stop sending requests
    #[arg(long, env = "ORMANTRACE_LEAVE_SECONDS", value_name = "SECONDS", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(u16).range(0..=60))]
    leave_seconds: u16,
}

/// Settings of `erase`.
#[derive(Args, Clone, Debug)]
struct EraseArgs {
    #[command(flatten)]
    database: DatabaseSettings,

    #[command(flatten)]
    target: EraseTargetArgs,

    /// List what would be erased, by ids, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
struct EraseTargetArgs {
    /// The responsible person of one harvest, by the harvest's id
    #[arg(long, value_name = "ID")]
    harvest: Option<HarvestId>,

    /// Everything personal in one finding, by its id: texts, officials, contacts, photos
    #[arg(long, value_name = "ID")]
    finding: Option<FindingId>,

    /// A person by IIN: in every harvest, and as a sole trader or farm
    #[arg(long, value_name = "IIN", value_parser = Bin::parse)]
    iin: Option<Bin>,
}

/// Why a command failed. `Display` is the complete message.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Telemetry cannot be set up.
    #[error("{0}.")]
    Telemetry(#[from] TelemetryError),
    /// The runtime cannot be started, or standard output cannot be written.
    #[error("{0}.")]
    Io(#[from] std::io::Error),
    /// A setting is invalid.
    #[error("{0}")]
    Settings(#[from] Invalid),
    /// The database cannot be opened.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// Serving failed.
    #[error("{0}")]
    Serve(#[from] serve::Failure),
    /// The demonstration cannot be set up or served.
    #[error("{0}")]
    Demo(#[from] demo::Failure),
    /// There is no server at the address, or it is not ready.
    #[error("The server at {0} is not ready.")]
    NotReady(SocketAddr),
    /// The file to verify is not valid, or cannot be read.
    #[error("{0}")]
    Verify(#[from] command::Failure),
    /// Publishing failed.
    #[error("{0}")]
    Publish(#[from] PublishError),
    /// The witness cannot start.
    #[error("{0}")]
    Witness(#[from] WitnessError),
    /// Erasing failed.
    #[error("{0}")]
    Erase(#[from] erase::Failure),
    /// A backup or a restore failed.
    #[error("{0}")]
    Backup(#[from] crate::commands::backup::Failure),
    /// The check could not be completed.
    #[error("{0}")]
    Unchecked(String),
    /// The check was completed and found errors.
    #[error("The database does not match its evidence: see the errors on standard output.")]
    FsckErrors,
}

impl Failure {
    /// The exit code: 2 if `fsck` could not complete its check (its exit code 1 means that it found errors);
    /// 3 if `verify` found no error but the register has events that the file does not show; else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unchecked(_) => 2,
            Self::Verify(command::Failure::Incomplete(_)) => 3,
            _ => 1,
        }
    }
}

impl Cli {
    /// Parses the arguments of this process. Ends the process if they are invalid or only request help.
    #[must_use]
    pub fn from_command_line() -> Self {
        Self::parse_from(with_command(std::env::args_os()))
    }

    /// Runs the command.
    ///
    /// # Errors
    /// A message for the administrator.
    pub fn run(self) -> Result<(), Failure> {
        if matches!(self.command, Command::Openapi) {
            let mut document =
                serde_json::to_string_pretty(&router::openapi()).map_err(std::io::Error::other)?;
            document.push('\n');
            return Ok(std::io::stdout().write_all(document.as_bytes())?);
        }
        if let Command::Probe { listen, probe_listen } = self.command {
            let listen = probe_listen.unwrap_or(listen);
            return serve::probe(listen).map_err(|_| Failure::NotReady(listen));
        }
        let command = match self.command {
            Command::Verify(args) => return Ok(args.run()?),
            Command::Key(command) => return command.run(),
            other => other,
        };
        telemetry::init(self.log_format, &self.log)?;
        let format = self.log_format.to_possible_value().map(|value| value.get_name().to_owned());
        let log_arguments =
            vec!["--log-format".into(), format.unwrap_or_default().into(), "--log".into(), self.log.into()];
        tokio::runtime::Runtime::new()?.block_on(command.run(log_arguments))
    }
}

impl Command {
    /// Runs the command; `log_arguments` are for a process that it starts.
    async fn run(self, log_arguments: Vec<OsString>) -> Result<(), Failure> {
        match self {
            Self::Serve(args) => {
                let (settings, mut operation) = args.split();
                operation.publisher.log_arguments = log_arguments;
                Ok(serve::serve(&settings, operation).await?)
            }
            Self::Demo(args) => {
                let (settings, operation) = args.split();
                Ok(demo::serve(&settings, operation).await?)
            }
            Self::Migrate(settings) => {
                let database =
                    db::open(&settings, Mode::Attach, crate::evidence::register::backfill::on_migration)
                        .await?;
                database.close().await;
                tracing::info!("the database schema is up to date");
                Ok(())
            }
            Self::Publish(args) => args.run().await,
            Self::Witness(args) => args.run().await,
            Self::Openapi | Self::Probe { .. } | Self::Verify(_) | Self::Key(_) => Ok(()),
            Self::Erase(args) => {
                let target = match (args.target.harvest, args.target.finding, args.target.iin) {
                    (Some(harvest), ..) => ErasureTarget::Harvest(harvest),
                    (None, Some(finding), _) => ErasureTarget::Finding(finding),
                    (None, None, Some(iin)) => ErasureTarget::Iin(iin),
                    (None, None, None) => return Ok(()),
                };
                let database = db::open_existing(&args.database).await?;
                let report = erase_or_preview(&database, &target, args.dry_run).await;
                database.close().await;
                Ok(writeln!(std::io::stdout(), "{}", report?)?)
            }
            Self::Fsck(args) => args.run().await,
            Self::Surveillance(args) => args.run().await,
            Self::Backup(args) => args.run().await,
            Self::Restore(args) => args.run().await,
        }
    }
}

/// Erases, or with `dry_run` finds out what would be erased; returns the report.
async fn erase_or_preview(
    database: &db::Database,
    target: &ErasureTarget,
    dry_run: bool,
) -> Result<String, erase::Failure> {
    let clock = Clock::system();
    if !dry_run {
        return Ok(erase::erase(database, target, &clock).await?.to_string());
    }
    let mut owner = database.owner().await?;
    Ok(erase::preview(&mut owner, target, &clock).await?.to_string())
}

impl ServeArgs {
    fn split(self) -> (Settings, ServeOptions) {
        let (given, body) = (self.operation, BodySettings::default());
        let mut operation = ServeOptions {
            marking_key: given.marking_key,
            register_dir: given.register_dir,
            receipt_key: given.receipt_key,
            former_receipt_keys: given.former_receipt_key,
            publisher: PublisherOptions {
                off: given.no_publish,
                named: given.origin.is_some(),
                log_arguments: Vec::new(),
            },
            origin: given.origin,
            trusted_proxies: given.trusted_proxy,
            metrics_listen: given.metrics_listen,
            probe_listen: given.probe_listen,
            leave: Duration::from_secs(given.leave_seconds.into()),
            server: ServerSettings {
                header_timeout: Duration::from_secs(given.header_seconds.into()),
                drain: Duration::from_secs(given.drain_seconds.into()),
                connections_per_address: usize::try_from(given.connections_per_address).unwrap_or(usize::MAX),
                ..server_settings()
            },
            body: BodySettings {
                pace: Pace { total: Duration::from_secs(given.body_seconds.into()), ..body.pace },
                ..body
            },
            ..ServeOptions::default()
        };
        operation.limits.misses.count = given.misses_per_minute;
        operation.limits.hits.count = given.hits_per_second;
        operation.limits.hits_per_day = given.hits_per_address_and_day;
        operation.limits.hits_per_key_and_day = given.hits_per_key_and_day;
        operation.limits.unknown_bins_per_key_and_day = given.unknown_bins_per_key_and_day;
        (self.settings, operation)
    }
}

fn origin(text: &str) -> Result<String, Invalid> {
    if crate::evidence::tlog::note::is_name(text) {
        return Ok(text.to_owned());
    }
    Err(Invalid::new("bad-origin", "A register's name has no space and no `+`, and at most 255 bytes."))
}

/// Inserts `serve` if the arguments name no command. It goes before the first flag that is not common to all
/// commands, because that flag belongs to `serve`.
fn with_command(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut at = 1;
    while let Some(argument) = arguments.get(at).and_then(|argument| argument.to_str()) {
        match argument {
            "--log" | "--log-format" => at += 2,
            _ if argument.starts_with("--log=") || argument.starts_with("--log-format=") => at += 1,
            _ => break,
        }
    }
    let at = at.min(arguments.len());
    let is_serve = match arguments.get(at).and_then(|argument| argument.to_str()) {
        None => at == arguments.len(),
        Some("-h" | "--help" | "-V" | "--version") => false,
        Some(argument) => argument.starts_with('-'),
    };
    if is_serve {
        arguments.insert(at, "serve".into());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        let arguments = std::iter::once("ormantrace").chain(line.split_whitespace()).map(OsString::from);
        Cli::try_parse_from(with_command(arguments))
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default_wherever_the_common_flags_stand() {
        for line in [
            "",
            "serve",
            "--listen 127.0.0.1:0",
            "--log debug",
            "--log-format=json --listen 127.0.0.1:0",
            "--log debug serve --log-format json",
        ] {
            assert!(matches!(parse(line).expect(line).command, Command::Serve(_)), "{line}");
        }
        assert!(matches!(parse("--log debug migrate").expect("read").command, Command::Migrate(_)));
        assert!(matches!(parse("--log-format json openapi").expect("read").command, Command::Openapi));
        assert_eq!(parse("--help").expect_err("help").kind(), clap::error::ErrorKind::DisplayHelp);
        assert_eq!(parse("fell").expect_err("unknown").kind(), clap::error::ErrorKind::InvalidSubcommand);
    }

    #[test]
    fn one_is_erased_by_harvest_finding_or_iin() {
        let harvest = HarvestId::new();
        assert!(parse(&format!("erase --harvest {harvest}")).is_ok());
        assert!(parse(&format!("erase --finding {harvest}")).is_ok());
        for line in ["erase", "erase --iin 12", &format!("erase --harvest {harvest} --iin 850101300007")] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn every_flag_that_serves_has_its_twin() {
        let command = Cli::command();
        let serve = command.find_subcommand("serve").expect("a command");
        for arg in serve.get_arguments().filter(|arg| arg.get_id() != "help") {
            let env = arg.get_env().and_then(|env| env.to_str()).unwrap_or_default();
            assert!(env == "DATABASE_URL" || env.starts_with("ORMANTRACE_"), "{:?}", arg.get_id());
        }
    }

    #[test]
    fn limits_arrive() {
        let Command::Serve(args) =
            parse("--misses-per-minute 7 --trusted-proxy 10.0.0.0/8,127.0.0.1").expect("read").command
        else {
            panic!("not serve")
        };
        let (_, operation) = args.split();
        assert_eq!(operation.limits.misses.count, 7);
        assert_eq!(operation.trusted_proxies.len(), 2);
        assert_eq!(operation.server.connections_per_address, 256);
        assert!(parse("--drain-seconds 31").is_err());
        let Command::Serve(args) =
            parse("--connections-per-address 9 --probe-listen 127.0.0.1:8082 --hits-per-key-and-day 0")
                .expect("read")
                .command
        else {
            panic!("not serve")
        };
        let (_, operation) = args.split();
        assert_eq!(operation.server.connections_per_address, 9);
        assert_eq!(operation.probe_listen, Some("127.0.0.1:8082".parse().unwrap()));
        assert_eq!((operation.limits.hits_per_key_and_day, operation.limits.hits_per_day), (0, 2_000));
    }
}
