//! Settings for the administrator: each is set by a flag or an environment variable.
//!
//! Each subcommand flattens only the settings that it needs: [`DatabaseSettings`], and for `serve`
//! and `demo` also [`ServeSettings`]. No secret appears in `Debug` output or, as a default taken from
//! the environment, in the help text.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use hyper::http::Uri;

use super::check_digit::mod10;
use crate::base::error::Invalid;
use crate::base::token::Token;
use crate::base::units::Text;

/// Where the data is stored.
#[derive(Args, Clone, Debug)]
pub struct DatabaseSettings {
    /// PostgreSQL server to use, as postgres://USER:PASSWORD@HOST:PORT/DATABASE. Without it, a
    /// private PostgreSQL is run in the data directory
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<DatabaseUrl>,

    /// Folder of the private PostgreSQL, the key files and the register; with a database URL only of the key
    /// files and the register [default: /var/lib/ormantrace for root, else ormantrace in the user's data
    /// folder (`$XDG_DATA_HOME` or ~/.local/share; on macOS ~/Library/Application Support)]
    #[arg(long, env = "ORMANTRACE_DATA_DIR", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,

    /// Connections to the database that requests share: 4 to 8 suit two processor cores
    #[arg(long, env = "ORMANTRACE_DATABASE_CONNECTIONS", value_name = "NUMBER", default_value_t = 8)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=500))]
    pub database_connections: u32,
}

impl DatabaseSettings {
    /// The private PostgreSQL in `data_dir`, with all other settings at their defaults.
    #[must_use]
    pub fn private(data_dir: impl Into<PathBuf>) -> Self {
        Self { database_url: None, data_dir: Some(data_dir.into()), database_connections: 8 }
    }

    /// The data directory as an absolute path: the one that was set, otherwise the default of this user.
    ///
    /// # Errors
    /// `no-data-dir` if none is set and the environment names no home folder.
    pub fn data_dir(&self) -> Result<PathBuf, Invalid> {
        let env = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let chosen = match &self.data_dir {
            Some(dir) => Some(dir.clone()),
            None => default_data_dir(rustix::process::geteuid().is_root(), cfg!(target_os = "macos"), env),
        };
        chosen.and_then(|dir| std::path::absolute(dir).ok()).ok_or_else(|| {
            Invalid::new(
                "no-data-dir",
                "There is no home folder to store the data in: set a folder with --data-dir.",
            )
        })
    }
}

/// The default data directory of this user: by the XDG base directory specification, in Apple's
/// `Application Support`, and for root in `/var/lib` (file hierarchy standard).
fn default_data_dir(root: bool, mac: bool, env: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if root {
        return Some(PathBuf::from("/var/lib/ormantrace"));
    }
    let absolute = |name| env(name).filter(|path| path.is_absolute());
    let base = match absolute("XDG_DATA_HOME") {
        Some(base) => base,
        None if mac => absolute("HOME")?.join("Library/Application Support"),
        None => absolute("HOME")?.join(".local/share"),
    };
    Some(base.join("ormantrace"))
}

/// How the server listens, and its public identity.
#[derive(Args, Clone, Debug)]
pub struct ServeSettings {
    /// Address and port to listen on; port 0 takes a free port and logs it
    #[arg(long, env = "ORMANTRACE_LISTEN", value_name = "ADDRESS:PORT")]
    #[arg(default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080))]
    pub listen: SocketAddr,

    /// Public address of this server, for labels and links, such as <https://wood.example>
    /// [default: http:// and the listen address]
    #[arg(long, env = "ORMANTRACE_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<PublicUrl>,

    /// How a buyer reaches the forest inspectorate, such as a telephone number or address; the verification
    /// page shows it [default: not shown]
    #[arg(long, env = "ORMANTRACE_INSPECTORATE_CONTACT", value_name = "TEXT", value_parser = contact)]
    pub inspectorate_contact: Option<String>,

    /// The operator's first token, 32 to 1,024 visible ASCII characters. Without it, a random one is
    /// made for an empty database and printed once; ignored once the operator has keys
    #[arg(long, env = "ORMANTRACE_OPERATOR_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub operator_token: Option<OperatorToken>,

    /// Name of the operator's organisation, which the first start creates; needs --operator-bin
    /// [default: that of the demonstration]
    #[arg(long, env = "ORMANTRACE_OPERATOR_NAME", value_name = "TEXT", value_parser = organization_name)]
    #[arg(requires = "operator_bin")]
    pub operator_name: Option<String>,

