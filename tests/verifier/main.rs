//! The offline verifier detects every alteration of a file, and independent programs report the same.

mod fixture;
mod mutants;
mod mutation;
#[path = "../support/random.rs"]
#[allow(dead_code, reason = "this binary takes what it needs")]
mod random;
mod reader;
#[path = "../support/twins.rs"]
mod twins;

use fixture::{EVENTS, Register};
use ormantrace::evidence::tlog::to_base64;
use ormantrace::services::verifier::report::{Check, Outcome, Report};
use ormantrace::services::verifier::{Memory, Trust, verify};
use serde_json::{Value, json};

fn check(file: &Value, trust: &Trust) -> Report {
    verify(file.to_string().as_bytes(), trust).report
}

#[track_caller]
fn outcome(report: &Report, check: Check) -> Outcome {
    report.lines.iter().find(|line| line.check == check).unwrap_or_else(|| panic!("{report}")).outcome
}

/// The events at which a check failed.
fn failed_at(report: &Report, check: Check) -> Vec<Option<usize>> {
    let failed = report.lines.iter().filter(|line| line.check == check && line.outcome == Outcome::Failed);
    failed.map(|line| line.event).collect()
}

#[test]
fn a_valid_history_reports_whose_key_it_trusts() {
    let register = Register::new();
    let report = check(&register.export(), &register.trust());
    assert!(report.holds() && report.trusted, "{report}");
    assert!(report.to_string().ends_with("Valid.\n"), "{report}");

    // The file is consistent, but the reader trusts none of the keys that signed it.
    let alone = check(&register.export(), &Trust::default());
    assert!(alone.holds() && !alone.trusted, "{alone}");
    assert!(alone.to_string().contains("signed by a key from the file itself"), "{alone}");

    // The reader trusts only the receipt key, which did not sign the checkpoint.
    let stranger = Trust { keys: vec![register.receipts.verifier().clone()], ..register.trust() };
    let report = check(&register.export(), &stranger);
    assert_eq!(failed_at(&report, Check::Checkpoint), [None], "{report}");
}

#[test]
fn too_few_witnesses_are_a_failure() {
    let register = Register::new();
    let missing = ormantrace::evidence::tlog::Signer::from_seed(
        "witness.example/other",
        ormantrace::evidence::tlog::note::Kind::Cosignature,
        &[9; 32],
    )
    .unwrap();
    let mut trust = register.trust();
    trust.witnesses.push(missing.verifier().clone());
    let report = check(&register.export(), &trust);
    assert!(report.holds(), "{report}");
    trust.quorum = Some(2);
    let report = check(&register.export(), &trust);
    assert_eq!(failed_at(&report, Check::Witnesses), [None], "{report}");
    trust.quorum = None;
    let report = check(&register.export(), &trust);
    assert_eq!(failed_at(&report, Check::Witnesses), [None], "more than all named witnesses: {report}");
}

#[test]
fn what_is_not_yet_in_the_register_is_named() {
    let register = Register::new();
    let mut export = register.export();
    let last = export["events"][EVENTS - 1].as_object_mut().unwrap();
    last.remove("index");
    last.remove("proof");
    last.insert("pending".into(), json!(true));
    let report = check(&export, &register.trust());
    assert_eq!(failed_at(&report, Check::Inclusion), [Some(EVENTS)], "{report}");
    assert_eq!(report.lines.iter().filter(|line| line.outcome == Outcome::Failed).count(), 1, "{report}");
}

#[test]
fn events_left_off_the_end_show_in_the_register() {
    let register = Register::new();
    let trust = Trust { register: Some(register.mirror()), ..register.trust() };
    let mut export = register.export();
    let report = check(&export, &trust);
    assert_eq!(outcome(&report, Check::Complete), Outcome::Ok, "{report}");

    export["events"].as_array_mut().unwrap().truncate(9);
    let blind = check(&export, &register.trust());
    assert!(blind.holds() && outcome(&blind, Check::Complete) == Outcome::Unchecked, "{blind}");
    assert_eq!(failed_at(&check(&export, &trust), Check::Complete), [Some(10)], "cut, and no end claimed");
    export["until"] = json!(9);
    let report = check(&export, &trust);
    assert_eq!(outcome(&report, Check::Complete), Outcome::Incomplete, "{report}");
    assert!(report.to_string().contains("events 10–12 are in the register and not shown"), "{report}");
    assert!(report.to_string().ends_with("Valid as far as shown.\n"), "{report}");

    // The copy is of a register with other entries, so it does not match the signed tree.
    let other = Register::with_stranger(1);
    let trust = Trust { register: Some(other.mirror()), ..register.trust() };
    assert_eq!(failed_at(&check(&export, &trust), Check::Complete), [None]);
}

