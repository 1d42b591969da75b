//! The publisher that `serve` runs on a private cluster: it publishes without a further command, ends when
//! the server ends in any way, is started again when it fails, and is not started if another process
//! publishes the register.

use crate::register::{folder, key, published, until};
use crate::support::pg::TestDb;
use crate::support::process::{PATIENCE, Running, TOKEN, data, post, program, wait};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const ORIGIN: &str = "wood.example/register";

/// The process that publishes the register of a data directory, according to the lock file of the folder.
fn publisher(data: &Path) -> Option<Pid> {
    let holder = std::fs::read_to_string(folder(data).lock_file()).ok()?;
    holder.trim().strip_prefix("process ")?.parse().ok().and_then(Pid::from_raw)
}

fn is_alive(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    test_kill_process(pid).is_ok() && !stat.is_ok_and(|stat| stat.contains(") Z "))
}

fn poll(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn record(server: &Running, bin: &str) {
    let body = json!({"bin": bin, "name": "ТОО «Ертіс орман»", "roles": ["enterprise"]});
    let (status, body) = post(server.address, "/v1/organizations", TOKEN, None, &body);
    assert_eq!(status, 201, "{body}");
}

#[test]
fn a_server_with_an_origin_publishes_and_its_publisher_ends_with_it() {
    let data = data();
    let flags = ["--operator-token", TOKEN, "--origin", ORIGIN];
    let server = Running::start(data.path(), &flags);
    let (_, first) = until(data.path(), "the operator's events", |_, checkpoint| checkpoint.size > 0);
    assert_eq!(first.origin, ORIGIN);
    let register = key(&["show", data.path().join("keys/register.key").to_str().expect("text")]);
    assert_eq!(register.name(), ORIGIN);
    let child = publisher(data.path()).expect("a publisher");
    assert_ne!(u32::try_from(child.as_raw_nonzero().get()).expect("positive"), server.child.id());

    // The server notices that its publisher has ended and starts another one, which continues the register.
    kill_process(child, Signal::KILL).expect("killed");
    poll("a second publisher", || publisher(data.path()).is_some_and(|pid| pid != child && is_alive(pid)));
    record(&server, "140140001009");
    until(data.path(), "an event after the restart", |_, checkpoint| checkpoint.size > first.size);
    let second = publisher(data.path()).expect("a publisher");

    // The publisher ends even if the server is killed.
    server.signal(Signal::KILL);
    poll("the publisher of a killed server ends", || !is_alive(second));
    let (_, told) = server.end();
    assert!(told.contains("the publisher has ended; it is started again"), "{told}");
    assert!(told.contains("the register is published"), "its lines are the server's: {told}");
    let size = published(data.path()).expect("published").1.size;

    let server = Running::start(data.path(), &flags);
    poll("a third publisher", || publisher(data.path()).is_some_and(|pid| pid != second && is_alive(pid)));
    let third = publisher(data.path()).expect("a publisher");
    until(data.path(), "the same register", |_, checkpoint| checkpoint.size >= size);
    server.signal(Signal::TERM);
    let (status, told) = server.end();
    assert_eq!(status.code(), Some(0), "{told}");
    assert!(!is_alive(third), "it ended before the server: {told}");
    assert!(told.contains("publishing has ended"), "{told}");

    // The register keeps its name: another one is refused before anything starts.
    let mut other = program()
        .args(["serve", "--listen", "127.0.0.1:0", "--origin", "wood.example/other", "--data-dir"])
        .arg(data.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(other.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let told = lines.find(|line| line.contains("--origin is") || line.contains("serving"));
    let told = told.expect("a line");
    if told.contains("serving") {
        other.kill().expect("killed");
    }
    assert_eq!(wait(&mut other).code(), Some(1), "{told}");
    assert!(told.contains("--origin is wood.example/other"), "{told}");
    assert!(told.contains(&format!("begun as {ORIGIN}")), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_publisher_runs_where_it_must_not() {
    let given = TestDb::empty().await;
    let url = given.url();
    let work = move || {
        let no_child = |flags: &[&str]| {
            let data = data();
            let server = Running::start(data.path(), flags);
            assert_eq!(server.get("/readyz", None).0, 200);
            server.signal(Signal::TERM);
            let (status, told) = server.end();
            assert_eq!(status.code(), Some(0), "{told}");
            assert!(!told.contains("in a process of its own"), "{flags:?}: {told}");
            assert!(!data.path().join("register").exists(), "{flags:?}");
            assert!(!data.path().join("keys/register.key").exists(), "{flags:?}");
        };
        no_child(&[]);
        no_child(&["--public-url", "http://localhost:8080"]);
        no_child(&["--origin", ORIGIN, "--no-publish"]);
        no_child(&["--origin", ORIGIN, "--database-url", &url]);
    };
    tokio::task::spawn_blocking(work).await.expect("no panic");
}

#[test]
fn a_public_address_publishes_and_another_publisher_is_left_alone() {
    let data = data();
    let server = Running::start(data.path(), &["--public-url", "https://wood.example"]);
    let (_, checkpoint) = until(data.path(), "the first events", |_, checkpoint| checkpoint.size > 0);
    assert_eq!(checkpoint.origin, "wood.example");
    server.signal(Signal::TERM);
    assert_eq!(server.end().0.code(), Some(0));

    // Another process holds the register's lock, so the server starts no publisher.
    let lock = ormantrace::db::lock::Lock::take(&folder(data.path()).lock_file()).expect("free");
    let server = Running::start(data.path(), &["--public-url", "https://wood.example"]);
    server.signal(Signal::TERM);
    let (status, told) = server.end();
    assert_eq!(status.code(), Some(0), "{told}");
    assert!(told.contains("another process publishes the register"), "{told}");
    drop(lock);
}
