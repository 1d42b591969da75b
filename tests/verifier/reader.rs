//! Checks by a reader who has more than the file itself (a newer checkpoint, keys of two kinds, the seal in
//! hand), and checks of files that another program has saved. Each file is checked by the verifier and by the
//! Python verifier, which must agree.

use crate::fixture::{EVENTS, Register, STORIES, Story, VOIDED, morning};
use crate::{failed_at, outcome, twins};
use ormantrace::evidence::tlog::{Checkpoint, Note, VerifierKey};
use ormantrace::services::verifier::report::{Check, Outcome, Report, Verdict};
use ormantrace::services::verifier::{Memory, Trust, verify};
use serde_json::{Value, json};

/// Returns the verifier's report. Asserts that the Python verifier's report is the same.
#[track_caller]
fn both(data: &[u8], trust: &Trust) -> Report {
    let report = verify(data, trust).report;
    let Some(python) = twins::python() else { return report };
    let dir = tempfile::tempdir().unwrap();
    let (file, memory) = (dir.path().join("file"), dir.path().join("memory"));
    std::fs::write(&file, data).unwrap();
    let comma =
        |keys: &[VerifierKey]| keys.iter().map(ToString::to_string).collect::<Vec<String>>().join(",");
    let mut arguments = Vec::new();
    for (flag, keys) in [("trust", &trust.keys), ("receipts", &trust.receipts), ("witness", &trust.witnesses)]
    {
        if !keys.is_empty() {
            arguments.push(format!("--{flag}={}", comma(keys)));
        }
    }
    arguments.extend(trust.quorum.map(|quorum| format!("--quorum={quorum}")));
    arguments.extend(trust.seal.as_ref().map(|seal| format!("--seal={seal}")));
    arguments.extend(trust.register.as_ref().map(|copy| format!("--register={}", copy.folder().display())));
    if let Memory::Seen(note) = &trust.memory {
        std::fs::write(&memory, note).unwrap();
        arguments.push(format!("--memory={}", memory.display()));
    }
    let theirs = twins::twin(&python, &arguments, &[file]).remove(0);
    assert_eq!(twins::ours(&report), twins::essence(&theirs), "{report}\n{theirs:#}");
    report
}

#[track_caller]
fn checked(file: &Value, trust: &Trust) -> Report {
    both(file.to_string().as_bytes(), trust)
}

#[track_caller]
fn said(report: &Report, words: &str) {
    assert!(report.to_string().contains(words), "no {words:?} in:\n{report}");
}