#[test]
fn two_histories_shown() {
    let (register, fork) = (Register::new(), Register::with_stranger(1));
    let seen = |register: &Register| Memory::Seen(register.note.to_string().into_bytes());
    let with = |memory: Memory| Trust { memory, ..register.trust() };
    assert!(check(&register.export(), &with(seen(&register))).holds());
    assert!(check(&register.export(), &with(Memory::Fresh)).holds());
    let report = check(&fork.export(), &with(seen(&register)));
    assert_eq!(failed_at(&report, Check::Memory), [None], "{report}");
    assert!(report.to_string().contains("two histories"), "{report}");

    // If the remembered checkpoint has another size than the file's checkpoint, the tiles of the register's
    // copy or a proof in the file must show that both are consistent.
    let earlier = |of: &Register| Memory::Seen(of.earlier(400).to_string().into_bytes());
    let without = check(&register.export(), &with(earlier(&register)));
    assert_eq!(failed_at(&without, Check::Memory), [None], "{without}");
    let copy = |memory| Trust { register: Some(register.mirror()), ..with(memory) };
    assert!(check(&register.export(), &copy(earlier(&register))).holds());
    let report = check(&register.export(), &copy(earlier(&fork)));
    assert_eq!(failed_at(&report, Check::Memory), [None], "{report}");
    assert!(report.to_string().contains("rewritten"), "{report}");

    let mut export = register.export();
    let proof = register.folder.tree(register.size()).consistency(400).unwrap();
    export["consistency"] = json!({"from": 400, "proof": proof});
    assert!(check(&export, &with(earlier(&register))).holds());
    assert!(!check(&export, &with(earlier(&fork))).holds());

    // An old file with a newer memory.
    let mut old = register.export();
    old["events"].as_array_mut().unwrap().truncate(1);
    old["checkpoint"] = json!(register.earlier(400).to_string());
    old["events"][0]["proof"] = json!(register.folder.tree(400).inclusion(register.events[0].index).unwrap());
    let trust = Trust { witnesses: Vec::new(), quorum: Some(0), ..copy(seen(&register)) };
    let report = check(&old, &trust);
    assert_eq!(outcome(&report, Check::Memory), Outcome::Ok, "{report}");
    assert_eq!(outcome(&report, Check::Inclusion), Outcome::Ok, "{report}");

    let other = Memory::Seen(register.note.to_string().replace("timber", "paper").into_bytes());
    assert!(!check(&register.export(), &with(other)).holds());
    assert!(!check(&register.export(), &with(Memory::Seen(b"nothing".to_vec()))).holds());
}

#[test]
fn a_proof_holds_and_any_other_entry_does_not() {
    let register = Register::new();
    let proof = register.proof(4);
    let report = verify(proof.as_bytes(), &register.trust()).report;
    assert!(report.holds() && report.trusted, "{report}");
    let other = proof.replace("index ", "index 1");
    assert!(!verify(other.as_bytes(), &register.trust()).report.holds());
    let other = proof.replacen("extra ", "extra A", 1);
    assert!(!verify(other.as_bytes(), &register.trust()).report.holds());
}

#[test]
fn a_receipt_shows_what_was_dropped_before_it_was_sequenced() {
    let register = Register::new();
    let receipts = vec![register.receipts.verifier().clone()];
    let trust = Trust { receipts, register: Some(register.mirror()), ..register.trust() };
    let receipt = register.receipt();
    let report = check(&receipt, &trust);
    assert!(report.holds() && report.trusted, "{report}");

    let mut other = receipt.clone();
    other["events"].as_array_mut().unwrap().swap(0, 1);
    assert_eq!(failed_at(&check(&other, &trust), Check::Leaves), [None]);

    // The receipt promises a second leaf that is not in the register, as if the operator had dropped the
    // event.
    let dropped = Register::with_stranger(1);
    let mut promised = receipt.clone();
    let ghost = dropped.events[0].entry.link();
    let leaves = [ghost, ormantrace::evidence::chain::Hash([7; 32])];
    let root = to_base64(&ormantrace::evidence::tlog::tree::root_of(&leaves));
    let name = register.receipts.verifier().name();
    let text = format!("{name}\nreceipt/1\n2026-10-05T05:00:00.000000Z\n2\n{root}\nwithin 60\n");
    let note =
        ormantrace::evidence::tlog::Note::sign(text, &[&register.receipts], fixture::morning()).unwrap();
    promised["receipt"] = json!({"leaves": leaves, "note": note.to_string()});
    let report = check(&promised, &trust);
    assert_eq!(failed_at(&report, Check::Inclusion), [Some(2)], "{report}");
}

#[test]
fn a_bare_checkpoint() {
    let register = Register::new();
    let report = verify(register.note.to_string().as_bytes(), &register.trust()).report;
    assert!(report.holds() && report.trusted, "{report}");
    for other in ["", "{", "[]", "nothing\n", "\u{0}", "timber.example/register\n1\n"] {
        assert!(!verify(other.as_bytes(), &register.trust()).report.holds(), "{other:?}");
    }
}

#[test]
fn the_reference_implementation_agrees() {
    let register = Register::new();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let keys = [register.signer.verifier().to_string(), register.witness.verifier().to_string()];
    let old = file("old", register.earlier(400).to_string());
    let steps = register.folder.tree(register.size()).consistency(400).unwrap();
    let steps = file("steps", steps.iter().map(|hash| to_base64(hash) + "\n").collect());
    let proof = file("proof", register.proof(11));
    let Some(good) = twins::go(&[&keys[0], &keys[1], &proof, &old, &steps]) else { return };
    let index = register.events[11].index;
    let size = register.size();
    let said = format!("entry {index} of {size}, 2 signatures\n400 is the beginning of {size}\n");
    assert_eq!(good, Ok(said));
    let moved = register.proof(11).replace(&format!("index {index}"), &format!("index {}", index - 1));
    let moved = file("moved", moved);
    let bad = twins::go(&[&keys[0], &keys[1], &moved, &old, &steps]).unwrap();
    assert!(bad.is_err_and(|said| said.contains("invalid transparency proof")));
}
