//! Kills a publisher at each of its file calls in turn. The calls are those that strace recorded in the
//! register's folder during a complete run without a kill.

use super::register::{Beside, Data, ORIGIN, folder, key, leaf, publish, publish_command, root};
use crate::support::process::{PATIENCE, data, wait};
use ormantrace::evidence::tlog::note::Note;
use ormantrace::evidence::tlog::tile::{Row, Tile, entries};
use ormantrace::evidence::tlog::tree::is_consistent;
use ormantrace::evidence::tlog::{Checkpoint, Folder};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// A file call as strace identifies it: its name, its path, and its number among the equal calls of one
/// thread. If two threads make the same call (both read the last signed checkpoint), the process is killed at
/// the call of the first thread.
type At = (String, String, u32);
/// Files by their paths below the folder.
type Files = BTreeMap<String, Vec<u8>>;

/// The command line of the publisher under strace.
fn traced(data: &Path, options: &[String]) -> Command {
    let plain = publish_command(data, &["--begin"]);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq"]).args(options).arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Waits until the publisher has published `next` leaves, and stops it then. Returns earlier if the publisher
/// ends before.
fn ended(data: &Path, command: Command, next: u64) -> ExitStatus {
    let mut traced = Beside::start(command);
    let since = Instant::now();
    while shown(&folder(data)).is_none_or(|shown| shown.size != next) {
        if let Some(status) = traced.child.try_wait().expect("waited for") {
            return status;
        }
        assert!(since.elapsed() < PATIENCE, "neither ended nor published");
        std::thread::sleep(Duration::from_millis(2));
    }
    // Ending strace would leave the publisher running, so the signal goes to the publisher itself, by the
    // process number in its lock file.
    let holder = std::fs::read_to_string(folder(data).lock_file()).expect("a holder");
    let number = holder.trim().trim_start_matches("process ").parse().ok().and_then(Pid::from_raw);
    // The publisher makes further file calls after it has published, so strace may kill it before this signal
    // arrives.
    match kill_process(number.expect("a number"), Signal::TERM) {
        Ok(()) | Err(Errno::SRCH) => wait(&mut traced.child),
        Err(error) => panic!("not signalled: {error}"),
    }
}

/// Returns the file calls in strace's output that concern a folder, in order.
fn calls(trace: &str, below: &Path) -> Vec<At> {
    let mut counts: BTreeMap<(&str, &str, &str), u32> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for line in trace.lines() {
        let Some((thread, said)) = line.split_once(' ') else { continue };
        let Some((call, arguments)) = said.trim_start().split_once('(') else { continue };
        // Calls of fcntl are left out, because the standard library makes them in debug builds only, to check
        // descriptors.
        if call == "fcntl" {
            continue;
        }
        // `"path"`, `AT_FDCWD</where/it/works>, "path"`, or `9</path>`.
        let path = if arguments.starts_with('"') || arguments.starts_with("AT_FDCWD") {
            arguments.split('"').nth(1)
        } else {
            arguments.split_once('<').and_then(|(_, rest)| rest.split('>').next())
        };
        let Some(path) = path.filter(|path| Path::new(path).starts_with(below)) else { continue };
        let count = counts.entry((thread, call, path)).or_default();
        *count += 1;
        let at = (call.to_owned(), path.to_owned(), *count);
        if seen.insert(at.clone()) {
            all.push(at);
        }
    }
    all
}

fn shown(folder: &Folder) -> Option<Checkpoint> {
    read(folder.published().expect("read"))
}

fn signed(folder: &Folder) -> Option<Checkpoint> {
    read(folder.signed().expect("read"))
}

fn read(bytes: Option<Vec<u8>>) -> Option<Checkpoint> {
    Some(Checkpoint::parse(Note::parse(&bytes?).expect("a note").text()).expect("a checkpoint"))
}

fn files(below: &Path) -> Files {
    fn collect(root: &Path, at: &Path, files: &mut Files) {
        let Ok(names) = std::fs::read_dir(at) else { return };
        for path in names.map(|entry| entry.expect("read").path()) {
            if path.is_dir() {
                collect(root, &path, files);
            } else {
                let name = path.strip_prefix(root).expect("below").to_str().expect("text");
                files.insert(name.to_owned(), std::fs::read(&path).expect("read"));
            }
        }
    }
    let mut files = Files::new();
    collect(below, below, &mut files);
    // The lock file contains the process number, which differs in each run.
    files.remove("state/lock");
    files
}

/// Puts the folder back as it was.
fn restore(root: &Path, files: &Files) {
    if root.exists() {
        std::fs::remove_dir_all(root).expect("removed");
    }
    for (name, bytes) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, bytes).expect("written");
    }
}