#[test]
fn an_old_export_is_counted_to_the_newest_checkpoint_that_the_reader_has() {
    let register = Register::new();
    let old = register.earlier_export(400);
    let shown = old["events"].as_array().unwrap().len();
    assert!(shown < EVENTS - 2);
    let newest = Memory::Seen(register.note.to_string().into_bytes());
    let copy = Some(register.mirror());

    // The copy of the register is newer than the file's checkpoint. The result is the same without a memory
    // and with a memory of the newest checkpoint.
    for memory in [Memory::None, newest.clone()] {
        let report = checked(&old, &Trust { register: copy.clone(), memory, ..register.trust() });
        assert_eq!(report.verdict(), Verdict::Incomplete, "{report}");
        assert_eq!(outcome(&report, Check::Complete), Outcome::Incomplete, "{report}");
        said(&report, &format!("events {}–{EVENTS} are in the register and not shown", shown + 1));
        said(&report, "the file's checkpoint is older, of size 400");
        said(&report, "Valid as far as shown.\n");
        assert!(!report.holds() && report.to_json()["valid"] == false);
    }
    // If the register has no later event of this chain, the file is complete. The report still states that
    // the file's checkpoint is older.
    let late = register.events[EVENTS - 1].index + 1;
    let report = checked(&register.earlier_export(late), &Trust { register: copy, ..register.trust() });
    assert_eq!(report.verdict(), Verdict::Valid, "{report}");
    said(&report, &format!("the file's checkpoint is older, of size {late}"));

    // The memory is newer than the copy of the register, so the copy cannot show that no later event exists.
    let (_dir, copy) = register.earlier_mirror(400);
    let trust = Trust { register: Some(copy.clone()), ..register.trust() };
    let report = checked(&old, &trust);
    assert_eq!(report.verdict(), Verdict::Valid, "complete as far as the reader knows:\n{report}");
    let report = checked(&old, &Trust { memory: newest, ..trust });
    assert_eq!(failed_at(&report, Check::Complete), [None], "{report}");
    said(&report, "renew the copy");

    // The copy has a checkpoint that no trusted key has signed, a checkpoint of another register, or none.
    let folder = copy.folder().join("checkpoint");
    let signed = |origin: &str, signer| {
        let tree = Checkpoint::parse(register.earlier(400).text()).unwrap();
        let text = Checkpoint::new(origin, tree.size, tree.root).unwrap().to_string();
        Note::sign(text, &[signer], morning()).unwrap().to_string()
    };
    let name = register.receipts.verifier().name();
    for note in [signed(name, &register.receipts), signed("other.example", &register.signer), String::new()] {
        std::fs::write(&folder, &note).unwrap();
        let report = checked(&old, &Trust { register: Some(copy.clone()), ..register.trust() });
        assert_eq!(failed_at(&report, Check::Complete), [None], "{note}\n{report}");
    }
}

#[test]
fn an_old_file_is_incomplete_and_not_false_if_a_newer_checkpoint_was_seen() {
    let register = Register::new();
    let seen = |note: &Note| Memory::Seen(note.to_string().into_bytes());
    let with = |memory| Trust { memory, ..register.trust() };
    let newest = with(seen(&register.note));
    let old = register.earlier_export(400);
    let mut without_witness = newest.clone();
    (without_witness.witnesses, without_witness.quorum) = (Vec::new(), Some(0));
    let note = register.earlier(400).to_string();
    for report in [checked(&old, &newest), both(note.as_bytes(), &without_witness)] {
        assert_eq!(report.verdict(), Verdict::Incomplete, "{report}");
        assert_eq!(outcome(&report, Check::Memory), Outcome::Incomplete, "{report}");
        said(&report, &format!("a newer checkpoint, of size {}; the file's is of size 400", register.size()));
        said(&report, "give --register");
        said(&report, "Valid as far as shown.\n");
    }
    // With the copy, the two are compared.
    let report = checked(&old, &Trust { register: Some(register.mirror()), ..newest.clone() });
    assert_eq!(outcome(&report, Check::Memory), Outcome::Ok, "{report}");
    // Contradictions remain failures: another register, and two roots of one size.
    let fork = Register::with_stranger(1);
    let report = checked(&old, &with(seen(&fork.earlier(400))));
    assert_eq!(failed_at(&report, Check::Memory), [None], "{report}");
    let report =
        checked(&old, &with(Memory::Seen(register.note.to_string().replace("timber", "paper").into())));
    assert_eq!(failed_at(&report, Check::Memory), [None], "{report}");
    // A newer checkpoint without a proof stays a failure: it would replace the one that was seen.
    let report = checked(&register.export(), &with(seen(&register.earlier(400))));
    assert_eq!(failed_at(&report, Check::Memory), [None], "{report}");
    said(&report, "export with ?since=400");
}

