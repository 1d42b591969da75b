//! Finding PostgreSQL's programs on this machine.
//!
//! `postgres` and `initdb` must come from one folder. Folders are tried in this order: `PG_BINDIR`
//! (if it is set, nothing else), PATH, `pg_config --bindir`, and the folders that the packages of
//! various systems use. A client program (`pg_dump`, `pg_restore`) is searched in the same folders.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest supported major version.
pub const OLDEST: u32 = 14;

/// A folder with PostgreSQL's server programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The folder, symbolic links resolved.
    pub bindir: PathBuf,
    /// Major version, such as 15.
    pub major: u32,
}

/// Why no usable programs were found. `Display` is the complete message for the administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoPrograms {
    /// The major version that an existing data directory requires.
    required: Option<u32>,
    /// Installed versions that are not usable.
    unusable: Vec<Programs>,
    /// `PG_BINDIR`, if it was set, so that no other folder was searched.
    bindir: Option<PathBuf>,
    /// The install command of this system.
    install: String,
}

impl Programs {
    /// Finds the programs on this machine: those of the `required` major version (that of an existing
    /// data directory), or of any version from [`OLDEST`].
    ///
    /// # Errors
    /// [`NoPrograms`], a message with the install command.
    pub fn find(required: Option<u32>) -> Result<Self, NoPrograms> {
        SearchPaths::of_this_machine().find(required)
    }

    /// The path of one program.
    #[must_use]
    pub fn path(&self, program: &str) -> PathBuf {
        self.bindir.join(program)
    }

    /// The programs in `dir`, if it has `postgres` and `initdb`, and `postgres` prints its version.
    fn in_folder(dir: &Path) -> Option<Self> {
        let postgres = std::fs::canonicalize(dir.join("postgres")).ok()?;
        let bindir = postgres.parent()?.to_path_buf();
        if !bindir.join("initdb").is_file() {
            return None;
        }
        let output = Command::new(&postgres).arg("--version").stdin(Stdio::null()).output().ok()?;
        let major = major(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self { bindir, major })
    }
}

/// A client program of PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientProgram {
    /// Its name.
    pub name: &'static str,
    /// Its file.
    pub path: PathBuf,
    /// Its major version.
    pub major: u32,
}

/// Why a client program was not found. `Display` is the complete message for the administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoClient {
    name: &'static str,
    least: u32,
    bindir: Option<PathBuf>,
}

impl ClientProgram {
    /// Finds the program in version `least` or later: an older `pg_dump` refuses a newer server, and an
    /// older `pg_restore` a newer dump.
    ///
    /// # Errors
    /// [`NoClient`]; its message is one sentence.
    pub fn find(name: &'static str, least: u32) -> Result<Self, NoClient> {
        SearchPaths::of_this_machine().find_client(name, least)
    }

    fn in_folder(name: &'static str, dir: &Path) -> Option<Self> {
        let path = dir.join(name);
        if !path.is_file() {
            return None;
        }
        let output = Command::new(&path).arg("--version").stdin(Stdio::null()).output().ok()?;
        let major = major(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self { name, path, major })
    }
}

impl std::fmt::Display for NoClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, least, bindir } = self;
        let place = match bindir {
            Some(dir) => format!("in {}, the folder of PG_BINDIR", dir.display()),
            None => "on this machine".to_owned(),
        };
        write!(
            f,
            "{name} of PostgreSQL {least} or later is needed and was not found {place}: install PostgreSQL's client \
             programs, or set PG_BINDIR to their folder."
        )
    }
}

impl std::error::Error for NoClient {}

/// The major version in the output of `postgres --version`, such as `postgres (PostgreSQL) 15.8 (Debian …)`.
fn major(output: &str) -> Option<u32> {
    let number = output.split_once("(PostgreSQL)")?.1.trim_start();
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Where to look: the relevant part of the environment, as a value so that tests can replace it.
struct SearchPaths {
    bindir: Option<PathBuf>,
    path: Option<OsString>,
    /// Patterns with at most one `*` per component.
    usual: &'static [&'static str],
    os_release: String,
    mac: bool,
}

