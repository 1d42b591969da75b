//! Finds out whether a server runs on this cluster, by checking the process named in `postmaster.pid`.
//!
//! PostgreSQL takes any live process with that pid for a server and refuses to start. After a hard
//! kill the pid may belong to a zombie or, above all in a container, to an unrelated process. So
//! the process is checked: it must be alive, and its working directory must be the cluster.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// How often a process that is not our child is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A running server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postmaster {
    /// Its process id.
    pub pid: i32,
    /// The folder of its Unix socket.
    pub socket_dir: PathBuf,
    /// The port in the socket's name.
    pub port: u16,
    /// Whether the server accepts connections; if not, it is starting, recovering or stopping.
    pub ready: bool,
}

/// The result of checking `postmaster.pid`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PidFileState {
    /// No such file: no server runs here.
    Nothing,
    /// The file names a dead process, or a single-user session (a negative number): PostgreSQL handles both
    /// cases itself.
    Dead,
    /// The file names a zombie, a live process that is not a server of this cluster, or no valid
    /// pid. PostgreSQL would take the process for a server, or fail to read the file.
    Deceptive,
    /// A server.
    Live(Postmaster),
}

/// The lines of `postmaster.pid` that matter, in PostgreSQL's order (its `pidfile.h`):
/// pid, cluster, start time, port, socket folder, address, shared memory, state.
#[derive(Debug, PartialEq, Eq)]
struct PidFile {
    cluster: PathBuf,
    postmaster: Postmaster,
}

/// Reads the file as bytes: a path need not be UTF-8, and after a crash the file may contain anything.
fn parse(file: &[u8]) -> Option<PidFile> {
    let line = |n: usize| file.split(|byte| *byte == b'\n').nth(n).unwrap_or_default().trim_ascii();
    let text = |n: usize| std::str::from_utf8(line(n)).unwrap_or_default();
    let path = |n: usize| PathBuf::from(OsStr::from_bytes(line(n)));
    Some(PidFile {
        cluster: path(1),
        postmaster: Postmaster {
            pid: text(0).parse().ok().filter(|pid| *pid > 1)?,
            socket_dir: path(4),
            port: text(3).parse().unwrap_or(0),
            ready: text(7) == "ready",
        },
    })
}

/// The file in which a running server writes its pid.
#[must_use]
pub fn pid_file(cluster: &Path) -> PathBuf {
    cluster.join("postmaster.pid")
}

/// Checks whether a server runs on `cluster` (an absolute path, symbolic links resolved).
///
/// # Errors
/// If the pid file exists and cannot be read.
pub fn check_pid_file(cluster: &Path) -> io::Result<PidFileState> {
    let file = match fs::read(pid_file(cluster)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(PidFileState::Nothing),
        Err(error) => return Err(error),
    };
    let Some(claim) = parse(&file) else {
        return Ok(if file.starts_with(b"-") { PidFileState::Dead } else { PidFileState::Deceptive });
    };
    let works_here = match process(claim.postmaster.pid) {
        Process::Gone => return Ok(PidFileState::Dead),
        Process::Zombie => return Ok(PidFileState::Deceptive),
        Process::In(dir) => dir == cluster,
        // On a system without `/proc`, the second line of the pid file, the path of the cluster, is the best
        // evidence.
        Process::Server => claim.cluster == cluster,
        Process::Other => false,
    };
    Ok(if works_here { PidFileState::Live(claim.postmaster) } else { PidFileState::Deceptive })
}

enum Process {
    Gone,
    Zombie,
    /// Alive, and this is its working directory.
    In(PathBuf),
    /// The process is alive and is named postgres; its working directory cannot be read.
    Server,
    /// The process is alive and has another name; its working directory cannot be read.
    Other,
}

