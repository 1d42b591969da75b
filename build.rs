//! Makes cargo rebuild when a migration is added: `sqlx::migrate!` reads the folder while compiling,
//! and cargo would otherwise only notice edits of files it has seen before.
//!
//! Queries are checked against the committed `.sqlx/`, unless `.env` names a developer's database.
//! A `DATABASE_URL` in the environment names a server for tests, not a database to check queries against.

fn main() {
    // Without strace, a test that needs it is reported as ignored, not as passed.
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
