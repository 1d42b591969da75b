//! Searches for a word in a dump and in every file of a folder.

use ormantrace::db::private::folder::{Folder, PORT};
use ormantrace::db::programs::Programs;
use ormantrace::db::roles::{DATABASE, OWNER};
use std::path::{Path, PathBuf};

/// Files below `folder` that contain `word`.
pub fn files_with(folder: &Path, word: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, word));
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.windows(word.len()).any(|window| window == word.as_bytes())
        {
            found.push(path);
        }
    }
    found
}

/// The output of `pg_dump` for the database of a running private cluster.
pub fn dump(data: &Path) -> String {
    let folder = Folder::open(data).expect("opens");
    let output = std::process::Command::new(Programs::find(None).expect("installed").path("pg_dump"))
        .arg("--inserts")
        .args(["-U", OWNER, "-d", DATABASE, "-p", &PORT.to_string(), "-h"])
        .arg(folder.socket_dir().expect("short enough"))
        .env("PGPASSWORD", folder.password(OWNER, false).expect("there"))
        .output()
        .expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}