/// Where packages put the programs: Debian and Ubuntu; the PostgreSQL project's RPMs; SUSE;
/// Alpine; Gentoo; Arch, Fedora and built from source; Homebrew on both kinds of Mac; Postgres.app.
const USUAL: &[&str] = &[
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/lib/postgresql*/bin",
    "/usr/libexec/postgresql*",
    "/usr/lib64/postgresql-*/bin",
    "/usr/bin",
    "/usr/local/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/opt/homebrew/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
];

impl SearchPaths {
    fn of_this_machine() -> Self {
        let os_release = std::fs::read_to_string("/etc/os-release")
            .or_else(|_| std::fs::read_to_string("/usr/lib/os-release"))
            .unwrap_or_default();
        Self {
            bindir: std::env::var_os("PG_BINDIR").filter(|d| !d.is_empty()).map(PathBuf::from),
            path: std::env::var_os("PATH"),
            usual: USUAL,
            os_release,
            mac: cfg!(target_os = "macos"),
        }
    }

    fn find(&self, required: Option<u32>) -> Result<Programs, NoPrograms> {
        let mut unusable: Vec<Programs> = Vec::new();
        for dir in self.folders() {
            let Some(programs) = Programs::in_folder(&dir) else { continue };
            if required.map_or(programs.major >= OLDEST, |required| programs.major == required) {
                return Ok(programs);
            }
            if !unusable.contains(&programs) {
                unusable.push(programs);
            }
        }
        let install = install_line(&self.os_release, self.mac, required);
        Err(NoPrograms { required, unusable, bindir: self.bindir.clone(), install })
    }

    fn find_client(&self, name: &'static str, least: u32) -> Result<ClientProgram, NoClient> {
        let mut found = self.folders().filter_map(|dir| ClientProgram::in_folder(name, &dir));
        let found = found.find(|program| program.major >= least);
        found.ok_or_else(|| NoClient { name, least, bindir: self.bindir.clone() })
    }

    /// The folders to search. Lazy, because checking a folder may start a process or two.
    fn folders(&self) -> Box<dyn Iterator<Item = PathBuf> + '_> {
        if let Some(dir) = &self.bindir {
            return Box::new(std::iter::once(dir.clone()));
        }
        let path = self.path.iter().flat_map(std::env::split_paths).filter(|d| d.is_absolute());
        let configured = std::iter::once_with(|| self.configured()).flatten();
        let usual = self.usual.iter().flat_map(|pattern| expand(pattern));
        Box::new(path.chain(configured).chain(usual))
    }

    /// The folder that `pg_config` in PATH prints; Debian's prints that of the newest installed version.
    fn configured(&self) -> Option<PathBuf> {
        let pg_config = std::env::split_paths(self.path.as_ref()?)
            .map(|dir| dir.join("pg_config"))
            .find(|program| program.is_file())?;
        let output = Command::new(pg_config).arg("--bindir").stdin(Stdio::null()).output().ok()?;
        let dir = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim_end());
        dir.is_absolute().then_some(dir)
    }
}

/// The folders that match a pattern, the highest number first (`16` before `9.6`).
fn expand(pattern: &str) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let Some((before, after)) = part.split_once('*') else {
            for dir in &mut folders {
                dir.push(part);
            }
            continue;
        };
        let mut next: Vec<(u32, PathBuf)> = Vec::new();
        for entry in folders.iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten().flatten() {
            let name = entry.file_name();
            let middle = name.to_str().and_then(|n| n.strip_prefix(before)?.strip_suffix(after));
            if let Some(middle) = middle {
                let number: String = middle.chars().take_while(char::is_ascii_digit).collect();
                next.push((number.parse().unwrap_or(0), entry.path()));
            }
        }
        next.sort_by(|a, b| b.cmp(a));
        folders = next.into_iter().map(|(_, path)| path).collect();
    }
    folders.retain(|dir| dir.is_dir());
    folders
}

