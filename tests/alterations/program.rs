//! The `fsck` command as an administrator or a script uses it.

use crate::support::pg::TestDb;
use std::process::{Command, Output};

fn fsck(url: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_ormantrace"))
        .args(["fsck", "--log", "off", "--data-dir"])
        .arg(folder.path())
        .env("DATABASE_URL", url)
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_distinguishes_clean_wrong_and_unchecked() {
    let db = TestDb::new().await;
    let clean = fsck(&db.url());
    let told = String::from_utf8_lossy(&clean.stdout).into_owned();
    assert_eq!(clean.status.code(), Some(0), "{clean:?}");
    assert!(told.lines().count() == 1 && told.contains("Nothing is wrong."), "{told}");

    sqlx::query(
        "INSERT INTO organization (id, salt, head_seq, head_hash, head_received_at, bin, name, kind, roles, created_at)
         VALUES ('01999999-9999-7999-8999-999999999999', $1, 1, $1, now(), '040640000019', 'ЖК «Сүлейменова Айгүл»',
             'sole_trader', '{enterprise}', now())",
    )
    .bind([1_u8; 32].as_slice())
    .execute(&mut db.owner().await)
    .await
    .unwrap();
    let wrong = fsck(&db.url());
    let told = String::from_utf8_lossy(&wrong.stdout).into_owned();
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    let line = "row-unexplained organization 01999999-9999-7999-8999-999999999999 \
                event 01999999-9999-7999-8999-999999999999/1: no event is about it";
    assert_eq!(told.lines().next(), Some(line));
    assert!(told.contains("WRONG: 1 row-unexplained."), "{told}");
    assert!(!told.contains("Сүлейменова") && !told.contains("040640000019"), "no personal data");

    let unchecked = fsck(&db.url().replace("/ormantrace_test_", "/no_such_database_"));
    assert_eq!(unchecked.status.code(), Some(2), "{unchecked:?}");
}
