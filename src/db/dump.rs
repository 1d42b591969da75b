//! Dumping a database into a file and loading it into an empty one, with PostgreSQL's own programs.
//!
//! The password is passed in the environment of the program, so that it is not in the list of processes.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::programs::ClientProgram;
use crate::base::config::shown;

/// How often progress is reported.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// Maximum number of bytes of a dump that are read and passed to `pg_restore` at once.
const CHUNK: usize = 1 << 18;

/// Why a dump was not made or not loaded. `Display` is a sentence without its full stop.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The program cannot be run, or the file cannot be read or written.
    #[error("{what}: {error}")]
    Io {
        /// The program or file.
        what: String,
        /// The cause.
        error: io::Error,
    },
    /// The program failed.
    #[error("{program} failed: {message}")]
    Failed {
        /// Its name.
        program: &'static str,
        /// The last line that it wrote.
        message: String,
    },
}

/// What a client program needs to connect; `Debug` does not show it.
#[derive(Clone)]
pub struct Login {
    database: String,
    variables: Vec<(&'static str, OsString)>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login(hidden)")
    }
}

impl Login {
    /// The connection options as variables of libpq.
    #[must_use]
    pub(super) fn new(options: &PgConnectOptions) -> Self {
        let database = options.get_database().unwrap_or(options.get_username()).to_owned();
        let host = match options.get_socket() {
            Some(socket) => socket.clone().into_os_string(),
            None => options.get_host().into(),
        };
        let mut variables = vec![
            ("PGHOST", host),
            ("PGPORT", options.get_port().to_string().into()),
            ("PGUSER", options.get_username().into()),
            ("PGDATABASE", database.clone().into()),
            ("PGCLIENTENCODING", "UTF8".into()),
        ];
        if let Some(settings) = options.get_options() {
            variables.push(("PGOPTIONS", settings.into()));
        }
        // `PgConnectOptions` has no getter for the password and the TLS settings, but its URL contains them.
        let url = options.to_url_lossy();
        if let Some(password) = url.password() {
            variables.push(("PGPASSWORD", decoded(password).into()));
        }
        for (name, value) in url.query_pairs() {
            let variable = match &*name {
                "sslmode" => "PGSSLMODE",
                "sslrootcert" => "PGSSLROOTCERT",
                "sslcert" => "PGSSLCERT",
                "sslkey" => "PGSSLKEY",
                _ => continue,
            };
            // sqlx writes `file: ` before the path of a certificate; the variable has only the path.
            let value = value.strip_prefix("file: ").unwrap_or(&value).to_owned();
            variables.push((variable, value.into()));
        }
        Self { database, variables }
    }

    /// The database's name.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    fn command(&self, program: &ClientProgram) -> Command {
        let mut command = Command::new(&program.path);
        // These variables are removed from the inherited environment, because they could override those of
        // this login.
        for name in ["PGSERVICE", "PGSERVICEFILE", "PGHOSTADDR", "PGOPTIONS", "PGPASSFILE"] {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).env("LC_ALL", "C");
        command.arg("--no-password").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        command
    }
}

