//! The drills of changing keys (docs/OPERATIONS.md) on a register with a history. Files that readers received
//! before the change stay valid after it, and the witness accepts the new key.

use crate::register::{Beside, key, until};
use crate::support::process::{Running, data, program, run, text};
use crate::verify::{copy_register, shown, store};
use ormantrace::commands::demo::Participant;
use ormantrace::evidence::tlog::note::VerifierKey;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn checked(file: &Path, arguments: &[&str]) -> bool {
    let output = run(&[&["verify"], arguments, &[file.to_str().expect("text")]].concat());
    let valid = output.status.success();
    assert_eq!(output.status.code(), Some(i32::from(!valid)));
    assert_eq!(text(&output.stdout).ends_with("Valid.\n"), valid, "{}", text(&output.stdout));
    valid
}

fn publish(data: &Path, keys: &str, witness: &str) -> Beside {
    let mut command = program();
    command.args(["--log-format", "json", "publish", "--poll-milliseconds", "10", "--data-dir"]).arg(data);
    command.args(["--register-key", keys, "--witness", witness, "--quorum", "1"]);
    Beside::start(command)
}

fn witness(data: &Path, listen: &str, registers: &[&VerifierKey]) -> (Beside, String) {
    let mut command = program();
    command.args(["--log-format", "json", "witness", "--listen", listen, "--dir"]).arg(data.join("witness"));
    command.arg("--key").arg(data.join("keys/witness.key"));
    for register in registers {
        command.args(["--register", &register.to_string()]);
    }
    let mut witness = Beside::start(command);
    let address = witness.told("witnessing")["address"].as_str().expect("an address").to_owned();
    (witness, address)
}

#[test]
fn after_the_drill_old_files_hold_and_the_witness_knows_the_new_key() {
    let data = data();
    let desk = data.path().join("desk");
    fs::create_dir(&desk).expect("a folder");
    let put = |name: &str, body: &[u8]| {
        let file = desk.join(name);
        fs::write(&file, body).expect("written");
        file
    };
    let read = |server: &Running, path: &str| {
        let who = Some(Participant::Inspector);
        let whole = |body: &str| !body.contains("\"pending\"") && body.contains("/witness ");
        crate::verify::until(server, path, who, whole).into_bytes()
    };

    // Creates a register with its first key, and the files that a reader receives under this key.
    let server = Running::start_as("demo", data.path(), &[]);
    let old_proof = put("old.tlog-proof", &read(&server, "/v1/logs/DEMO-000001/proof"));
    let old_export = put("old.json", &read(&server, "/v1/logs/DEMO-000076/export"));
    let old_checkpoint = put("old.checkpoint", &read(&server, "/checkpoint"));
    let old_receipt = put("old-receipt.json", &store(&server, "drilled-storing-0001", &["DEMO-000002"]));
    server.signal(Signal::TERM);
    assert_eq!(server.end().0.code(), Some(0));
    let path = |name: &str| data.path().join(name).to_str().expect("text").to_owned();
    let (old_file, new_file) = (path("keys/register.key"), path("keys/register-2.key"));
    let old = key(&["show", &old_file]);
    let new = key(&["make", "--name", old.name(), &new_file]);
    let seen_by: VerifierKey = shown(data.path(), "witness.key").parse().expect("a key");
    let old_receipts = shown(data.path(), "receipt.key");

    // The receipt key is replaced at the next start. `keys.json` then lists the old key in addition to the
    // new one.
    fs::rename(path("keys/receipt.key"), path("keys/receipt-1.key")).expect("put away");
    let server = Running::start(data.path(), &["--former-receipt-key", &old_receipts]);
    // The server warns that the key file is missing, because it cannot distinguish a key that was replaced on
    // purpose from a key that a restore left out.
    assert!(server.told.iter().any(|line| line.contains("THE KEY FILE IS MISSING")), "{:#?}", server.told);
    let new_receipts = shown(data.path(), "receipt.key");
    assert_ne!(new_receipts, old_receipts);

    // Now both register keys sign. The witness knows only the old key, and continues to cosign.
    let (watching, address) = witness(data.path(), "127.0.0.1:0", &[&old]);
    let at = format!("http://{address}={seen_by}");
    let all = [old.clone(), new.clone(), seen_by.clone()];
    let by = |wanted: Vec<&'static str>| {
        let (all, names) = (all.clone(), ["old", "new", "witness"]);
        move |note: &ormantrace::evidence::tlog::Note, size: u64, least: u64| {
            let found = note.verify(&all).map(|found| found.iter().map(|one| one.key).collect::<Vec<_>>());
            let found = found.unwrap_or_default();
            let found: Vec<&str> = names
                .into_iter()
                .zip(&all)
                .filter(|(_, key)| found.contains(key))
                .map(|(name, _)| name)
                .collect();
            size >= least && found == wanted
        }
    };
    let reached = |wanted: Vec<&'static str>, least: u64| {
        let is_so = by(wanted.clone());
        until(data.path(), &format!("{wanted:?}"), |note, checkpoint| is_so(note, checkpoint.size, least))
            .1
            .size
    };
    let both = publish(data.path(), &format!("{old_file},{new_file}"), &at);
    let size = reached(vec!["old", "new", "witness"], 1);
    both.stop();

    // Now the new register key signs alone. The witness does not cosign until it is started with this key.
    fs::rename(&old_file, path("keys/register-1.key")).expect("put away");
    let alone = publish(data.path(), &new_file, &at);
    let new_receipt = put("new-receipt.json", &store(&server, "drilled-storing-0002", &["DEMO-000001"]));
    reached(vec!["new"], size + 1);
    watching.stop();
    let (watching, _) = witness(data.path(), &address, &[&old, &new]);
    reached(vec!["new", "witness"], size + 1);
    let new_export = put("new.json", &read(&server, "/v1/logs/DEMO-000001/export"));
    copy_register(data.path(), &desk.join("register"));
    let (_, told) = server.get("/keys.json", None);
    alone.stop();
    watching.stop();
    server.signal(Signal::TERM);
    assert_eq!(server.end().0.code(), Some(0));

    // Files signed by the old register key verify with the old key and the witness's key. The new key alone
    // is not enough.
    let (old, new, seen_by) = (old.to_string(), new.to_string(), seen_by.to_string());
    for file in [&old_proof, &old_export, &old_checkpoint] {
        assert!(checked(file, &["--trust", &old, "--witness", &seen_by]), "{}", file.display());
        assert!(!checked(file, &["--trust", &new]), "{}", file.display());
        assert!(checked(file, &["--trust", &old, "--trust", &new]), "{}", file.display());
    }
    // The new export is consistent with the checkpoint that the reader has remembered since before the change
    // of keys.
    let register = desk.join("register");
    let going_on =
        ["--register", register.to_str().expect("text"), "--memory", old_checkpoint.to_str().expect("text")];
    assert!(checked(&new_export, &[&["--trust", &new, "--witness", &seen_by][..], &going_on].concat()));
    assert!(!checked(&new_export, &["--trust", &old]));
    // Receipts from before and after the change verify, each with its own receipt key. `keys.json` publishes
    // both keys.
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["receipts"], json!([new_receipts, old_receipts]));
    assert!(checked(&old_receipt, &["--receipts", &old_receipts]));
    assert!(!checked(&old_receipt, &["--receipts", &new_receipts]));
    assert!(checked(&new_receipt, &["--receipts", &new_receipts]));
    assert!(!checked(&new_receipt, &["--receipts", &old_receipts]));
}