#[test]
fn a_file_says_where_its_readers_access_ended_and_the_register_what_is_not_shown() {
    let register = Register::new();
    let trust = Trust { register: Some(register.mirror()), ..register.trust() };
    let cut = |mut export: Value| {
        export["events"].as_array_mut().unwrap().truncate(7);
        export
    };
    let mut until = cut(register.export());
    until["until"] = json!(7);
    let claim = "the file says its reader's access ended at 7, which nothing proves";
    for (file, why) in [(until.clone(), claim), (cut(register.former_export()), "the file does not say why")]
    {
        let report = checked(&file, &trust);
        assert_eq!(report.verdict(), Verdict::Incomplete, "{report}");
        said(
            &report,
            &format!("INCOMPLETE   complete    events 8–12 are in the register and not shown; {why}\n"),
        );
        assert_eq!(checked(&file, &register.trust()).verdict(), Verdict::Valid);
    }
    // In the present format, a file has `until` if the access of its reader has ended. A file that lacks
    // events and has no `until` was therefore cut.
    let report = checked(&cut(register.export()), &trust);
    assert_eq!(failed_at(&report, Check::Complete), [Some(8)], "{report}");
    said(&report, "the register has 12 events of this chain, the file shows 7\n");
    said(&checked(&until, &register.trust()), claim);
    // The register has no event after the one that `until` names, so the file is complete.
    let mut whole = register.export();
    whole["until"] = json!(EVENTS);
    assert_eq!(checked(&whole, &trust).verdict(), Verdict::Valid);
    assert_eq!(checked(&register.former_export(), &trust).verdict(), Verdict::Valid);

    // `until` is refused if it is not the number of the file's events, and in the earlier format, which has
    // no `until`.
    for wrong in [json!(8), json!(6), json!(0), json!(-7), json!("7"), json!(null)] {
        until["until"] = wrong;
        assert_eq!(failed_at(&checked(&until, &trust), Check::Format), [None], "{until}");
    }
    for member in ["until", "kind"] {
        let mut former = register.former_export();
        former[member] = json!(EVENTS);
        assert_eq!(failed_at(&checked(&former, &trust), Check::Format), [None], "{member}");
    }
}

#[test]
fn a_kind_of_chain_that_is_not_known_is_refused_by_name() {
    let register = Register::new();
    for (kind, words) in [
        (json!(5), "the chain is of another kind than its subject"),
        (json!(6), "a chain of kind 6, waybill, which is not known here"),
        (json!(7), "a chain of kind 7, which is not known here"),
        (json!(0), "0 is not the number of a kind"),
        (json!(8), "8 is not the number of a kind"),
        (json!(2), "the chain is of another kind than its subject"),
        (json!("log"), "format"),
        (json!(true), "format"),
        (json!(1.0), "format"),
    ] {
        let mut export = register.export();
        export["kind"] = kind.clone();
        let report = checked(&export, &register.trust());
        assert_eq!(failed_at(&report, Check::Format), [None], "{kind}");
        said(&report, words);
    }
}

#[test]
fn a_key_has_the_role_of_its_flag_and_no_other() {
    let register = Register::new();
    let (own, receipts) = (register.signer.verifier().clone(), register.receipts.verifier().clone());
    // This checkpoint is signed only by the receipt key, and under the name of that key.
    let tree = Checkpoint::parse(register.note.text()).unwrap();
    let text = Checkpoint::new(receipts.name(), tree.size, tree.root).unwrap().to_string();
    let forged = Note::sign(text, &[&register.receipts], morning()).unwrap().to_string();
    let mut export = register.export();
    export["checkpoint"] = json!(forged);
    let both_keys = Trust { keys: vec![own.clone()], receipts: vec![receipts.clone()], ..Trust::default() };
    for report in [checked(&export, &both_keys), both(forged.as_bytes(), &both_keys)] {
        assert_eq!(failed_at(&report, Check::Checkpoint), [None], "{report}");
    }
    // A genuine receipt verifies with the receipt key (given with --receipts) alone, and also if the register
    // key is given as well.
    let only = Trust { receipts: vec![receipts.clone()], ..Trust::default() };
    for trust in [&both_keys, &only] {
        assert_eq!(checked(&register.receipt(), trust).verdict(), Verdict::Valid);
    }
    let kept = Trust { register: Some(register.mirror()), ..only.clone() };
    assert_eq!(checked(&register.receipt(), &kept).verdict(), Verdict::Valid);
    for keys in [vec![own], vec![receipts]] {
        let report = checked(&register.receipt(), &Trust { keys, ..Trust::default() });
        assert_eq!(failed_at(&report, Check::Receipt), [None], "{report}");
        said(&report, "--receipts");
    }
    for file in [register.export().to_string(), register.proof(2), register.note.to_string()] {
        let report = both(file.as_bytes(), &only);
        assert_eq!(failed_at(&report, Check::Checkpoint), [None], "{report}");
        said(&report, "--trust");
    }
    said(&checked(&register.receipt(), &Trust::default()), "Give --receipts");
}

