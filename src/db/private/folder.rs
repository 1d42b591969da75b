//! The data directory: its layout, and the owner of each part.
//!
//! ```text
//! DATA/            0700
//!   lock           held by the one process that runs the cluster
//!   passwords/     0700, of this program's user: one file per role, 0600
//!   postgres/      0700, the cluster (PostgreSQL's own data directory)
//!   run/           0700, the Unix socket
//!   restoring/     only during a restore
//! ```
//! PostgreSQL refuses to run as root. If this program runs as root, the cluster and the socket belong
//! to the system user `postgres`, or `nobody`, and PostgreSQL's programs run as that user; root keeps
//! the passwords.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::base::config::shown;
use crate::db::errors::OpenError;
use crate::db::scram::Verifier;

/// The port in the name of the socket. It can be fixed, because the server listens on no network.
pub const PORT: u16 = 5432;

/// The longest path of a Unix socket, in bytes, below the limit of every system (Linux 107, macOS 103).
const MAX_SOCKET_PATH: usize = 100;

/// The system user that PostgreSQL runs as if this program runs as root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Account {
    uid: u32,
    gid: u32,
}

/// An existing data directory.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
    account: Option<Account>,
}

impl Folder {
    /// Opens the data directory, creating it and its folders if they are missing.
    ///
    /// # Errors
    /// A sentence: no permission, or the user that PostgreSQL must run as cannot enter it.
    pub fn open(data_dir: &Path) -> Result<Self, OpenError> {
        let made = make(data_dir).map_err(|e| failed("cannot be made", data_dir, &e))?;
        let root = fs::canonicalize(data_dir).map_err(|e| failed("cannot be opened", data_dir, &e))?;
        let mut folder = Self { root, account: None };
        if rustix::process::geteuid().is_root() {
            folder.account = Some(folder.find_account()?);
            folder.hand_over(made)?;
        }
        make(&folder.passwords_dir()).map_err(|e| failed("cannot be made", &folder.passwords_dir(), &e))?;
        folder.make_for_postgres(&folder.run()).map_err(|e| failed("cannot be made", &folder.run(), &e))?;
        Ok(folder)
    }