fn process(number: i32) -> Process {
    let Some(pid) = Pid::from_raw(number) else { return Process::Gone };
    if test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
        return Process::Gone;
    }
    let proc = PathBuf::from(format!("/proc/{number}"));
    let Ok(stat) = fs::read(proc.join("stat")) else { return by_ps(number) };
    let stat = String::from_utf8_lossy(&stat);
    // The name, in parentheses, may contain any character; the state follows the last `)`.
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    if matches!(state, Some('Z' | 'X' | 'x')) {
        return Process::Zombie;
    }
    match fs::read_link(proc.join("cwd")) {
        Ok(dir) => Process::In(dir),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => by_ps(number),
        Err(_) => Process::Gone,
    }
}

fn by_ps(number: i32) -> Process {
    let number = number.to_string();
    let output =
        Command::new("ps").args(["-o", "stat=", "-o", "comm=", "-p", &number]).stdin(Stdio::null()).output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    match text.trim().split_once(char::is_whitespace) {
        None => Process::Gone,
        Some((state, _)) if state.starts_with('Z') => Process::Zombie,
        Some((_, name)) if name.contains("postgres") => Process::Server,
        Some(_) => Process::Other,
    }
}

/// Stops an orphaned server: first by a fast shutdown, so that the next start needs no recovery,
/// and after `timeout` by an immediate shutdown.
///
/// # Errors
/// A sentence, if the server is still running.
pub async fn stop_orphan(cluster: &Path, timeout: Duration) -> Result<(), String> {
    for signal in [Signal::INT, Signal::QUIT] {
        let since = Instant::now();
        let mut signalled = None;
        while since.elapsed() < timeout {
            let state = check_pid_file(cluster).map_err(|e| e.to_string())?;
            let PidFileState::Live(postmaster) = state else { return Ok(()) };
            // Each process gets this signal once: a second SIGINT does nothing, and by then the pid may
            // belong to another process.
            if signalled.replace(postmaster.pid) != Some(postmaster.pid) {
                send(postmaster.pid, signal).map_err(|e| {
                    format!("An orphaned PostgreSQL (process {}) cannot be stopped: {e}.", postmaster.pid)
                })?;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
    match check_pid_file(cluster) {
        Ok(PidFileState::Live(postmaster)) => {
            Err(format!("An orphaned PostgreSQL (process {}) does not stop.", postmaster.pid))
        }
        _ => Ok(()),
    }
}

/// Waits until no worker of a killed server works in `cluster` any more, because such a worker could still
/// write to the files. On a system without `/proc` it cannot find workers, and returns at once.
///
/// # Errors
/// A sentence, if a worker is still there after `timeout`.
pub async fn wait_for_workers(cluster: &Path, timeout: Duration) -> Result<(), String> {
    let since = Instant::now();
    loop {
        let workers = workers_in(cluster);
        if workers.is_empty() {
            return Ok(());
        }
        if since.elapsed() > timeout {
            let list: Vec<String> = workers.iter().map(ToString::to_string).collect();
            return Err(format!(
                "Processes of an earlier PostgreSQL still work in {}: {}.",
                cluster.display(),
                list.join(", ")
            ));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// The processes named postgres with `cluster` as their working directory.
fn workers_in(cluster: &Path) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        fs::read_to_string(proc.join("comm")).is_ok_and(|name| name.trim_end() == "postgres")
            && fs::read_link(proc.join("cwd")).is_ok_and(|dir| dir == cluster)
    })
    .collect()
}

/// Sends a signal. If the process no longer exists, that is a success, too.
pub(in crate::db) fn send(pid: i32, signal: Signal) -> io::Result<()> {
    match Pid::from_raw(pid).map(|pid| kill_process(pid, signal)) {
        None | Some(Ok(()) | Err(rustix::io::Errno::SRCH)) => Ok(()),
        Some(Err(error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(cluster: &Path, pid: u32, state: &str) {
        let cluster_shown = cluster.display();
        let text = format!("{pid}\n{cluster_shown}\n1767225600\n5432\n/run/x\n\n 1 2\n{state}\n");
        fs::write(pid_file(cluster), text).expect("written");
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a folder");
        let real = dir.path().canonicalize().expect("real");
        (dir, real)
    }

    #[test]
    fn no_file_no_server() {
        let (_dir, cluster) = folder();
        assert_eq!(check_pid_file(&cluster).expect("readable"), PidFileState::Nothing);
    }

    #[test]
    fn nonsense_is_no_server() {
        let (_dir, cluster) = folder();
        for text in ["", "\n", "x", "0", "1\n", "99999999999999999999"] {
            fs::write(pid_file(&cluster), text).expect("written");
            assert_eq!(check_pid_file(&cluster).expect("readable"), PidFileState::Deceptive, "{text:?}");
        }
        for bytes in [&b"\xff\xfe4\x007\x00"[..], b"\0\0\0\0", b"4711\xd0\n/srv\n"] {
            fs::write(pid_file(&cluster), bytes).expect("written");
            assert_eq!(check_pid_file(&cluster).expect("readable"), PidFileState::Deceptive, "{bytes:?}");
        }
        fs::write(pid_file(&cluster), format!("-{}\n", std::process::id())).expect("written");
        assert_eq!(
            check_pid_file(&cluster).expect("readable"),
            PidFileState::Dead,
            "PostgreSQL handles a single-user session itself"
        );
    }

    #[test]
    fn a_zombie_and_a_dead_process_are_no_server() {
        let (_dir, cluster) = folder();
        let mut child =
            Command::new("true").current_dir(&cluster).stdout(Stdio::piped()).spawn().expect("runs");
        // The end of file on its output means that the process is exiting. It becomes a zombie, because it is
        // not waited for yet.
        let mut output = Vec::new();
        io::Read::read_to_end(&mut child.stdout.take().expect("piped"), &mut output).expect("read");
        claim(&cluster, child.id(), "ready");
        // The process may not be a zombie yet. Shortly before, it has no working directory, and then it
        // counts as dead.
        assert!(matches!(
            check_pid_file(&cluster).expect("readable"),
            PidFileState::Deceptive | PidFileState::Dead
        ));
        child.wait().expect("reaped");
        assert_eq!(check_pid_file(&cluster).expect("readable"), PidFileState::Dead);
    }

    #[test]
    fn a_stranger_with_the_number_is_no_server() {
        let (_dir, cluster) = folder();
        claim(&cluster, std::process::id(), "ready");
        assert_eq!(check_pid_file(&cluster).expect("readable"), PidFileState::Deceptive);
    }

    #[test]
    fn a_path_need_not_be_utf_8() {
        let (_dir, parent) = folder();
        let cluster = parent.join(OsStr::from_bytes(b"\xcb\xe5\xf1"));
        fs::create_dir(&cluster).expect("made");
        let mut child =
            Command::new("cat").current_dir(&cluster).stdin(Stdio::piped()).spawn().expect("runs");
        let head = format!("{}\n", child.id()).into_bytes();
        let rest = b"\n1767225600\n5432\n/run/\xcb\xe5\xf1\n\n 1 2\nready\n";
        fs::write(pid_file(&cluster), [&head, cluster.as_os_str().as_bytes(), rest].concat())
            .expect("written");
        match check_pid_file(&cluster).expect("readable") {
            PidFileState::Live(server) => {
                assert_eq!(server.socket_dir.as_os_str().as_bytes(), b"/run/\xcb\xe5\xf1");
            }
            other => panic!("{other:?}"),
        }
        drop(child.stdin.take());
        child.wait().expect("ended");
    }

    #[test]
    fn a_process_that_works_in_the_cluster_is_a_server() {
        let (_dir, cluster) = folder();
        let mut child =
            Command::new("cat").current_dir(&cluster).stdin(Stdio::piped()).spawn().expect("runs");
        for (state, ready) in [("ready   ", true), ("starting", false), ("stopping", false)] {
            claim(&cluster, child.id(), state);
            match check_pid_file(&cluster).expect("readable") {
                PidFileState::Live(postmaster) => {
                    assert_eq!((postmaster.ready, postmaster.port), (ready, 5432));
                    assert_eq!(postmaster.socket_dir, Path::new("/run/x"));
                }
                other => panic!("{other:?}"),
            }
        }
        drop(child.stdin.take());
        child.wait().expect("ended");
    }
}