#[test]
fn a_witness_that_is_named_twice_counts_once() {
    let register = Register::new();
    let mut export = register.export();
    let witness = register.witness.verifier().to_string();
    export["policy"] = json!({"quorum": 2, "witnesses": [witness, witness]});
    let report = checked(&export, &Trust::default());
    assert_eq!(failed_at(&report, Check::Witnesses), [None], "{report}");
}

#[test]
fn a_file_is_of_one_kind() {
    let register = Register::new();
    let trust = Trust { receipts: vec![register.receipts.verifier().clone()], ..register.trust() };
    let receipt = register.receipt();
    let mut altered = register.export();
    altered["events"][1]["parts"]["business"]["text"] = json!("{}");
    altered["receipt"] = receipt["receipt"].clone();
    altered["logs"] = receipt["events"].clone();
    assert_eq!(failed_at(&checked(&altered, &trust), Check::Format), [None]);
    let with = |name: &str, value: Value| {
        let mut file = receipt.clone();
        file[name] = value;
        file
    };
    for (name, value) in [
        ("subject", altered["subject"].clone()),
        ("checkpoint", altered["checkpoint"].clone()),
        ("policy", altered["policy"].clone()),
        ("logs", receipt["events"].clone()),
    ] {
        assert_eq!(failed_at(&checked(&with(name, value), &trust), Check::Format), [None], "{name}");
    }
    let mut inside = receipt.clone();
    inside["receipt"]["proof"] = json!([]);
    assert_eq!(failed_at(&checked(&inside, &trust), Check::Format), [None]);

    // The receipt may list its leaves in a member of its own. Then each event of the response must be one of
    // these leaves.
    let hashes: Vec<Value> =
        receipt["events"].as_array().unwrap().iter().map(|one| one["hash"].clone()).collect();
    let mut apart = receipt.clone();
    apart["receipt"]["leaves"] = json!(hashes);
    assert_eq!(checked(&apart, &trust).verdict(), Verdict::Valid);
    apart["events"].as_array_mut().unwrap().pop();
    assert_eq!(checked(&apart, &trust).verdict(), Verdict::Valid);
    apart["events"][0]["hash"] = json!("11".repeat(32));
    assert_eq!(failed_at(&checked(&apart, &trust), Check::Leaves), [None]);
    let mut none = receipt;
    none["receipt"] = json!({"note": none["receipt"]["note"], "leaves": []});
    assert_eq!(failed_at(&checked(&none, &trust), Check::Leaves), [None]);
}

#[test]
fn a_line_names_each_event_with_a_part_that_is_not_shown() {
    let register = Register::new();
    let hidden = |report: &Report| -> Vec<(Option<usize>, String)> {
        let lines = report.lines.iter();
        let lines = lines.filter(|line| line.check == Check::Parts && line.outcome == Outcome::Unchecked);
        lines.map(|line| (line.event, line.detail.clone())).collect()
    };
    let mut export = register.export();
    let erased = (Some(2), "not shown: personal (erased, by the file)".to_owned());
    assert_eq!(hidden(&checked(&export, &register.trust())), std::slice::from_ref(&erased));
    for (event, part) in [(0, "personal"), (3, "public"), (3, "business"), (5, "business")] {
        let part = export["events"][event]["parts"][part].as_object_mut().unwrap();
        part.remove("salt");
        part.remove("text");
    }
    let report = checked(&export, &register.trust());
    let expected = [(1, "personal"), (4, "public, business"), (6, "business")];
    let mut expected = expected.map(|(event, parts)| (Some(event), format!("not shown: {parts}"))).to_vec();
    expected.insert(1, erased);
    assert_eq!(hidden(&report), expected, "{report}");
    said(&report, "not checked  parts       event 4: not shown: public, business\n");
    assert_eq!(report.verdict(), Verdict::Valid, "{report}");
}