/// Decodes `%` and two hex digits in a part of a URL.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let mut byte = [0];
        if *first == b'%' && others.len() >= 2 && hex::decode_to_slice(&others[..2], &mut byte).is_ok() {
            bytes.push(byte[0]);
            rest = &others[2..];
        } else {
            bytes.push(*first);
            rest = others;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Dumps the database as of an exported snapshot into `file`, which must exist. `progress` gets the bytes
/// written so far, every few seconds.
///
/// # Errors
/// [`DumpError`].
pub async fn dump(
    program: &ClientProgram,
    login: &Login,
    snapshot: &str,
    file: &Path,
    mut progress: impl FnMut(u64),
) -> Result<(), DumpError> {
    let mut command = login.command(program);
    command.args(["--format=custom", "--snapshot", snapshot, "--file"]).arg(file);
    let child = command.spawn().map_err(|error| not_run(program, error))?;
    let mut ended = pin!(child.wait_with_output());
    loop {
        tokio::select! {
            output = &mut ended => return check(program, &output.map_err(|error| not_run(program, error))?),
            () = tokio::time::sleep(PROGRESS_INTERVAL) => {
                progress(tokio::fs::metadata(file).await.map_or(0, |metadata| metadata.len()));
            }
        }
    }
}

/// Loads a dump into an empty database, in one transaction: entirely or not at all. Owners and rights of the
/// dump are left out, because the roles may have other names in the new database. `progress` gets the bytes
/// read so far.
///
/// # Errors
/// [`DumpError`].
pub async fn load(
    program: &ClientProgram,
    login: &Login,
    file: &Path,
    mut progress: impl FnMut(u64),
) -> Result<(), DumpError> {
    let unreadable = |error| DumpError::Io { what: shown(file), error };
    let mut dump = tokio::fs::File::open(file).await.map_err(unreadable)?;
    let mut command = login.command(program);
    command.args(["--no-owner", "--no-privileges", "--single-transaction", "--dbname", &login.database]);
    let mut child = command.stdin(Stdio::piped()).spawn().map_err(|error| not_run(program, error))?;
    let input = child.stdin.take();
    let feed = async {
        let Some(mut input) = input else { return Ok(()) };
        let (mut chunk, mut done, mut reported) = (vec![0; CHUNK], 0_u64, tokio::time::Instant::now());
        loop {
            let read = dump.read(&mut chunk).await?;
            // If `pg_restore` has ended early, its exit status and its message are checked later and show
            // why.
            if read == 0 || input.write_all(&chunk[..read]).await.is_err() {
                return Ok(());
            }
            done += read as u64;
            if reported.elapsed() > PROGRESS_INTERVAL {
                progress(done);
                reported = tokio::time::Instant::now();
            }
        }
    };
    let (fed, output) = tokio::join!(feed, child.wait_with_output());
    check(program, &output.map_err(|error| not_run(program, error))?)?;
    fed.map_err(unreadable)
}

fn not_run(program: &ClientProgram, error: io::Error) -> DumpError {
    DumpError::Io { what: shown(&program.path), error }
}

fn check(program: &ClientProgram, output: &std::process::Output) -> Result<(), DumpError> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let prefix = format!("{}: ", program.name);
    // An error is followed by lines of context; the first line names the cause.
    let line = said.lines().find(|line| line.contains("error:")).or(said.lines().last());
    let line = line.map(|line| line.strip_prefix(&prefix).unwrap_or(line).trim_end_matches('.'));
    let message =
        line.filter(|line| !line.is_empty()).map_or_else(|| output.status.to_string(), str::to_owned);
    Err(DumpError::Failed { program: program.name, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_has_what_the_url_has() {
        let options: PgConnectOptions =
            "postgres://forester:p%40ss%2Fw@db.example:6000/wood?sslmode=verify-full&sslrootcert=/etc/ca.pem"
                .parse()
                .expect("a URL");
        let login = Login::new(&options);
        let has = |name: &str, value: &str| login.variables.iter().any(|(n, v)| *n == name && v == value);
        for (name, value) in [
            ("PGHOST", "db.example"),
            ("PGPORT", "6000"),
            ("PGUSER", "forester"),
            ("PGDATABASE", "wood"),
            ("PGPASSWORD", "p@ss/w"),
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", "/etc/ca.pem"),
        ] {
            assert!(has(name, value), "{name}");
        }
        assert_eq!(format!("{login:?}"), "Login(hidden)");
    }

    #[test]
    fn a_socket_is_a_host_that_begins_with_a_slash() {
        let options = PgConnectOptions::new_without_pgpass().socket("/run/pg").username("u").database("d");
        let login = Login::new(&options);
        assert!(login.variables.contains(&("PGHOST", "/run/pg".into())));
        assert_eq!(login.database(), "d");
    }
}
