//! `backup` and `restore` as programs: the drill of docs/OPERATIONS.md, and what both refuse.

use crate::register::{Beside, key, publish_command, published, until};
use crate::support::process::{PATIENCE, Running, data, program, run, text};
use crate::verify::{copy_register, post, shown, store, storing};
use ormantrace::commands::demo::Participant;
use ormantrace::db;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Instant;

fn name(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn backup(data: &Path, to: &Path, more: &[&str]) -> Output {
    run(&[&["backup", name(to), "--data-dir", name(data)], more].concat())
}

fn restore(from: &Path, data: &Path, more: &[&str]) -> Output {
    run(&[&["restore", name(from), "--data-dir", name(data)], more].concat())
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Asserts that the program ended with 1; returns its message, the last line on standard error.
#[track_caller]
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}{}", text(&output.stdout), text(&output.stderr));
    let said = text(&output.stderr);
    said.lines().last().and_then(|line| line.strip_prefix("ormantrace: ")).expect("a message").to_owned()
}

fn manifest(backup: &Path) -> Value {
    serde_json::from_slice(&fs::read(backup.join("manifest.json")).expect("read")).expect("JSON")
}

/// Copies the data directory of a demonstration that has published its register and was stopped. All tests
/// share the original.
fn demo(data: &Path) {
    let original = crate::support::pg::shared_folder("backed-up", |dir| {
        let server = Running::start_as("demo", dir, &[]);
        until(dir, "the events of the demonstration", |_, checkpoint| checkpoint.size > 700);
        server.signal(Signal::TERM);
        assert_eq!(server.end().0.code(), Some(0));
    });
    fs::create_dir_all(data).expect("a folder");
    let copied =
        std::process::Command::new("cp").arg("-pR").arg(original.join(".")).arg(data).status().expect("runs");
    assert!(copied.success());
}

/// A copy of a folder.
fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-pR").arg(from).arg(to).status().expect("runs");
    assert!(copied.success());
}

fn killed_postgres(data: &Path) {
    let pid = fs::read_to_string(data.join("postgres/postmaster.pid")).expect("a server");
    let pid =
        pid.lines().next().and_then(|line| line.parse().ok()).and_then(Pid::from_raw).expect("a number");
    kill_process(pid, Signal::KILL).expect("killed");
}

