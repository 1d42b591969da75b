//! Independent programs with which the verifier is compared: another verifier, in Python, and Go's reference
//! implementation.

use ormantrace::services::verifier::report::Report;
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python with an Ed25519 package. It is required if `ORMANTRACE_PYTOOLS` is set, as in CI; otherwise the
/// test only prints that it is missing.
pub fn python() -> Option<OsString> {
    let tools = std::env::var_os("ORMANTRACE_PYTOOLS").map(|tools| PathBuf::from(tools).join("bin/python"));
    let python = tools.clone().map_or_else(|| OsString::from("python3"), PathBuf::into_os_string);
    let has = Command::new(&python).args(["-c", "import cryptography"]).output();
    if has.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    assert!(tools.is_none(), "ORMANTRACE_PYTOOLS has no package `cryptography`");
    eprintln!("SKIPPED: no python3 with the package `cryptography`; the verifier's twin did not run");
    None
}

/// Runs the Python verifier on some files; returns one report per file.
pub fn twin(python: &OsString, arguments: &[String], files: &[PathBuf]) -> Vec<Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/verify_export.py");
    let output =
        Command::new(python).arg(script).arg("--json").args(arguments).args(files).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let reports: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a report")).collect();
    assert_eq!(reports.len(), files.len(), "{}", String::from_utf8_lossy(&output.stderr));
    let any = |verdict: &str| reports.iter().any(|report| report["verdict"] == verdict);
    let code = if any("invalid") { 1 } else { 3 * i32::from(any("incomplete")) };
    assert_eq!(output.status.code(), Some(code));
    reports
}

/// The parts of a report on which two programs must agree: everything except the sentences.
pub fn essence(report: &Value) -> Value {
    let mut report = report.clone();
    for line in report["checks"].as_array_mut().expect("checks") {
        line.as_object_mut().expect("a line").remove("detail");
    }
    report
}

/// Our report, in the same form.
pub fn ours(report: &Report) -> Value {
    essence(&report.to_json())
}

/// Go's reference implementation, if it is installed.
pub fn go(arguments: &[&str]) -> Option<Result<String, String>> {
    const PATH: &str = "/usr/share/gocode";
    let there = Path::new(PATH).join("src/golang.org/x/mod/sumdb/tlog").is_dir();
    if !there || Command::new("go").arg("version").output().is_err() {
        eprintln!("SKIPPED: no Go with golang-golang-x-mod-dev; the reference implementation did not run");
        return None;
    }
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/go/check_proof.go");
    let output = Command::new("go")
        .args(["run", program])
        .args(arguments)
        .env("GO111MODULE", "off")
        .env("GOPATH", PATH)
        .env("GOFLAGS", "")
        .env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go"))
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Some(if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) })
}