/// The command that installs the PostgreSQL server on this system.
fn install_line(os_release: &str, mac: bool, required: Option<u32>) -> String {
    let field = |name: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches(['"', '\'']).to_lowercase()
    };
    let family = format!("{} {}", field("ID"), field("ID_LIKE"));
    let is = |names: &[&str]| family.split_whitespace().any(|word| names.contains(&word));
    let version = required.map(|v| v.to_string()).unwrap_or_default();
    let dashed = required.map(|v| format!("-{v}")).unwrap_or_default();
    if mac {
        let version = required.unwrap_or(17);
        return format!("brew install postgresql@{version}");
    }
    if is(&["debian", "ubuntu"]) {
        return format!("apt-get install postgresql{dashed}");
    }
    if is(&["alpine"]) {
        return format!("apk add postgresql{}", if version.is_empty() { "16" } else { &version });
    }
    if is(&["arch"]) {
        return "pacman -S postgresql".to_owned();
    }
    if is(&["suse", "opensuse", "sles"]) || family.contains("suse") {
        return format!("zypper install postgresql{version}-server");
    }
    if is(&["fedora", "rhel", "centos", "rocky", "almalinux", "amzn"]) {
        return "dnf install postgresql-server".to_owned();
    }
    "install the PostgreSQL server with this system's package manager".to_owned()
}

impl std::fmt::Display for NoPrograms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut installed = String::new();
        for (n, one) in self.unusable.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(installed, "{comma}{} in {}", one.major, one.bindir.display())?;
        }
        match (self.required, self.unusable.is_empty()) {
            (Some(required), true) => write!(
                f,
                "The data directory was made by PostgreSQL {required}, and no PostgreSQL is found on this machine."
            )?,
            (Some(required), false) => write!(
                f,
                "The data directory was made by PostgreSQL {required}, and that version is not installed here \
                 (found: {installed})."
            )?,
            (None, true) => f.write_str("No PostgreSQL is found on this machine.")?,
            (None, false) => write!(
                f,
                "The PostgreSQL on this machine is too old: {OLDEST} or later is required (found: {installed})."
            )?,
        }
        if let Some(dir) = &self.bindir {
            write!(f, " Only {} was searched, because PG_BINDIR is set.", dir.display())?;
        }
        write!(
            f,
            "\nOne of these helps:\n  \
             - install it:                    {}\n  \
             - use a running server:          DATABASE_URL=postgres://USER:PASSWORD@HOST/DATABASE\n  \
             - run both in containers:        docker compose up",
            self.install
        )
    }
}

