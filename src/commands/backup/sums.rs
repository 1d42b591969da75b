//! Copying with checksums: `SHA256SUMS` lists each file of a backup with its SHA-256, as `sha256sum` writes
//! it, so that `sha256sum -c SHA256SUMS` checks a backup too.

use super::{Failure, SUMS, at};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Bytes that are read at once.
const CHUNK: usize = 1 << 18;
/// How often progress is logged.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Logs the progress of long work on files.
pub struct Progress {
    what: &'static str,
    of: u64,
    logged: Instant,
}

impl Progress {
    /// Of `of` units; 0: unknown.
    pub fn new(what: &'static str, of: u64) -> Self {
        Self { what, of, logged: Instant::now() }
    }

    /// Logs a line if the last one is at least five seconds old.
    pub fn at(&mut self, done: u64) {
        if self.logged.elapsed() < LOG_EVERY {
            return;
        }
        self.logged = Instant::now();
        let percent = done.saturating_mul(100).checked_div(self.of).unwrap_or(0).min(100);
        tracing::info!(done, of = self.of, percent, "{}", self.what);
    }
}

/// A backup that is being written: its folder and the checksums of its files.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    sums: BTreeMap<String, String>,
    bytes: u64,
}

impl Writer {
    /// Creates the folder, or takes an empty one.
    ///
    /// # Errors
    /// If the folder has files, and for I/O errors.
    pub fn create(dir: &Path) -> Result<Self, Failure> {
        check_empty(dir)?;
        if let Some(parent) = dir.parent() {
            fs::create_dir_all(parent).map_err(at(parent))?;
        }
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
                fs::set_permissions(dir, private).map_err(at(dir))?;
            }
            made => made.map_err(at(dir))?,
        }
        Ok(Self { dir: dir.to_path_buf(), sums: BTreeMap::new(), bytes: 0 })
    }

    /// The path of a file in the backup.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Number of files, and their total size in bytes.
    pub fn totals(&self) -> (u64, u64) {
        (self.sums.len() as u64, self.bytes)
    }

    /// Creates an empty file that only this user may read.
    pub fn touch(&self, name: &str) -> Result<File, Failure> {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(at(parent))?;
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(at(&path))
    }

    /// Writes a file.
    pub fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let mut file = self.touch(name)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(&self.path(name)))?;
        self.add(name, hex::encode(Sha256::digest(bytes)), bytes.len() as u64);
        Ok(())
    }

    /// Adds a file that another program has written.
    pub fn add_written(&mut self, name: &str) -> Result<(), Failure> {
        let path = self.path(name);
        let (sum, bytes) = sum_of(&path, |_| {}).map_err(at(&path))?;
        self.add(name, sum, bytes);
        Ok(())
    }

    fn add(&mut self, name: &str, sum: String, bytes: u64) {
        self.sums.insert(name.to_owned(), sum);
        self.bytes += bytes;
    }

    /// Writes the checksums and syncs every folder: from here on the backup is complete.
    pub fn finish(self) -> Result<(), Failure> {
        let mut text = String::new();
        let mut folders: Vec<PathBuf> = vec![self.dir.clone()];
        for (name, sum) in &self.sums {
            text.push_str(&format!("{sum}  {name}\n"));
            folders.extend(Path::new(name).ancestors().skip(1).map(|folder| self.dir.join(folder)));
        }
        folders.sort();
        folders.dedup();
        let sync = |folder: &PathBuf| File::open(folder).and_then(|dir| dir.sync_all()).map_err(at(folder));
        folders.iter().try_for_each(sync)?;
        // The list is renamed when it is complete, so that a partial list is never taken for a complete one.
        let draft = format!(".{SUMS}.new");
        let mut file = self.touch(&draft)?;
        let (draft, path) = (self.path(&draft), self.path(SUMS));
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(at(&draft))?;
        fs::rename(&draft, &path).map_err(at(&path))?;
        sync(&self.dir)
    }
}

/// Refuses a folder with files in it.
pub fn check_empty(dir: &Path) -> Result<(), Failure> {
    match fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            Some(_) => Err(Failure::NotEmpty(dir.to_path_buf())),
            None => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(at(dir)(error)),
    }
}

