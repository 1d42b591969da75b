//! Tells cargo that a new migration is a change of the program: `sqlx::migrate!` reads the folder
//! while compiling, and cargo would otherwise only notice edits of files it has seen before.
//!
//! Queries are checked against the committed `.sqlx/`, unless `.env` names a developer's database:
//! the `DATABASE_URL` of a server to run tests on is no database to check queries against.

fn main() {
    // A test that needs strace is reported as ignored where there is none, not as passed.
    println!("cargo:rustc-check-cfg=cfg(has_strace)");
    if std::process::Command::new("strace").arg("-V").output().is_ok_and(|said| said.status.success()) {
        println!("cargo:rustc-cfg=has_strace");
    }
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-env-changed=SQLX_OFFLINE");
    if std::env::var_os("SQLX_OFFLINE").is_none() && !std::path::Path::new(".env").exists() {
        println!("cargo:rustc-env=SQLX_OFFLINE=true");
    }
}