/// Asserts that the folder publishes exactly the first `size` leaves.
fn shows(folder: &Folder, size: u64) {
    assert_eq!(shown(folder).map(|shown| (shown.size, shown.root)), Some((size, root(size))));
    assert_eq!(folder.tree(size).edge().expect("tiles").root(), root(size));
    for first in (0..size).step_by(256) {
        let bundle = Tile::holding(Row::Entries, first, size).expect("in it");
        let there = entries(&folder.tile(&bundle).expect("a tile")).expect("entries");
        for (place, entry) in (first..).zip(there) {
            assert_eq!(entry.as_slice(), leaf(place).as_bytes());
        }
    }
}

/// First publishes from size `before` to size `next` without a kill, to record the file calls. Then repeats
/// this once for each file call, and kills the publisher at that call. Returns the calls.
fn killed_at_each(database: &Data, data: &Path, before: u64, next: u64) -> Vec<At> {
    let folder = folder(data);
    let old = files(folder.root());
    database.sequence(before, next);
    let trace = data.join("trace");
    let options = ["-y", "-e", "trace=%file,%desc", "-o", trace.to_str().expect("text")].map(str::to_owned);
    assert!(ended(data, traced(data, &options), next).success());
    let told = std::fs::read_to_string(&trace).expect("a trace");
    let all = calls(&told, folder.root());
    let new = files(folder.root());
    shows(&folder, next);
    let proof = folder.tree(next).consistency(before).expect("a proof");
    assert!(is_consistent(before, root(before), next, root(next), &proof));
    for at in &all {
        let (call, path, nth) = at;
        restore(folder.root(), &old);
        let options = [
            "-o".to_owned(),
            "/dev/null".to_owned(),
            "-P".to_owned(),
            path.clone(),
            "-e".to_owned(),
            format!("trace={call}"),
            "-e".to_owned(),
            format!("inject={call}:signal=KILL:when={nth}"),
        ];
        // strace ends with the same status as the process that it traces.
        let status = ended(data, traced(data, &options), next);
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{at:?}: {status}");
        // The published tree is the complete old tree or the complete new tree. The last signed checkpoint is
        // at least as large as the published one, because each checkpoint is signed before it is published.
        let there = shown(&folder).map_or(0, |shown| shown.size);
        assert!(there == before || there == next, "{at:?}: {there} leaves");
        if there > 0 {
            shows(&folder, there);
        }
        let last = signed(&folder);
        assert!(there <= last.as_ref().map_or(0, |last| last.size), "{at:?}");
        assert!(last.is_none_or(|last| last.root == root(last.size)), "{at:?}");
        // The next publisher completes the work. The old publisher may still run for a moment after strace
        // has ended.
        let since = Instant::now();
        let mut again = loop {
            let mut again = publish(data, &["--begin"]);
            let message = again.lines.recv_timeout(PATIENCE).expect("a log line");
            if !message.contains("is published by another process") {
                break again;
            }
            assert!(since.elapsed() < PATIENCE, "{at:?}: the killed publisher still runs");
            let _ = wait(&mut again.child);
        };
        while shown(&folder).is_none_or(|shown| shown.size != next) {
            let status = again.child.try_wait().expect("waited for");
            assert!(status.is_none() && since.elapsed() < PATIENCE, "{at:?}: {}", again.end().1);
            std::thread::sleep(Duration::from_millis(2));
        }
        again.stop();
        let mut there = files(folder.root());
        for (name, bytes) in &new {
            assert!(there.remove(name).as_ref() == Some(bytes), "{at:?}: {name}");
        }
        // Additional files may only be files that existed before: partial tiles that are not removed yet.
        assert!(there.iter().all(|(name, bytes)| old.get(name) == Some(bytes)), "{at:?}: {:?}", there.keys());
    }
    all
}

#[test]
#[cfg_attr(not(has_strace), ignore = "strace is not installed")]
fn killed_at_any_file_call_the_publisher_recovers() {
    let data = data();
    let database = Data::alone(data.path());
    let file = data.path().join("keys/register.key");
    key(&["make", "--name", ORIGIN, file.to_str().expect("text")]);
    // First 250 leaves are published, and then 50 more, beyond the end of a tile of 256 leaves: this writes
    // full tiles and removes partial ones.
    let mut all = killed_at_each(&database, data.path(), 0, 250);
    all.extend(killed_at_each(&database, data.path(), 250, 300));
    let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
    for (call, ..) in &all {
        *kinds.entry(call).or_default() += 1;
    }
    // The list must contain every kind of call that changes a disk; otherwise strace did not record
    // everything.
    for call in ["mkdir", "openat", "write", "fsync", "rename", "unlinkat", "ftruncate", "flock", "read"] {
        assert!(kinds.contains_key(call), "{call}: {kinds:?}");
    }
    println!("killed {} times: {kinds:?}", all.len());
}
