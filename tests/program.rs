//! The built program as an administrator uses it: processes, signals, exit codes, a real port and a
//! private PostgreSQL.

mod support;

#[path = "program/backup.rs"]
mod backup;
#[path = "program/before.rs"]
mod before;
#[path = "program/drill.rs"]
mod drill;
#[path = "program/erased.rs"]
mod erased;
#[path = "program/killed.rs"]
mod killed;
#[path = "program/publishing.rs"]
mod publishing;
#[path = "program/register.rs"]
mod register;
#[path = "program/settings.rs"]
mod settings;
#[path = "support/twins.rs"]
#[expect(dead_code, reason = "what it has for the library's own report is for tests/verifier")]
mod twins;
#[path = "program/verify.rs"]
mod verify;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::Stdio;
use support::process::{Running, TOKEN, data, get, program, run, text, wait};

#[test]
fn from_nothing_to_ready_and_to_a_clean_end() {
    let data = data();
    let server = Running::start(data.path(), &["--operator-token", TOKEN]);
    for path in ["/healthz", "/readyz", "/openapi.json", "/docs"] {
        assert_eq!(server.get(path, None).0, 200, "{path}");
    }
    assert_eq!(server.get("/metrics", None).0, 401);
    let (status, figures) = server.get("/metrics", Some(TOKEN));
    assert_eq!(status, 200, "{figures}");
    assert!(figures.contains("ormantrace_pool_connections"), "{figures}");

    let address = server.address.to_string();
    assert!(run(&["probe", "--listen", &address]).status.success());

    server.signal(Signal::TERM);
    let (status, told) = server.end();
    assert_eq!(status.code(), Some(0), "{told}");
    assert!(!told.contains(TOKEN), "{told}");
    assert_eq!(run(&["probe", "--listen", &address]).status.code(), Some(1));
    assert!(!data.path().join("postgres/postmaster.pid").exists());
}

#[test]
fn an_operator_without_a_token_gets_one_once() {
    let data = data();
    let start = || {
        let mut command = program();
        command.args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let mut errors = BufReader::new(child.stderr.take().expect("piped"));
        let mut told = String::new();
        while !told.contains("serving") {
            assert_ne!(errors.read_line(&mut told).expect("text"), 0, "ended early: {told}");
        }
        let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a number");
        kill_process(number, Signal::INT).expect("signalled");
        assert_eq!(wait(&mut child).code(), Some(0));
        let mut said = String::new();
        child.stdout.take().expect("piped").read_to_string(&mut said).expect("text");
        (said, told)
    };
    let (said, told) = start();
    let token = said.lines().find(|line| line.starts_with("omt_")).expect("a token");
    assert!(!told.contains(token), "in the log: {told}");
    assert_eq!(start().0, "");
}

#[test]
fn metrics_on_a_separate_listener_are_on_no_other() {
    let data = data();
    let server = Running::start(data.path(), &["--operator-token", TOKEN, "--metrics-listen", "127.0.0.1:0"]);
    let told: Vec<Value> = server.told.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let figures = told.iter().find(|event| event["message"] == "metrics are at /metrics").expect("told");
    let address = figures["address"].as_str().and_then(|text| text.parse().ok()).expect("an address");
    assert_eq!(get(address, "/metrics", None).0, 200);
    assert_eq!(get(address, "/v1/me", None).0, 404);
    assert_eq!(server.get("/metrics", Some(TOKEN)).0, 404);
}

#[test]
fn probes_have_a_second_listener_and_stay_on_the_first() {
    let data = data();
    let server = Running::start(data.path(), &["--operator-token", TOKEN, "--probe-listen", "127.0.0.1:0"]);
    let told: Vec<Value> = server.told.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let probes =
        told.iter().find(|event| event["message"].as_str().is_some_and(|text| text.contains("/readyz")));
    let address = probes.and_then(|event| event["address"].as_str()?.parse().ok()).expect("an address");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(address, path, None).0, 200, "{path}");
        assert_eq!(server.get(path, None).0, 200, "{path}");
    }
    for path in ["/metrics", "/v1/me", "/openapi.json", "/verify/KZ000000041"] {
        assert_eq!(get(address, path, Some(TOKEN)).0, 404, "{path}");
    }
    let main = server.address.to_string();
    assert!(run(&["probe", "--listen", &main, "--probe-listen", &format!("{address}")]).status.success());
    server.signal(Signal::TERM);
    assert_eq!(server.end().0.code(), Some(0));
    let gone = run(&["probe", "--listen", &main, "--probe-listen", &format!("{address}")]);
    assert_eq!(gone.status.code(), Some(1));
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let data = data();
    let _first = Running::start(data.path(), &[]);
    let second = program()
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data.path())
        .stdin(Stdio::null())
        .output()
        .expect("runs");
    let said = text(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("is in use by another Ormantrace"), "{said}");
    let migrate = program().args(["migrate", "--data-dir"]).arg(data.path()).output().expect("runs");
    assert!(migrate.status.success(), "{}", text(&migrate.stderr));
}