#[test]
fn a_file_says_what_it_is_about_and_is_compared_with_the_seal_in_hand() {
    let register = Register::new();
    let about = |report: &Report| report.lines.iter().find(|line| line.check == Check::About).cloned();
    let export = register.export();
    let trust = |seal: &str| Trust { seal: Some(seal.to_owned()), ..register.trust() };
    let report = checked(&export, &register.trust());
    let detail = about(&report).unwrap().detail;
    assert_eq!(detail, "seal KZ-0000009, pinus_sylvestris, felling ticket А 000117", "{report}");
    for seal in [
        "KZ-0000009",
        " kz-0000009\n",
        "010460711234567621KZ0000009",
        "010460711234567621KZ0000009\u{1d}91KZ01\u{1d}92x",
        "]d2010460711234567621KZ0000009\u{1d}91KZ01\u{1d}92x",
        "KZ 0000009",
        "kz 000 0009",
        "KZ\u{2013}0000009",
        "\u{41a}Z-0000009",
        "\u{43a}z\u{2212}0000009",
        "]A0KZ-0000009",
        "\u{200b}KZ\u{a0}0000009 ",
    ] {
        let report = checked(&export, &trust(seal));
        assert_eq!(report.verdict(), Verdict::Valid, "{report}");
    }
    // The reader gives the seal of another log, and the seal that this log had before event 9.
    for (seal, words) in [
        ("KZ-0000004", "the file is about seal KZ-0000009, not KZ-0000004"),
        ("KZ-0000001", "seal KZ-0000001 was replaced"),
        ("010460711234567621KZ00000091", "not 0104"),
        ("", "not "),
    ] {
        let report = checked(&export, &trust(seal));
        assert_eq!(failed_at(&report, Check::About), [None], "{report}");
        said(&report, words);
    }
    // The check of the seal also fails if the public part of an event is hidden, because this event may have
    // replaced the seal. It also fails if the text of a part does not match its commitment, because such a
    // text proves nothing.
    let mut hidden = export.clone();
    let part = hidden["events"][10]["parts"]["public"].as_object_mut().unwrap();
    part.remove("salt");
    part.remove("text");
    assert_eq!(checked(&hidden, &register.trust()).verdict(), Verdict::Valid);
    let report = checked(&hidden, &trust("KZ-0000009"));
    assert_eq!(failed_at(&report, Check::About), [None], "{report}");
    said(&report, "the public part of event 11 is not shown");
    let mut other = export.clone();
    let text =
        other["events"][8]["parts"]["public"]["text"].as_str().unwrap().replace("KZ-0000009", "KZ-0000004");
    other["events"][8]["parts"]["public"]["text"] = json!(text);
    let report = checked(&other, &trust("KZ-0000004"));
    assert_eq!(failed_at(&report, Check::About), [None], "{report}");

    // A file without texts cannot show which seal it is about.
    let receipts = vec![register.receipts.verifier().clone()];
    for file in [register.proof(3), register.note.to_string(), register.receipt().to_string()] {
        let report = both(file.as_bytes(), &Trust { receipts: receipts.clone(), ..trust("KZ-0000009") });
        assert_eq!(failed_at(&report, Check::About), [None], "{report}");
    }
    let report = both(register.proof(3).as_bytes(), &register.trust());
    assert_eq!(outcome(&report, Check::About), Outcome::Unchecked, "{report}");
    // Exports of other subjects state which subject they are about, and fail if a seal is given.
    let stories: &'static [Story; 5] = &STORIES;
    for story in &stories[1..] {
        let other = Register::of(story);
        let report = checked(&other.export(), &other.trust());
        assert!(about(&report).is_some(), "{report}");
        let report = checked(&other.export(), &Trust { seal: Some("KZ-0000009".into()), ..other.trust() });
        assert_eq!(failed_at(&report, Check::About), [None], "{report}");
    }
}