    /// BIN of the operator's organisation, which the first start creates; needs --operator-name
    /// [default: that of the demonstration, which no real organisation has]
    #[arg(long, env = "ORMANTRACE_OPERATOR_BIN", value_name = "12 DIGITS", requires = "operator_name")]
    pub operator_bin: Option<String>,

    /// Make seals although their codes lead to this machine only (--public-url) or are of the demonstration
    /// (--gtin): for trials
    #[arg(long, env = "ORMANTRACE_ALLOW_DEMONSTRATION_CODES")]
    pub allow_demonstration_codes: bool,

    /// GTIN of the marking codes that this server makes. The default is from GS1's demonstration
    /// range; a real GTIN must be registered with GS1
    #[arg(long, env = "ORMANTRACE_GTIN", value_name = "14 DIGITS", default_value = DEMONSTRATION_GTIN)]
    #[arg(value_parser = gtin)]
    pub gtin: String,
}

/// One line of text for a page.
fn contact(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 200 || text.chars().any(char::is_control) {
        return Err("a contact is one line of 1 to 200 characters".to_owned());
    }
    Ok(text.to_owned())
}

/// The name of an organisation.
fn organization_name(text: &str) -> Result<String, String> {
    Text::<200>::parse(text).map(|name| name.as_str().to_owned()).map_err(|error| error.detail.into_owned())
}

/// A GTIN under prefix 952, which GS1 reserves for demonstrations and examples.
pub const DEMONSTRATION_GTIN: &str = "09521234543213";

/// All settings of `serve` and `demo`.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Where the data is stored.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// How the server listens.
    #[command(flatten)]
    pub serve: ServeSettings,
}

/// The URL of a PostgreSQL server, with its password; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The complete URL. It may contain a password: never print it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for DatabaseUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let scheme = text.split("://").next().unwrap_or_default();
        if !matches!(scheme, "postgres" | "postgresql") || scheme == text {
            return Err(Invalid::new(
                "bad-database-url",
                "A database URL begins with postgres:// (only PostgreSQL is supported).",
            ));
        }
        text.parse::<sqlx::postgres::PgConnectOptions>().map_err(|_| {
            Invalid::new(
                "bad-database-url",
                "Not a database URL; the form is postgres://USER:PASSWORD@HOST:PORT/DATABASE.",
            )
        })?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(hidden)")
    }
}

/// The operator's first token; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct OperatorToken(Token);

impl OperatorToken {
    /// The token itself: never print it.
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.0
    }
}

impl FromStr for OperatorToken {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || {
            Invalid::new(
                "bad-operator-token",
                "An operator token has 32 or more visible ASCII characters (at most 1,024) and no spaces.",
            )
        };
        Token::from_text(text).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorToken(hidden)")
    }
}

/// The public address of this server: http or https and a host. It has no path, because pages, redirects and
/// labels lead to addresses from the root of the host. It never ends with a slash, so that `{url}/01/…` is a
/// valid link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// The address as text, without a slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PublicUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || {
            Invalid::new(
                "bad-public-url",
                "A public URL is http:// or https:// and a host, without a user, a path, a query or a fragment: \
                 the pages are at the root of the host.",
            )
        };
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        let host = uri.authority().ok_or_else(invalid)?;
        let plain = matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.query().is_none()
            && matches!(uri.path(), "" | "/")
            && !host.host().is_empty()
            && !host.as_str().contains('@')
            && !text.contains('#');
        if plain { Ok(Self(text.trim_end_matches('/').to_owned())) } else { Err(invalid()) }
    }
}

/// Fourteen digits, the last of them the check digit.
fn gtin(text: &str) -> Result<String, Invalid> {
    let digits = text.len() == 14 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<u64>().ok().filter(|number| digits && mod10(number / 10) == number % 10);
    let invalid = || Invalid::new("bad-gtin", "A GTIN has 14 digits, the last of them its check digit.");
    number.map(|_| text.to_owned()).ok_or_else(invalid)
}

