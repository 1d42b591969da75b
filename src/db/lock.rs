//! Only one process works on a data directory: it holds a lock on a file in the directory.
//!
//! The kernel releases the lock when the process ends, however it ends, so a held lock proves that the lock
//! holder is alive. The file names the lock holder, for the error message of a second process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A held lock. Code that needs the directory for itself takes a `Lock` as an argument.
#[derive(Debug)]
pub struct Lock {
    /// Open only for its lock.
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The lock is released explicitly, because closing the file is not always enough: a child process
        // that another thread is just starting has the file open until its exec, and the lock would last
        // until then.
        let _ = self.file.unlock();
    }
}

/// Why the lock was not taken.
#[derive(Debug)]
pub enum Denied {
    /// Another process holds the lock. Contains the name of the lock holder from the file; empty if it is not
    /// yet written.
    Held(String),
    /// The file cannot be opened or locked at all.
    Io(io::Error),
}

impl Lock {
    /// Takes the lock without waiting for it.
    ///
    /// # Errors
    /// [`Denied::Held`] while another process has the lock, or another `Lock` of this process.
    pub fn take(path: &Path) -> Result<Self, Denied> {
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let mut file = open.map_err(Denied::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // If the name cannot be read, because the lock holder has not written it yet, the error is
                // still that the lock is held.
                let _ = (&mut file).take(200).read_to_string(&mut holder);
                return Err(Denied::Held(holder.trim().to_owned()));
            }
            Err(TryLockError::Error(error)) => return Err(Denied::Io(error)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(Denied::Io)?;
        writeln!(file, "process {}", std::process::id()).map_err(Denied::Io)?;
        Ok(Self { file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_once_and_free_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("lock");
        let first = Lock::take(&path).expect("free");
        match Lock::take(&path) {
            Err(Denied::Held(holder)) => assert_eq!(holder, format!("process {}", std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(first);
        Lock::take(&path).expect("free again");
    }

    #[test]
    fn a_folder_that_is_not_there_is_no_holder() {
        assert!(matches!(Lock::take(Path::new("/nonexistent/lock")), Err(Denied::Io(_))));
    }
}