#[test]
fn a_seal_that_was_voided_is_named_as_void() {
    static STORY: Story = VOIDED;
    let register = Register::of(&STORY);
    let trust = |seal: &str| Trust { seal: Some(seal.to_owned()), ..register.trust() };
    let void =
        "about       seal KZ-0000009 (void since event 11), pinus_sylvestris, felling ticket А 000117\n";
    // The file is about this seal all the same.
    for trust in [trust("KZ-0000009"), register.trust()] {
        let report = checked(&register.export(), &trust);
        assert_eq!(report.verdict(), Verdict::Valid, "{report}");
        said(&report, void);
    }
    let report = checked(&register.export(), &trust("KZ-0000001"));
    assert_eq!(failed_at(&report, Check::About), [None], "{report}");
    said(&report, "seal KZ-0000001 was replaced by KZ-0000009 at event 9 and is void since\n");
    // The first seal was void before it was replaced; the present one was not yet.
    let mut earlier = register.export();
    earlier["events"].as_array_mut().unwrap().truncate(10);
    said(&checked(&earlier, &trust("KZ-0000009")), "about       seal KZ-0000009, pinus_sylvestris");
    earlier["events"].as_array_mut().unwrap().truncate(8);
    said(&checked(&earlier, &trust("KZ-0000001")), "seal KZ-0000001 (void since event 7), ");
}

#[test]
fn a_receipt_names_what_the_response_only_claims() {
    let register = Register::new();
    let trust = Trust { receipts: vec![register.receipts.verifier().clone()], ..Trust::default() };
    let mut receipt = register.receipt();
    receipt["events"][0]["log"] = json!("01999999-9999-7999-8999-999999999999");
    receipt["events"][0]["seq"] = json!(77);
    receipt["events"][0]["seal_number"] = json!("KZ-0000001");
    let report = checked(&receipt, &trust);
    assert_eq!(report.verdict(), Verdict::Valid, "{report}");
    assert_eq!(outcome(&report, Check::About), Outcome::Unchecked, "{report}");
    said(
        &report,
        "only the hashes are promised; ids, seq, seals and all else in the response are what the file says",
    );
    // With a seal in hand there is one line, which fails.
    let report = checked(&receipt, &Trust { seal: Some("KZ-0000001".into()), ..trust });
    assert_eq!(failed_at(&report, Check::About), [None], "{report}");
    assert_eq!(report.lines.iter().filter(|line| line.check == Check::About).count(), 1, "{report}");
}