    /// Opens a data directory that has a cluster, and makes none. Only a missing folder of the socket is
    /// made.
    ///
    /// # Errors
    /// A sentence: there is no such directory, it has no database, or it may not be entered.
    pub fn existing(data_dir: &Path) -> Result<Self, OpenError> {
        let root = match fs::canonicalize(data_dir) {
            Ok(root) => root,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Self { root: data_dir.to_path_buf(), account: None }.no_database());
            }
            Err(error) => return Err(failed("cannot be opened", data_dir, &error)),
        };
        let mut folder = Self { root, account: None };
        match fs::metadata(folder.cluster().join("PG_VERSION")) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(folder.no_database());
            }
            Err(error) => return Err(failed("cannot be read", &folder.cluster(), &error)),
        }
        if rustix::process::geteuid().is_root() {
            folder.account = Some(folder.find_account()?);
        }
        folder.make_for_postgres(&folder.run()).map_err(|e| failed("cannot be made", &folder.run(), &e))?;
        Ok(folder)
    }

    /// The error of a directory without a cluster.
    pub(in crate::db) fn no_database(&self) -> OpenError {
        OpenError::Folder(format!(
            "{} has no database of Ormantrace, and none is made: check --data-dir.",
            shown(&self.root)
        ))
    }

    /// The data directory itself, symbolic links resolved.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> PathBuf {
        self.root.join("postgres")
    }

    /// A cluster that is being created; it is renamed to [`Folder::cluster`] when it is complete.
    #[must_use]
    pub fn unfinished(&self) -> PathBuf {
        self.root.join("postgres.new")
    }

    /// A cluster that a restore is filling, in a data directory of its own; moved into place when complete.
    #[must_use]
    pub fn restoring(&self) -> PathBuf {
        self.root.join("restoring")
    }

    /// The lock file: the process that holds its lock runs the cluster.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Output of the server before its own log files begin.
    #[must_use]
    pub fn start_messages(&self) -> PathBuf {
        self.root.join("postgres-start.txt")
    }

    fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    fn passwords_dir(&self) -> PathBuf {
        self.root.join("passwords")
    }

    /// The folder of the socket: in the data directory or, if that path is too long for a socket's
    /// address, a short folder named by a hash of the data directory's path.
    ///
    /// # Errors
    /// A sentence, if the short folder cannot be created, or belongs to another user.
    pub fn socket_dir(&self) -> Result<PathBuf, OpenError> {
        let fits = |dir: &Path| dir.as_os_str().len() + format!("/.s.PGSQL.{PORT}").len() <= MAX_SOCKET_PATH;
        if fits(&self.run()) {
            return Ok(self.run());
        }
        let digest = Sha256::digest(self.root.as_os_str().as_encoded_bytes());
        let name = format!("ormantrace-{}", hex::encode(&digest[..8]));
        let mut bases = Vec::new();
        if self.account.is_none() {
            bases.extend(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|d| d.is_absolute()));
        }
        bases.push(PathBuf::from("/tmp"));
        let Some(dir) = bases.iter().map(|base| base.join(&name)).find(|dir| fits(dir) && make(dir).is_ok())
        else {
            return Err(OpenError::Folder(format!(
                "No short folder can be made for the socket of {}.",
                shown(&self.root)
            )));
        };
        // Every user may write to `/tmp`, so another user may have created the folder first.
        let metadata = fs::symlink_metadata(&dir).map_err(|e| failed("cannot be opened", &dir, &e))?;
        let own_uid = rustix::process::geteuid().as_raw();
        let owner = self.account.map_or(own_uid, |account| account.uid);
        if !metadata.is_dir()
            || (metadata.uid() != own_uid && metadata.uid() != owner)
            || metadata.mode() & 0o077 != 0
        {
            return Err(OpenError::Folder(format!(
                "{} is needed for the database's socket, but it is not a private folder of this user: remove \
                 it, or choose a data directory with a shorter path.",
                shown(&dir)
            )));
        }
        self.give(&dir).map_err(|e| failed("cannot be given to PostgreSQL", &dir, &e))?;
        Ok(dir)
    }

    /// Removes a short folder that was only for the socket, after the server has stopped.
    pub(in crate::db) fn remove_socket_dir(&self, dir: &Path) {
        if dir != self.run() {
            // A folder that does not exist or contains other files cannot be removed; this error is ignored.
            let _ = fs::remove_dir(dir);
        }
    }

    /// The password of a role; if it is missing and `make` is set, creates it.
    ///
    /// # Errors
    /// A sentence: the file is missing, or may not be read.
    pub fn password(&self, role: &str, make: bool) -> Result<String, OpenError> {
        let path = self.passwords_dir().join(role);
        match fs::read_to_string(&path) {
            Ok(password) if !password.trim().is_empty() => return Ok(password.trim().to_owned()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("cannot be read", &path, &error));
            }
            _ if !make => {
                return Err(OpenError::Folder(format!(
                    "{} is missing, and without it the database of {} cannot be opened: restore a backup.",
                    shown(&path),
                    shown(&self.root)
                )));
            }
            _ => {}
        }
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes)
            .map_err(|e| OpenError::Folder(format!("The system provides no random bytes: {e}.")))?;
        let password = hex::encode(bytes);
        let new = path.with_extension("new");
        write_private(&new, &password)
            .and_then(|()| fs::rename(&new, &path))
            .and_then(|()| sync_dir(&self.passwords_dir()))
            .map_err(|e| failed("cannot be written", &path, &e))?;
        Ok(password)
    }

    /// The SCRAM verifier of a role's password, for PostgreSQL to store. Creates a missing password.
    ///
    /// # Errors
    /// As [`Folder::password`].
    pub(in crate::db) fn verifier(&self, role: &str) -> Result<Verifier, OpenError> {
        Ok(Verifier::new(&self.password(role, true)?, random()?))
    }

    /// A command that runs as PostgreSQL's user, without this process's environment, which may
    /// contain the operator's token or a database password.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir("/").stdin(Stdio::null());
        // A PostgreSQL outside the system's folders needs these variables to run.
        for name in ["PATH", "LD_LIBRARY_PATH", "LOCALE_ARCHIVE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("LC_ALL", "C").env("TZ", "UTC");
        if let Some(Account { uid, gid }) = self.account {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Writes a file for PostgreSQL that only its user can read.
    pub(in crate::db) fn write_for_postgres(&self, path: &Path, text: &str) -> io::Result<()> {
        write_private(path, text)?;
        self.give(path)
    }

    /// Creates a folder for PostgreSQL that only its user can enter.
    pub(in crate::db) fn make_for_postgres(&self, dir: &Path) -> io::Result<()> {
        make(dir)?;
        self.give(dir)
    }

    /// Makes PostgreSQL's user the owner of `path`.
    fn give(&self, path: &Path) -> io::Result<()> {
        match self.account {
            Some(Account { uid, gid }) => std::os::unix::fs::lchown(path, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }

    /// The owner of an existing cluster; otherwise `postgres`, otherwise `nobody`.
    fn find_account(&self) -> Result<Account, OpenError> {
        if let Ok(cluster) = fs::metadata(self.cluster()) {
            if cluster.uid() == 0 {
                return Err(OpenError::Folder(format!(
                    "{} belongs to root, and PostgreSQL does not run as root: give it to the user postgres \
                     (chown -R postgres {0}).",
                    shown(&self.cluster())
                )));
            }
            return Ok(Account { uid: cluster.uid(), gid: cluster.gid() });
        }
        let account = ["postgres", "nobody"].into_iter().find_map(Account::named);
        account.ok_or_else(|| {
            OpenError::Folder(
                "PostgreSQL does not run as root, and this system has neither a user postgres nor nobody: \
                 start as another user."
                    .to_owned(),
            )
        })
    }

    /// Lets PostgreSQL's user enter the data directory, by changing the directory's owner. Does so
    /// only if the directory is new, or belongs to root and contains only files of this program.
    fn hand_over(&self, made: bool) -> Result<(), OpenError> {
        // PostgreSQL has run in this directory before, so nothing is changed. If PostgreSQL can no longer
        // enter the directory, it reports that itself.
        if self.cluster().exists() {
            return Ok(());
        }
        if made || (!self.enterable() && self.is_ours()) {
            self.give(&self.root).map_err(|e| failed("cannot be given to PostgreSQL", &self.root, &e))?;
        }
        if self.enterable() {
            return Ok(());
        }
        Err(OpenError::Folder(format!(
            "{} cannot be entered by the user that PostgreSQL runs as (it does not run as root); choose another \
             --data-dir, such as one under /var/lib.",
            shown(&self.root)
        )))
    }

    /// Whether PostgreSQL's user can enter the directory. A process of this user tries it, because comparing
    /// modes is not enough: access lists and mount options count, too.
    fn enterable(&self) -> bool {
        let mut try_it = self.command(Path::new("/bin/sh"));
        try_it.args(["-c", "cd \"$0\""]).arg(&self.root).stdout(Stdio::null()).stderr(Stdio::null());
        try_it.status().is_ok_and(|status| status.success())
    }

    fn is_ours(&self) -> bool {
        let known =
            ["lock", "passwords", "postgres", "postgres.new", "postgres-start.txt", "run", "restoring"];
        let root_owns = fs::metadata(&self.root).is_ok_and(|m| m.uid() == 0);
        root_owns
            && fs::read_dir(&self.root).is_ok_and(|mut entries| {
                entries.all(|entry| entry.is_ok_and(|e| known.iter().any(|name| e.file_name() == *name)))
            })
    }
}

impl Account {
    /// Looks the user up with `id`, because not all users are in `/etc/passwd`.
    fn named(name: &str) -> Option<Self> {
        let id = |what: &str| -> Option<u32> {
            let output = Command::new("id").args([what, name]).stdin(Stdio::null()).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        };
        let account = Self { uid: id("-u")?, gid: id("-g")? };
        (account.uid != 0).then_some(account)
    }
}

fn random<const N: usize>() -> Result<[u8; N], OpenError> {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(OpenError::Folder(format!("The system provides no random bytes: {error}."))),
    }
}

/// Creates `dir` with mode 0700, and its parents with the default mode. Returns whether `dir` is new.
fn make(dir: &Path) -> io::Result<bool> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(false),
        Err(error) => Err(error),
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Syncs `dir`, so that a rename in it survives a power cut.
pub(in crate::db) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn failed(what: &str, path: &Path, error: &io::Error) -> OpenError {
    OpenError::Folder(format!("{} {what}: {error}.", shown(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").mode() & 0o777
    }

    #[test]
    fn everything_is_for_one_user_alone() {
        let parent = tempfile::tempdir_in("/tmp").expect("a folder");
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o755)).expect("mode");
        let folder = Folder::open(&parent.path().join("deep/data")).expect("made");
        let password = folder.password("service", true).expect("made");
        assert_eq!(password.len(), 64);
        assert_eq!(folder.password("service", false).expect("kept"), password);
        for dir in [folder.root().to_path_buf(), folder.run(), folder.passwords_dir()] {
            assert_eq!(mode(&dir), 0o700, "{}", dir.display());
        }
        assert_eq!(mode(&folder.passwords_dir().join("service")), 0o600);
    }

    #[test]
    fn a_lost_password_is_said_so() {
        let parent = tempfile::tempdir_in("/tmp").expect("a folder");
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o755)).expect("mode");
        let folder = Folder::open(&parent.path().join("data")).expect("made");
        let refusal = folder.password("owner", false).expect_err("never made").to_string();
        assert!(refusal.contains("passwords/owner is missing"), "{refusal}");
    }

    #[test]
    fn children_see_nothing_of_our_environment() {
        let folder = Folder { root: PathBuf::from("/"), account: None };
        let output = folder.command(Path::new("/usr/bin/env")).output().expect("runs");
        let output = String::from_utf8(output.stdout).expect("text");
        assert!(
            output.lines().all(|line| ["PATH=", "LD_LIBRARY_PATH=", "LOCALE_ARCHIVE=", "LC_ALL=", "TZ="]
                .iter()
                .any(|known| line.starts_with(known))),
            "{output}"
        );
    }
}