impl std::error::Error for NoPrograms {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A folder with a `postgres` that prints a version.
    fn fake(root: &Path, name: &str, version: &str) -> PathBuf {
        let dir = root.join(name);
        std::fs::create_dir_all(&dir).expect("a folder");
        for program in ["postgres", "initdb"] {
            let path = dir.join(program);
            std::fs::write(&path, format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n"))
                .expect("a script");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
        }
        dir
    }

    fn search_paths(path: &[&Path]) -> SearchPaths {
        SearchPaths {
            bindir: None,
            path: Some(std::env::join_paths(path).expect("a PATH")),
            usual: &[],
            os_release: "ID=debian\n".to_owned(),
            mac: false,
        }
    }

    #[test]
    fn versions_as_they_are_said() {
        assert_eq!(major("postgres (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("postgres (PostgreSQL) 9.6.24"), Some(9));
        assert_eq!(major("postgres (EnterpriseDB) 15"), None);
        assert_eq!(major(""), None);
    }

    #[test]
    fn the_data_directory_decides_the_version() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path().canonicalize().expect("real");
        let (old, mid, new) =
            (fake(&root, "13", "13.9"), fake(&root, "15", "15.8"), fake(&root, "17", "17.2"));
        let search_paths = search_paths(&[&old, &new, &mid]);
        assert_eq!(search_paths.find(None).expect("one").bindir, new, "the first of PATH that is new enough");
        assert_eq!(search_paths.find(Some(15)).expect("one").bindir, mid);
        let refusal = search_paths.find(Some(16)).expect_err("not there").to_string();
        assert!(refusal.contains("made by PostgreSQL 16") && refusal.contains("17 in"), "{refusal}");
        assert!(refusal.contains("apt-get install postgresql-16"), "{refusal}");
    }

    #[test]
    fn pg_bindir_is_the_only_place_looked_into() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path().canonicalize().expect("real");
        let new = fake(&root, "17", "17.2");
        let mut search_paths = search_paths(&[&new]);
        search_paths.bindir = Some(root.join("nowhere"));
        let refusal = search_paths.find(None).expect_err("nothing there").to_string();
        assert!(refusal.contains("PG_BINDIR"), "{refusal}");
    }

    #[test]
    fn a_client_program_is_at_least_as_new_as_its_server() {
        let root = tempfile::tempdir().expect("a folder");
        let (old, new) = (fake(root.path(), "14", "14.9"), fake(root.path(), "16", "16.2"));
        std::fs::rename(new.join("postgres"), new.join("pg_dump")).expect("renamed");
        std::fs::copy(old.join("postgres"), old.join("pg_dump")).expect("copied");
        let mut search_paths = search_paths(&[&old, &new]);
        assert_eq!(search_paths.find_client("pg_dump", 14).expect("one").path, old.join("pg_dump"));
        assert_eq!(search_paths.find_client("pg_dump", 15).expect("one").path, new.join("pg_dump"));
        let refusal = search_paths.find_client("pg_dump", 17).expect_err("none").to_string();
        assert!(refusal.starts_with("pg_dump of PostgreSQL 17 or later is needed"), "{refusal}");
        search_paths.bindir = Some(root.path().join("nowhere"));
        let refusal = search_paths.find_client("pg_dump", 14).expect_err("none").to_string();
        assert!(refusal.contains("the folder of PG_BINDIR"), "{refusal}");
    }

    #[test]
    fn too_old_is_said_so() {
        let root = tempfile::tempdir().expect("a folder");
        let old = fake(root.path(), "12", "12.20");
        let refusal = search_paths(&[&old]).find(None).expect_err("too old").to_string();
        assert!(refusal.contains("too old: 14 or later"), "{refusal}");
    }

    #[test]
    fn patterns_give_the_highest_version_first() {
        let root = tempfile::tempdir().expect("a folder");
        for name in ["9.6", "14", "16", "other"] {
            std::fs::create_dir_all(root.path().join(name).join("bin")).expect("a folder");
        }
        std::fs::create_dir(root.path().join("17")).expect("a folder without bin");
        let folders = expand(&format!("{}/*/bin", root.path().display()));
        let names: Vec<_> = folders.iter().filter_map(|d| d.parent()?.file_name()?.to_str()).collect();
        assert_eq!(names, ["16", "14", "9.6", "other"]);
    }

    #[test]
    fn every_system_has_its_line() {
        for (os, line) in [
            ("ID=debian", "apt-get install postgresql"),
            ("NAME=x\nID=linuxmint\nID_LIKE=\"ubuntu debian\"", "apt-get install postgresql"),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"", "dnf install postgresql-server"),
            ("ID=fedora", "dnf install postgresql-server"),
            ("ID=alpine", "apk add postgresql16"),
            ("ID=arch", "pacman -S postgresql"),
            ("ID=\"opensuse-tumbleweed\"", "zypper install postgresql-server"),
        ] {
            assert_eq!(install_line(os, false, None), line);
        }
        assert_eq!(install_line("", true, Some(15)), "brew install postgresql@15");
        assert!(install_line("", false, None).contains("package manager"));
    }

    #[test]
    fn the_message_names_all_three_ways() {
        let root = tempfile::tempdir().expect("a folder");
        let message = search_paths(&[root.path()]).find(None).expect_err("none").to_string();
        for way in ["apt-get install", "DATABASE_URL=", "docker compose up"] {
            assert!(message.contains(way), "{message}");
        }
    }
}
