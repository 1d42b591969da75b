//! Writes files so that a crash at any moment leaves either the complete old content or the complete new
//! content.
//!
//! Every call that changes the disk first calls a gate, a function with which a test can make the disk fail
//! or end the process. In production there is no gate.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The mode of folders that other users may read, before the umask is applied.
const SHARED_DIR_MODE: u32 = 0o777;

/// A call that changes the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Create a folder.
    MakeDir,
    /// Create or truncate a file.
    Create,
    /// Write bytes to a file.
    Write,
    /// Sync a file.
    Sync,
    /// Rename a file to its final path, which may exist.
    Rename,
    /// Hard-link a file to its final path, which must not exist.
    Link,
    /// Sync a folder.
    SyncDir,
    /// Remove a file or folder.
    Remove,
}

type Gate = Arc<dyn Fn(Call, &Path) -> io::Result<()> + Send + Sync>;

/// The disk.
#[derive(Clone, Default)]
pub struct Disk {
    gate: Option<Gate>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.gate.is_some() { "Disk(gated)" } else { "Disk" })
    }
}

impl Disk {
    /// The machine's disk.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// The machine's disk behind a gate. If the gate refuses a call, the call fails. If it refuses a write,
    /// half of the bytes are written before the write fails, as in a crash.
    #[must_use]
    pub fn gated(gate: impl Fn(Call, &Path) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self { gate: Some(Arc::new(gate)) }
    }

    fn pass(&self, call: Call, path: &Path) -> io::Result<()> {
        self.gate.as_ref().map_or(Ok(()), |gate| gate(call, path))
    }

    /// Writes files to their paths. Each file is written to a temporary file next to it, synced and renamed;
    /// then every changed folder is synced. Once this returns, the files survive a power cut. If it fails or
    /// is interrupted, each path has its old content or its new.
    ///
    /// # Errors
    /// An I/O error that names the file.
    pub fn put(&self, files: &[(PathBuf, Vec<u8>)]) -> io::Result<()> {
        let mut changed = BTreeSet::new();
        for (path, bytes) in files {
            let folder = path.parent().unwrap_or(Path::new("."));
            self.make_dirs(folder, SHARED_DIR_MODE, &mut changed)?;
            self.put_one(path, bytes)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
            changed.insert(folder.to_path_buf());
        }
        changed.iter().try_for_each(|folder| self.sync_dir(folder))
    }

    fn put_one(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // The temporary file of a path always has the same name, so that a file which a crash left behind is
        // overwritten.
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".new");
        let draft = path.with_file_name(name);
        self.pass(Call::Create, &draft)?;
        let mut file = File::create(&draft)?;
        self.write(&mut file, &draft, bytes)?;
        self.pass(Call::Rename, path)?;
        fs::rename(&draft, path)
    }

    /// Writes a secret to a new file that only this user may read, and creates the file's folder if needed.
    /// The secret is written to a temporary file, which is synced and then hard-linked to `path`. So no
    /// reader ever sees half of the secret, and of two concurrent writers one gets an error. Once this
    /// returns, the file survives a power cut.
    ///
    /// # Errors
    /// `AlreadyExists` if the file exists, or another I/O error.
    pub fn put_secret(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        self.make_private_dir(folder)?;
        // The temporary file has a random name, so that two concurrent writers do not write to the same file.
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).map_err(|error| io::Error::other(error.to_string()))?;
        let draft = folder.join(format!(".key-{}", hex::encode(nonce)));
        let written = self.link_one(path, &draft, bytes);
        let removed = self.pass(Call::Remove, &draft).and_then(|()| fs::remove_file(&draft));
        written?;
        removed?;
        self.sync_dir(folder)
    }

    fn link_one(&self, path: &Path, draft: &Path, bytes: &[u8]) -> io::Result<()> {
        self.pass(Call::Create, draft)?;
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
        self.write(&mut file, draft, bytes)?;
        self.pass(Call::Link, path)?;
        fs::hard_link(draft, path)
    }

    /// Writes bytes and syncs the file.
    fn write(&self, file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.pass(Call::Write, path) {
            file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        file.write_all(bytes)?;
        self.pass(Call::Sync, path)?;
        file.sync_all()
    }

    /// Creates a folder and its parents, and syncs each parent before it returns. Without the sync, a power
    /// cut could lose the names of the new folders, and with them everything in the folders.
    ///
    /// # Errors
    /// An I/O error that names the folder.
    pub fn make_dir(&self, folder: &Path) -> io::Result<()> {
        self.make_dir_for(folder, SHARED_DIR_MODE)
    }

    /// As [`Disk::make_dir`], but only this user may read the folder; for keys.
    ///
    /// # Errors
    /// As [`Disk::make_dir`].
    pub fn make_private_dir(&self, folder: &Path) -> io::Result<()> {
        self.make_dir_for(folder, 0o700)
    }

    fn make_dir_for(&self, folder: &Path, mode: u32) -> io::Result<()> {
        let mut changed = BTreeSet::new();
        self.make_dirs(folder, mode, &mut changed)?;
        changed.iter().try_for_each(|folder| self.sync_dir(folder))
    }

    fn make_dirs(&self, folder: &Path, mode: u32, changed: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        if folder.as_os_str().is_empty() || folder.is_dir() {
            return Ok(());
        }
        if let Some(parent) = folder.parent() {
            self.make_dirs(parent, mode, changed)?;
            changed.insert(parent.to_path_buf());
        }
        self.pass(Call::MakeDir, folder)?;
        fs::DirBuilder::new()
            .mode(mode)
            .create(folder)
            .or_else(|error| if folder.is_dir() { Ok(()) } else { Err(error) })
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", folder.display())))
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        self.pass(Call::SyncDir, folder)?;
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder)?.sync_all()
    }

    /// Removes a folder and its content. A missing folder is not an error.
    ///
    /// # Errors
    /// An I/O error.
    pub fn remove_dir(&self, folder: &Path) -> io::Result<()> {
        self.pass(Call::Remove, folder)?;
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