/// `path` as text for a message, as the administrator would type it.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::token::MAX_TOKEN_LENGTH;
    use clap::{Command, FromArgMatches};

    fn parse(args: &[&str]) -> Result<Settings, clap::Error> {
        let command = Settings::augment_args(Command::new("ormantrace"));
        let args = std::iter::once(&"ormantrace").chain(args);
        command.try_get_matches_from(args).map(|m| Settings::from_arg_matches(&m).expect("parsed"))
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let settings = parse(&[]).expect("nothing is required");
        assert_eq!(settings.serve.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(gtin(&settings.serve.gtin).as_deref(), Ok(DEMONSTRATION_GTIN));
        assert!(settings.serve.public_url.is_none());
    }

    #[test]
    fn secrets_stay_out_of_debug_output() {
        let token = "felled-in-the-winter-of-2026-at-Semei";
        let settings = parse(&["--operator-token", token, "--database-url", "postgres://u:birch@h/d"])
            .expect("both are right");
        let shown = format!("{settings:?}");
        assert!(!shown.contains("felled") && !shown.contains("birch"), "{shown}");
        assert_eq!(settings.serve.operator_token.expect("given").token().expose(), token);
    }

    #[test]
    fn every_flag_has_its_twin() {
        let command = Settings::augment_args(Command::new("ormantrace"));
        for arg in command.get_arguments().filter(|a| a.get_id() != "help") {
            let twin = arg.get_env().and_then(|e| e.to_str()).expect("an environment twin");
            assert!(twin == "DATABASE_URL" || twin.starts_with("ORMANTRACE_"), "{twin}");
        }
    }

    #[test]
    fn tokens_too_short_or_spaced_are_refused() {
        for bad in [
            "",
            "short",
            &"x".repeat(31),
            &format!("{} {}", "x".repeat(20), "y".repeat(20)),
            &"ағаш".repeat(9),
        ] {
            assert!(bad.parse::<OperatorToken>().is_err(), "{bad}");
        }
        assert!("x".repeat(32).parse::<OperatorToken>().is_ok());
        assert!("x".repeat(MAX_TOKEN_LENGTH).parse::<OperatorToken>().is_ok());
        assert!("x".repeat(MAX_TOKEN_LENGTH + 1).parse::<OperatorToken>().is_err());
    }

    #[test]
    fn public_urls() {
        for (text, expected) in [
            ("https://wood.example", "https://wood.example"),
            ("https://wood.example/", "https://wood.example"),
            ("http://10.0.0.7:8080/", "http://10.0.0.7:8080"),
        ] {
            assert_eq!(text.parse::<PublicUrl>().expect(text).as_str(), expected);
        }
        for bad in [
            "",
            "wood.example",
            "/trace",
            "ftp://wood.example",
            "https://a@wood.example",
            "https://w.example?x",
            "https://w.example#x",
            "https://w ood",
            "https://wood.example/les",
            "http://10.0.0.7:8080/trace/",
            "https://wood.example//",
        ] {
            assert!(bad.parse::<PublicUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn database_urls() {
        assert!("postgres://wood@localhost/trace".parse::<DatabaseUrl>().is_ok());
        assert!("postgresql:///trace?host=/run/postgresql".parse::<DatabaseUrl>().is_ok());
        for bad in ["", "postgres", "mysql://h/d", "postgres://h:port/d"] {
            let refusal = bad.parse::<DatabaseUrl>().expect_err(bad);
            assert_eq!(refusal.code, "bad-database-url");
        }
    }

    #[test]
    fn a_gtin_with_a_wrong_digit_is_refused() {
        for bad in
            ["", "09521234543214", "9521234543213", "095212345432133", "0952123454321x", "٠٩٥٢١٢٣٤٥٤٣٢١٣"]
        {
            assert!(gtin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn data_folders_by_user_and_system() {
        let env = |pairs: &'static [(&str, &str)]| {
            move |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| PathBuf::from(v))
        };
        let home = &[("HOME", "/home/saule")];
        let xdg = &[("HOME", "/home/saule"), ("XDG_DATA_HOME", "/data")];
        let relative = &[("HOME", "/home/saule"), ("XDG_DATA_HOME", "data")];
        let dir = |root, mac, env: &dyn Fn(&str) -> Option<PathBuf>| {
            default_data_dir(root, mac, env).map(|d| shown(&d))
        };
        assert_eq!(dir(true, false, &env(xdg)).as_deref(), Some("/var/lib/ormantrace"));
        assert_eq!(dir(false, false, &env(home)).as_deref(), Some("/home/saule/.local/share/ormantrace"));
        assert_eq!(dir(false, false, &env(xdg)).as_deref(), Some("/data/ormantrace"));
        assert_eq!(
            dir(false, false, &env(relative)).as_deref(),
            Some("/home/saule/.local/share/ormantrace"),
            "the specification ignores a relative path"
        );
        assert_eq!(
            dir(false, true, &env(home)).as_deref(),
            Some("/home/saule/Library/Application Support/ormantrace")
        );
        assert_eq!(dir(false, false, &env(&[])), None);
    }
}