#[test]
fn killed_hard_it_starts_again_with_its_data() {
    let data = data();
    let first = Running::start(data.path(), &["--operator-token", TOKEN]);
    assert_eq!(first.get("/metrics", Some(TOKEN)).0, 200);
    first.signal(Signal::KILL);
    assert_eq!(first.end().0.code(), None);
    // This start gets no operator token, so the server can only know the token from its database.
    let again = Running::start(data.path(), &[]);
    assert_eq!(again.get("/metrics", Some(TOKEN)).0, 200);
    assert_eq!(again.get("/metrics", Some("another-token-of-the-tests-in-Semey")).0, 401);
}

#[test]
fn command_line_errors_are_one_sentence() {
    for (arguments, code, words) in [
        (vec!["--no-such-flag"], 2, "--no-such-flag"),
        (vec!["fell"], 2, "fell"),
        (vec!["--listen", "nowhere"], 2, "--listen"),
        (vec!["--gtin", "09521234543214"], 2, "check digit"),
        (vec!["--operator-token", "short"], 2, "32 or more visible"),
        (vec!["--database-url", "mysql://h/d"], 2, "only PostgreSQL"),
        (vec!["--log", "ormantrace=loud,=", "migrate"], 1, "cannot be read"),
        (vec!["--data-dir", "/dev/null/there", "--listen", "127.0.0.1:0"], 1, "/dev/null/there"),
    ] {
        let output = run(&arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn a_taken_port_is_reported_before_anything_is_created() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("an address").to_string();
    let data = data();
    let folder = data.path().join("never-made");
    let output = run(&["--listen", &address, "--data-dir", folder.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&address), "{}", text(&output.stderr));
    assert!(!folder.exists());
}

#[test]
fn help_version_and_openapi_need_no_database() {
    for arguments in [["--help"], ["--version"]] {
        assert!(run(&arguments).status.success());
    }
    let help = text(&run(&["serve", "--help"]).stdout);
    for flag in ["--listen", "--database-url", "--data-dir", "--public-url", "--operator-token", "--gtin"] {
        assert!(help.contains(flag), "{flag}");
    }
    let document: Value = serde_json::from_slice(&run(&["openapi"]).stdout).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
}

#[test]
fn the_demonstration_is_created_once_and_printed_at_each_start() {
    let data = data();
    let told = || {
        let mut command = program();
        command.args(["demo", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let mut errors = BufReader::new(child.stderr.take().expect("piped"));
        let mut log = String::new();
        while !log.contains(" serving address=") {
            assert_ne!(errors.read_line(&mut log).expect("text"), 0, "ended early: {log}");
        }
        let address = log.split(" serving address=").nth(1).and_then(|rest| rest.split(' ').next());
        let address: SocketAddr = address.and_then(|text| text.parse().ok()).expect("an address");
        for (code, verdict) in [("041", "valid"), ("076", "closed"), ("110", "void"), ("188", "unused")] {
            let (status, body) = get(address, &format!("/v1/verify/DEMO-000{code}"), None);
            assert_eq!(status, 200, "{body}");
            assert!(body.contains(&format!("\"verdict\":\"{verdict}\"")), "{code}: {body}");
        }
        let inspector = Some("demo-inspector-key-not-for-production-0000001");
        assert_eq!(get(address, "/v1/logs/DEMO-000076/history", inspector).0, 200);
        let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a number");
        kill_process(number, Signal::TERM).expect("signalled");
        assert_eq!(wait(&mut child).code(), Some(0));
        let mut said = String::new();
        child.stdout.take().expect("piped").read_to_string(&mut said).expect("text");
        said.replace(&address.to_string(), "ADDRESS")
    };
    let first = told();
    assert!(first.contains("demo-operator-key"), "{first}");
    assert_eq!(first, told());
    let served = Running::start(data.path(), &[]);
    assert!(served.told.iter().any(|line| line.contains("DEMO KEYS")), "{:#?}", served.told);
}