/// Checks that a backup has exactly the listed files, each unaltered; returns their names.
///
/// # Errors
/// [`Failure::Damaged`], which names the first file that is wrong.
pub fn check(dir: &Path) -> Result<Vec<String>, Failure> {
    let damaged = |what: String| Failure::Damaged { dir: dir.to_path_buf(), what };
    let text = match fs::read_to_string(dir.join(SUMS)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(format!("it has no {SUMS}, which is written last")));
        }
        Err(error) => return Err(damaged(format!("{SUMS}: {error}"))),
    };
    let mut sums = BTreeMap::new();
    for line in text.lines() {
        let Some((sum, name)) =
            line.split_once("  ").filter(|(sum, name)| sum.len() == 64 && is_inside(name))
        else {
            return Err(damaged(format!("{SUMS} has a line that is no checksum")));
        };
        sums.insert(name.to_owned(), sum.to_owned());
    }
    let mut there = Vec::new();
    list(dir, dir, &mut there).map_err(at(dir))?;
    let extra = there.iter().find(|(name, _)| name != SUMS && !sums.contains_key(name));
    if let Some((name, _)) = extra {
        return Err(damaged(format!("{name} is not listed in {SUMS}")));
    }
    let mut progress = Progress::new("checking the backup", there.iter().map(|(_, bytes)| bytes).sum());
    let mut done = 0;
    for (name, sum) in &sums {
        let path = dir.join(name);
        let found = sum_of(&path, |read| progress.at(done + read));
        let (found, bytes) = match found {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(format!("{name} is missing")));
            }
            Err(error) => return Err(damaged(format!("{name}: {error}"))),
        };
        if found != *sum {
            return Err(damaged(format!("{name} was altered")));
        }
        done += bytes;
    }
    Ok(sums.into_keys().collect())
}

/// Whether a name stays below the folder that it is relative to.
fn is_inside(name: &str) -> bool {
    !name.is_empty() && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Every file below `dir`, relative to `root`, with its length.
fn list(root: &Path, dir: &Path, into: &mut Vec<(String, u64)>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_dir() {
            list(root, &path, into)?;
        } else if let Ok(name) = path.strip_prefix(root) {
            into.push((name.to_string_lossy().into_owned(), metadata.len()));
        }
    }
    Ok(())
}

/// SHA-256 and length of a file. `progress` gets the bytes read so far.
fn sum_of(path: &Path, mut progress: impl FnMut(u64)) -> io::Result<(String, u64)> {
    let (mut file, mut hasher, mut chunk) = (File::open(path)?, Sha256::new(), vec![0; CHUNK]);
    let mut bytes = 0;
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok((hex::encode(hasher.finalize()), bytes));
        }
        hasher.update(&chunk[..read]);
        bytes += read as u64;
        progress(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        let mut writer = Writer::create(&dir.path().join("backup")).expect("made");
        writer.put("keys/receipt.key", b"pine").expect("written");
        writer.put("manifest.json", b"{}").expect("written");
        assert_eq!(writer.totals(), (2, 6));
        writer.finish().expect("finished");
        dir
    }

    #[test]
    fn a_complete_backup_passes_and_an_altered_one_is_named() {
        let dir = made();
        let backup = dir.path().join("backup");
        assert_eq!(check(&backup).expect("whole"), ["keys/receipt.key", "manifest.json"]);
        let refused = |wanted: &str| {
            let said = check(&backup).expect_err(wanted).to_string();
            assert!(said.contains(wanted), "{said}");
        };
        fs::write(backup.join("keys/receipt.key"), b"pinf").expect("written");
        refused("keys/receipt.key was altered");
        fs::remove_file(backup.join("keys/receipt.key")).expect("removed");
        refused("keys/receipt.key is missing");
        fs::write(backup.join("keys/receipt.key"), b"pine").expect("written");
        fs::write(backup.join("more"), b"").expect("written");
        refused("more is not listed");
        fs::remove_file(backup.join("more")).expect("removed");
        check(&backup).expect("whole again");
        fs::remove_file(backup.join(SUMS)).expect("removed");
        refused("it has no SHA256SUMS");
    }

    #[test]
    fn a_name_outside_is_refused() {
        for name in ["", "/etc/passwd", "../x", "a//b", "a/./b", "a/.."] {
            assert!(!is_inside(name), "{name}");
        }
        assert!(is_inside("register/tile/0/001.p/4"));
    }

    #[test]
    fn only_an_empty_folder_is_taken_and_it_becomes_private() {
        let dir = made();
        assert!(matches!(Writer::create(&dir.path().join("backup")), Err(Failure::NotEmpty(_))));
        let taken = dir.path().join("taken");
        fs::create_dir(&taken).expect("made");
        Writer::create(&taken).expect("empty");
        let mode =
            |path: &Path| std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions());
        assert_eq!(mode(&taken) & 0o777, 0o700);
        assert_eq!(mode(&dir.path().join("backup/keys")) & 0o777, 0o700);
        assert_eq!(mode(&dir.path().join("backup/keys/receipt.key")) & 0o777, 0o600);
    }
}