#[test]
fn a_memory_and_a_copy_of_the_register_are_read_as_another_program_saved_them() {
    let register = Register::new();
    let note = register.note.to_string();
    let units = |order: fn(u16) -> [u8; 2], mark: &str| -> Vec<u8> {
        format!("{mark}{note}").encode_utf16().flat_map(order).collect()
    };
    let (_dir, copy) = register.earlier_mirror(usize::try_from(register.size()).unwrap());
    let with = |memory| Trust { memory, register: Some(copy.clone()), ..register.trust() };
    let receipts = vec![register.receipts.verifier().clone()];
    for saved in [
        format!("\u{feff}{note}").into_bytes(),
        units(u16::to_le_bytes, "\u{feff}"),
        units(u16::to_be_bytes, "\u{feff}"),
        units(u16::to_le_bytes, ""),
    ] {
        std::fs::write(copy.folder().join("checkpoint"), &saved).unwrap();
        let trust = with(Memory::Seen(saved.clone()));
        let report = checked(&register.export(), &trust);
        assert_eq!(report.verdict(), Verdict::Valid, "{report}");
        assert_eq!(outcome(&report, Check::Memory), Outcome::Ok, "{report}");
        assert_eq!(outcome(&report, Check::Complete), Outcome::Ok, "{report}");
        let report = checked(&register.receipt(), &Trust { receipts: receipts.clone(), ..trust });
        assert_eq!(report.verdict(), Verdict::Valid, "{report}");
        let mut odd = saved;
        odd.truncate(odd.len() / 2 * 2 - 1);
        if odd.contains(&0) {
            let report = checked(&register.export(), &with(Memory::Seen(odd)));
            assert_eq!(failed_at(&report, Check::Memory), [None], "{report}");
            said(&report, "the memory cannot be read: the file begins like UTF-16, but is not UTF-16");
        }
    }
}

#[test]
fn a_file_saved_by_another_program_is_read_and_no_other_sentence_is_wrong() {
    let register = Register::new();
    let trust = Trust { receipts: vec![register.receipts.verifier().clone()], ..register.trust() };
    let files = [
        register.export().to_string(),
        register.receipt().to_string(),
        register.proof(3),
        register.note.to_string(),
    ];
    for file in &files {
        let units = |order: fn(u16) -> [u8; 2], mark: &str| -> Vec<u8> {
            format!("{mark}{file}").encode_utf16().flat_map(order).collect()
        };
        let saved = [
            format!("\u{feff}{file}").into_bytes(),
            units(u16::to_le_bytes, "\u{feff}"),
            units(u16::to_be_bytes, "\u{feff}"),
            units(u16::to_le_bytes, ""),
            units(u16::to_be_bytes, ""),
        ];
        for saved in &saved {
            let report = both(saved, &trust);
            assert_eq!(report.verdict(), Verdict::Valid, "{report}");
        }
        let mut odd = saved[1].clone();
        odd.pop();
        let report = both(&odd, &trust);
        assert_eq!(failed_at(&report, Check::Format), [None], "{report}");
        said(&report, "not UTF-16");
    }
    for (file, words) in [
        ("<!DOCTYPE html>\n<html><body>Неверно</body></html>", "this is a web page"),
        ("\u{feff}\r\n<?xml version=\"1.0\"?>", "this is a web page"),
        ("[", "this is a list in JSON"),
        ("[{\"format\": \"ormantrace/export/2\"}]", "this is a list in JSON"),
        ("\"KZ-0000009\"", "this is a text in JSON"),
        ("PK\u{3}\u{4}xl/workbook.xml", "this is a ZIP archive or a spreadsheet"),
        ("%PDF-1.7", "this is a PDF"),
    ] {
        let report = both(file.as_bytes(), &trust);
        assert_eq!(failed_at(&report, Check::Format), [None], "{report}");
        said(&report, words);
    }
    for (file, words) in [
        (String::new(), "it is empty"),
        ("\u{feff}\r\n".to_owned(), "it is empty"),
        (register.note.to_string().replace('\n', "\r\n"), "CR LF"),
        (register.proof(3).replace('\n', "\r\n"), "CR LF"),
        (format!("\u{feff}\u{feff}{}", register.note), "byte-order mark"),
    ] {
        let report = both(file.as_bytes(), &trust);
        assert_eq!(failed_at(&report, Check::Checkpoint), [None], "{report}");
        said(&report, words);
        assert!(!report.to_string().contains("no empty line"), "{report}");
    }
    let lines = serde_json::to_string_pretty(&register.export()).unwrap().replace('\n', "\r\n");
    assert_eq!(both(lines.as_bytes(), &trust).verdict(), Verdict::Valid);
}