fn history(server: &Running, seal: &str) -> Value {
    let (status, body) =
        server.get(&format!("/v1/logs/{seal}/history?evidence=none"), Some(Participant::Inspector.token()));
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

/// The yearly drill: back up while the server records, kill everything, destroy the data directory, restore.
#[test]
fn the_drill_of_a_lost_machine() {
    let place = data();
    let (data, desk) = (place.path().join("data"), place.path().join("desk"));
    demo(&data);
    fs::create_dir(&desk).expect("a folder");
    let server = Running::start_as("demo", &data, &[]);
    let export =
        crate::verify::until(&server, "/v1/logs/DEMO-000076/export", Some(Participant::Inspector), |body| {
            !body.contains("\"pending\"")
        });
    fs::write(desk.join("old.json"), export).expect("written");
    let body = storing(&["DEMO-000002"]);
    let record = |server: &Running| {
        post(server, Participant::Harvester, "/v1/custody-events", "before-the-backup-0001", &body)
    };
    let receipt = record(&server);
    fs::write(desk.join("receipt.json"), receipt).expect("written");
    let acknowledged = history(&server, "DEMO-000002");
    let (register, receipts) = (shown(&data, "register.key"), shown(&data, "receipt.key"));
    let marking = fs::read(data.join("keys/marking.key")).expect("read");

    // The server continues to record events while the backup is made.
    let copy = place.path().join("copy");
    let said = std::thread::scope(|scope| {
        let backing_up = scope.spawn(|| backup(&data, &copy, &[]));
        // Records at least one event, and then more until the backup is finished.
        for n in 0.. {
            store(&server, &format!("during-the-backup-{n:04}"), &["DEMO-000001"]);
            if backing_up.is_finished() {
                break;
            }
        }
        succeeds(&backing_up.join().expect("no panic"))
    });
    let made = manifest(&copy);
    assert!(said.starts_with(&format!("Backed up {} events", made["events"])), "{said}");
    assert_eq!(made["keys"], serde_json::json!(["marking.key", "receipt.key", "register.key"]));
    assert!(made["register"]["size"].as_u64() <= made["leaves"].as_u64(), "{made}");

    // Everything is lost.
    server.signal(Signal::KILL);
    killed_postgres(&data);
    server.end();
    fs::remove_dir_all(&data).expect("removed");

    let said = succeeds(&restore(&copy, &data, &[]));
    assert!(said.contains(&format!("Restored {} events", made["events"])), "{said}");
    assert!(said.contains("It was not compared with a published register"), "{said}");
    assert!(
        said.contains("Compared with the published register") && said.contains("Nothing is wrong."),
        "{said}"
    );
    assert_eq!(fs::read(data.join("keys/marking.key")).expect("read"), marking);
    assert_eq!(
        (shown(&data, "register.key"), shown(&data, "receipt.key")),
        (register.clone(), receipts.clone())
    );
    assert!(!data.join("restoring").exists());

    // The server works as before: the acknowledged event exists, its idempotency key returns the stored
    // response, old files verify, and the register continues.
    let server = Running::start(&data, &[]);
    let events = |history: &Value| history["events"].clone();
    assert_eq!(events(&history(&server, "DEMO-000002")), events(&acknowledged));
    assert_eq!(record(&server), fs::read(desk.join("receipt.json")).expect("read"));
    assert!(!server.told.iter().any(|line| line.contains("KEY FILE IS MISSING")), "{:#?}", server.told);
    let publisher = Beside::start(publish_command(&data, &[]));
    let leaves = made["leaves"].as_u64().expect("a number");
    until(&data, "the leaves of the backup", |_, checkpoint| checkpoint.size >= leaves);
    copy_register(&data, &desk.join("register"));
    let checked = |file: &str, flags: &[&str]| {
        succeeds(&run(&[&["verify"], flags, &[name(&desk.join(file))]].concat()));
    };
    checked("old.json", &["--trust", &register, "--register", name(&desk.join("register"))]);
    checked("receipt.json", &["--receipts", &receipts]);
    publisher.stop();
    server.signal(Signal::TERM);
    assert_eq!(server.end().0.code(), Some(0));
    succeeds(&run(&["fsck", "--data-dir", name(&data)]));
}

/// Test of a restore when the published register has more leaves than the backup.
#[test]
fn a_register_with_more_is_refused_or_its_loss_is_accepted_and_named() {
    let place = data();
    let (data, copy_of) = (place.path().join("data"), place.path().join("copy"));
    demo(&data);
    succeeds(&backup(&data, &copy_of, &[]));
    let leaves = manifest(&copy_of)["leaves"].as_u64().expect("a number");
    let old_key = shown(&data, "register.key");

    let server = Running::start_as("demo", &data, &[]);
    store(&server, "after-the-backup-0001", &["DEMO-000002"]);
    until(&data, "what came after the backup", |_, checkpoint| checkpoint.size > leaves);
    server.signal(Signal::TERM);
    assert_eq!(server.end().0.code(), Some(0));
    let size = published(&data).expect("published").1.size;

    // The database is lost, but the register still exists.
    let (new, register) = (place.path().join("new"), place.path().join("register"));
    fs::rename(data.join("register"), &register).expect("moved");
    let flags = ["--register", name(&register)];
    let said = refused(&restore(&copy_of, &new, &flags));
    let wanted =
        format!("has {size} leaves and the backup {leaves}: leaves {leaves} to {} would be lost.", size - 1);
    assert!(said.contains(&wanted), "{said}");
    assert!(!new.join("postgres").exists() && !new.join("keys").exists(), "nothing was restored");

    // The keys of the lost machine are in place again already, the register's key among them.
    fs::create_dir(&new).expect("a folder");
    copy(&data.join("keys"), &new.join("keys"));
    let said = succeeds(&restore(&copy_of, &new, &[&flags[..], &["--accept-loss"]].concat()));
    assert!(said.contains(&format!("Lost: leaves {leaves} to {} of the register", size - 1)), "{said}");
    let lost: Vec<&str> = said.lines().filter(|line| line.starts_with("lost ")).collect();
    assert_eq!(lost.len() as u64, size - leaves, "{said}");
    assert!(lost[0].contains(" of log ") && lost[0].ends_with("seal DEMO-000002"), "{said}");
    assert!(said.contains("Nothing is wrong."), "{said}");

    // The old register stays readable next to the new one, which has another name and key.
    let kept = fs::read_dir(place.path()).expect("read").flatten().map(|entry| entry.path());
    let kept: Vec<PathBuf> = kept.filter(|path| name(path).contains("register-until-")).collect();
    let (_, checkpoint) = read_checkpoint(&kept[0]);
    assert_eq!((kept.len(), checkpoint.size), (1, size));
    let new_key = shown(&new, "register.key");
    let origin = |key: &str| key.split('+').next().expect("a name").to_owned();
    assert!(
        new_key != old_key && origin(&new_key).starts_with(&format!("{}/20", origin(&old_key))),
        "{new_key}"
    );
    assert!(said.contains(&new_key), "{said}");
    let old_file = fs::read_dir(new.join("keys")).expect("read").flatten().map(|entry| entry.path());
    let old_file = old_file.into_iter().find(|path| name(path).contains("register-until-")).expect("kept");
    assert_eq!(key(&["show", name(&old_file)]).to_string(), old_key);

    // The new register needs no --begin, and it covers the restored events.
    let server = Running::start(&new, &["--register-dir", name(&register)]);
    let mut command = program();
    command.args(["--log-format", "json", "publish", "--poll-milliseconds", "10", "--data-dir"]).arg(&new);
    command.arg("--register-dir").arg(&register);
    let publisher = Beside::start(command);
    let since = Instant::now();
    while !register.join("checkpoint").exists() || read_checkpoint(&register).1.size < leaves {
        assert!(since.elapsed() < PATIENCE, "the new register is not published");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    publisher.stop();
    server.signal(Signal::TERM);
    assert_eq!(server.end().0.code(), Some(0));
}

fn read_checkpoint(
    register: &Path,
) -> (ormantrace::evidence::tlog::Note, ormantrace::evidence::tlog::Checkpoint) {
    let bytes =
        ormantrace::evidence::tlog::Folder::new(register).published().expect("read").expect("published");
    let note = ormantrace::evidence::tlog::Note::parse(&bytes).expect("a note");
    let checkpoint = ormantrace::evidence::tlog::Checkpoint::parse(note.text()).expect("a checkpoint");
    (note, checkpoint)
}

#[test]
fn a_damaged_backup_is_refused_before_anything_is_written() {
    let place = data();
    let (data, good) = (place.path().join("data"), place.path().join("good"));
    demo(&data);
    succeeds(&backup(&data, &good, &[]));
    // sha256sum reads the list too.
    let mut sums = std::process::Command::new("sha256sum");
    sums.args(["--quiet", "-c", "SHA256SUMS"]).current_dir(&good);
    assert!(sums.status().is_ok_and(|status| status.success()));

    let new = place.path().join("new");
    for (n, file) in ["database.dump", "keys/receipt.key", "manifest.json", "register/state/checkpoint"]
        .into_iter()
        .enumerate()
    {
        let bad = place.path().join(format!("bad-{n}"));
        copy(&good, &bad);
        let mut bytes = fs::read(bad.join(file)).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(bad.join(file), bytes).expect("written");
        let said = refused(&restore(&bad, &new, &[]));
        assert!(said.contains(&format!("{file} was altered")), "{said}");
        fs::remove_file(bad.join(file)).expect("removed");
        let said = refused(&restore(&bad, &new, &[]));
        assert!(said.contains(&format!("{file} is missing")), "{said}");
    }
    let bad = place.path().join("interrupted");
    copy(&good, &bad);
    fs::remove_file(bad.join("SHA256SUMS")).expect("removed");
    let said = refused(&restore(&bad, &new, &[]));
    assert!(said.contains("it has no SHA256SUMS, which is written last"), "{said}");
    assert!(!new.exists(), "a refused restore makes no data directory");
}

#[test]
fn without_pg_dump_into_a_folder_with_files_or_over_a_database_nothing_is_done() {
    let place = data();
    let (data, to) = (place.path().join("data"), place.path().join("copy"));
    demo(&data);

    // A folder with the server programs of PostgreSQL, but without its client programs.
    let bin = place.path().join("bin");
    fs::create_dir(&bin).expect("a folder");
    let found = db::programs::Programs::find(None).expect("installed");
    for program in ["postgres", "initdb"] {
        std::os::unix::fs::symlink(found.path(program), bin.join(program)).expect("linked");
    }
    let mut command = program();
    command.args(["backup", name(&to), "--data-dir", name(&data)]).env("PG_BINDIR", &bin);
    let said = refused(&command.output().expect("runs"));
    assert!(said.starts_with("pg_dump of PostgreSQL "), "{said}");
    assert!(!to.exists(), "nothing was written");

    fs::create_dir(&to).expect("a folder");
    fs::write(to.join("older"), "pine").expect("written");
    let said = refused(&backup(&data, &to, &[]));
    assert!(said.ends_with("is not empty: a backup needs a new or an empty folder."), "{said}");
    assert_eq!(fs::read_dir(&to).expect("read").count(), 1);

    fs::remove_file(to.join("older")).expect("removed");
    succeeds(&backup(&data, &to, &[]));
    let said = refused(&restore(&to, &data, &[]));
    assert!(said.contains("has a database already: restore into an empty data directory"), "{said}");

    // A backup without keys is refused, unless --without-keys is given. The restore of such a backup is
    // refused until the keys are in the data directory.
    fs::rename(data.join("keys"), place.path().join("keys")).expect("moved");
    let bare = place.path().join("bare");
    let said = refused(&backup(&data, &bare, &[]));
    assert!(said.contains("marking.key does not exist"), "{said}");
    succeeds(&backup(&data, &bare, &["--without-keys"]));
    let new = place.path().join("new");
    let said = refused(&restore(&bare, &new, &[]));
    assert!(said.contains("The backup has no keys"), "{said}");
    fs::create_dir(&new).expect("a folder");
    copy(&place.path().join("keys"), &new.join("keys"));
    succeeds(&restore(&bare, &new, &[]));

    // A server does not start in a data directory in which a restore was interrupted.
    let half = place.path().join("half");
    fs::create_dir_all(half.join("restoring")).expect("a folder");
    let mut serve = program();
    serve.args(["serve", "--listen", "127.0.0.1:0", "--data-dir", name(&half)]);
    let (status, said) = Beside::start(serve).end();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("was interrupted: run it again"), "{said}");
    assert!(!half.join("postgres").exists() && !half.join("keys").exists());
    // Running the same restore again removes what the interrupted one left, and succeeds.
    fs::create_dir_all(half.join("restoring/postgres/base")).expect("a folder");
    succeeds(&restore(&to, &half, &[]));
    assert!(half.join("postgres").exists() && !half.join("restoring").exists());
}

/// Backs up a database on a server given by `DATABASE_URL`, and restores it into another database on that
/// server.
#[tokio::test(flavor = "multi_thread")]
async fn a_given_server_is_backed_up_and_restored_too() {
    let place = data();
    let (from, to) = (crate::support::pg::TestDb::empty().await, crate::support::pg::TestDb::empty().await);
    let (data, copy, new) = (place.path().join("data"), place.path().join("copy"), place.path().join("new"));
    let (from_url, to_url) = (from.url(), to.url());
    let work = move || {
        let server = Running::start_as("demo", &data, &["--database-url", &from_url]);
        until(&data, "the events of the demonstration", |_, checkpoint| checkpoint.size > 700);
        succeeds(&backup(&data, &copy, &["--database-url", &from_url]));
        server.signal(Signal::TERM);
        assert_eq!(server.end().0.code(), Some(0));
        let register = data.join("register");
        let flags = ["--database-url", &to_url, "--register", name(&register)];
        let said = succeeds(&restore(&copy, &new, &flags));
        assert!(said.contains("The register continues in"), "{said}");
        assert!(said.contains("Nothing is wrong."), "{said}");
        let again = refused(&restore(&copy, &new, &flags));
        assert!(again.contains("has tables: restore into an empty data directory or database"), "{again}");
        let server = Running::start(&new, &["--database-url", &to_url, "--register-dir", name(&register)]);
        assert_eq!(server.get("/v1/verify/DEMO-000041", None).0, 200);
        server.signal(Signal::TERM);
        assert_eq!(server.end().0.code(), Some(0));
    };
    tokio::task::spawn_blocking(work).await.expect("no panic");
}
