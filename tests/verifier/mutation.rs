//! Alters every value, member and event of an export, and many of its bytes, one at a time. Each alteration
//! must be detected and the right event named, and the Python verifier must give the same report.

use crate::fixture::{EVENTS, Register, STORIES, Story};
use crate::twins;
use ormantrace::services::verifier::verify;
use ormantrace::timber::event::types::EventType;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::PathBuf;

/// An altered file, a description of the alteration, and the event at which the verifier must detect it
/// (`None`: it names no event).
struct Altered {
    what: String,
    file: Vec<u8>,
    event: Option<usize>,
}

/// Alterations that need not be detected, but on which the verifier and the Python verifier must agree. They
/// disclose less and nothing false, or they affect only readers without keys of their own.
fn harmless(story: &Story) -> Vec<String> {
    let always = [
        "less asked: /policy/quorum",
        "without /keys/0",
        "without /policy/witnesses and quorum",
        "without salt and text of /events/3/parts/business",
    ];
    let erased = story.erased.map(|seq| format!("without /events/{}/parts/personal/erased", seq - 1));
    always.map(str::to_owned).into_iter().chain(erased).collect()
}

fn event_of(pointer: &str) -> Option<usize> {
    let rest = pointer.strip_prefix("/events/")?;
    rest.split('/').next()?.parse::<usize>().ok().map(|at| at + 1)
}

/// Pointers to every value of a document, except the root.
fn pointers(value: &Value, here: &str, found: &mut Vec<String>) {
    let mut child = |name: &str, value: &Value| {
        let pointer = format!("{here}/{name}");
        pointers(value, &pointer, found);
        found.push(pointer);
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| child(name, value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, value)| child(&at.to_string(), value)),
        _ => {}
    }
}

/// Other values of the same kind.
fn others(value: &Value) -> Vec<(String, Value)> {
    match value {
        Value::String(text) => {
            let chars: Vec<char> = text.chars().collect();
            let places = [0, chars.len() / 3, chars.len() / 2, chars.len() - 1];
            let mut changed: Vec<_> = places
                .into_iter()
                .map(|at| {
                    let mut chars = chars.clone();
                    chars[at] = if chars[at] == '1' { '2' } else { '1' };
                    (format!("character {at} of"), Value::String(chars.into_iter().collect()))
                })
                .collect();
            changed.push(("a longer".into(), json!(format!("{text}0"))));
            changed.push(("an empty".into(), json!("")));
            changed.push(("in capitals,".into(), json!(text.to_uppercase())));
            changed.retain(|(_, other)| other != value);
            changed
        }
        Value::Number(number) => {
            let number = number.as_u64().unwrap();
            vec![
                ("one more in".into(), json!(number + 1)),
                ("a fraction in".into(), json!(0.5)),
                ("less than nothing in".into(), json!(-1)),
            ]
        }
        Value::Bool(_) => vec![("false in".into(), json!(false)), ("null in".into(), json!(null))],
        Value::Array(items) if items.len() > 1 => {
            let mut swapped = items.clone();
            swapped.swap(0, 1);
            vec![("swapped in".into(), Value::Array(swapped))]
        }
        _ => vec![("null in".into(), json!(null))],
    }
}

fn altered(register: &Register) -> Vec<Altered> {
    let export = register.export();
    let mut found = Vec::new();
    let mut add = |what: String, file: Value, event: Option<usize>| {
        found.push(Altered { what, file: file.to_string().into_bytes(), event });
    };
    let mut places = Vec::new();
    pointers(&export, "", &mut places);
    for place in &places {
        let value = export.pointer(place).unwrap();
        // To save time, only the first three events of the twelve and the last one are altered.
        let event = event_of(place);
        if event.is_some_and(|event| (4..EVENTS).contains(&event)) {
            continue;
        }
        for (how, other) in others(value) {
            let mut file = export.clone();
            *file.pointer_mut(place).unwrap() = other;
            let swapped_events = place == "/events";
            add(format!("{how} {place}"), file, if swapped_events { Some(1) } else { event });
        }
        let (parent, name) = place.rsplit_once('/').unwrap();
        let mut file = export.clone();
        let parent = file.pointer_mut(parent).unwrap();
        match parent {
            Value::Object(members) => drop(members.remove(name)),
            Value::Array(items) => drop(items.remove(name.parse().unwrap())),
            _ => unreachable!("a parent"),
        }
        // A file without its last event is still valid, so this removal is left out here; the tests of the
        // check `complete` cover it.
        if *place != format!("/events/{}", EVENTS - 1) {
            add(format!("without {place}"), file, event);
        }
        if let Value::Object(members) = value {
            let mut file = export.clone();
            let mut members = members.clone();
            members.insert("besides".into(), json!(1));
            *file.pointer_mut(place).unwrap() = Value::Object(members);
            add(format!("a member more in {place}"), file, event);
        }
    }
    let mut twice = export.clone();
    twice["events"].as_array_mut().unwrap().insert(5, export["events"][4].clone());
    add("event 5 twice".into(), twice, Some(6));
    let mut foreign = export.clone();
    foreign["events"][6] = export["events"][3].clone();
    add("event 4 in the place of event 7".into(), foreign, Some(7));
    let mut parts = export.clone();
    parts["events"][6]["parts"] = export["events"][7]["parts"].clone();
    add("parts of event 8 in event 7".into(), parts, Some(7));
    let mut proofs = export.clone();
    proofs["events"][6]["proof"] = export["events"][7]["proof"].clone();
    proofs["events"][6]["index"] = export["events"][7]["index"].clone();
    add("proof of event 8 in event 7".into(), proofs, Some(7));

    // The same chain is called a chain of another kind of subject: of each known kind, of two reserved kinds,
    // and of two words that are no kind.
    for (kind, number) in EventType::KINDS.iter().map(|kind| (kind.name(), kind.byte())) {
        let mut other = export.clone();
        other["subject"]["kind"] = json!(kind);
        other["kind"] = json!(number);
        if other != export {
            add(format!("{kind} in /subject/kind"), other, Some(1));
        }
    }
    for format in 0..=3 {
        let mut other = export.clone();
        other["format"] = json!(format!("ormantrace/export/{format}"));
        if other != export {
            add(format!("format {format}"), other, None);
        }
    }
    for kind in ["waybill", "stack", "Organization"] {
        let mut other = export.clone();
        other["subject"]["kind"] = json!(kind);
        add(format!("{kind} in /subject/kind"), other, None);
    }

    let mut less = export.clone();
    less["policy"]["quorum"] = json!(0);
    add("less asked: /policy/quorum".into(), less, None);
    let mut nobody = export.clone();
    nobody["policy"] = json!({"quorum": 0, "witnesses": []});
    add("without /policy/witnesses and quorum".into(), nobody, None);
    let mut withheld = export.clone();
    let part = withheld["events"][3]["parts"]["business"].as_object_mut().unwrap();
    part.remove("salt");
    part.remove("text");
    add("without salt and text of /events/3/parts/business".into(), withheld, Some(4));

    for part in ["public", "business"] {
        let mut erased = export.clone();
        let part = erased["events"][3]["parts"][part].as_object_mut().unwrap();
        part.remove("salt");
        part.remove("text");
        part.insert("erased".into(), json!(true));
        add("a part erased that is of no person".into(), erased, Some(4));
    }
    let mut erased = export.clone();
    let none = |event: &Value| event["parts"]["personal"]["commitment"] == "0".repeat(64);
    let impersonal = export["events"].as_array().unwrap().iter().position(none).unwrap();
    erased["events"][impersonal]["parts"]["personal"]["erased"] = json!(true);
    add("a personal part erased that there never was".into(), erased, Some(impersonal + 1));

    let text = export.to_string();
    let twice = text.replacen("\"events\":", "\"events\":[],\"events\":", 1);
    found.push(Altered { what: "events named twice".into(), file: twice.into_bytes(), event: None });
    found
}

/// Alters single bytes, spread over the complete file. The digit of the quorum is left out.
fn bytes(register: &Register) -> Vec<Altered> {
    let whole = register.export().to_string().into_bytes();
    let quorum = String::from_utf8_lossy(&whole).find("\"quorum\":").unwrap() + "\"quorum\":".len();
    (0..whole.len())
        .step_by(97)
        .filter(|at| *at != quorum)
        .flat_map(|at| [0x01, 0x80].map(|bit| (at, bit)))
        .map(|(at, bit)| {
            let mut file = whole.clone();
            file[at] ^= bit;
            Altered { what: format!("bit {bit:#x} of byte {at}"), file, event: None }
        })
        .collect()
}

#[test]
fn every_alteration_is_found_and_its_event_named() {
    assert_eq!(STORIES.each_ref().map(|story| story.kind), EventType::KINDS, "one of each");
    for story in &STORIES {
        alterations_are_found(story);
    }
}

fn alterations_are_found(story: &'static Story) {
    let register = Register::of(story);
    let (trust, harmless) = (register.trust(), harmless(story));
    let (named, anywhere) = (altered(&register), bytes(&register));
    assert!(named.len() > 400 && anywhere.len() > 300, "{} and {}", named.len(), anywhere.len());
    let mut reports = Vec::new();
    for Altered { what, file, event } in named.iter().chain(&anywhere) {
        let report = verify(file, &trust).report;
        let is_harmless = harmless.contains(what);
        let what = format!("{}: {what}", story.kind.name());
        if is_harmless {
            assert!(report.holds(), "{what}:\n{report}");
        } else {
            assert!(!report.holds(), "{what} was not detected");
        }
        if let Some(event) = event
            && !report.holds()
        {
            assert_eq!(report.first_event(), Some(*event), "{what}:\n{report}");
        }
        reports.push(twins::ours(&report));
    }
    for what in &harmless {
        assert!(named.iter().any(|altered| altered.what == *what), "{what} is not among them");
    }

    let Some(python) = twins::python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = named
        .iter()
        .chain(&anywhere)
        .enumerate()
        .map(|(at, altered)| {
            let path = dir.path().join(at.to_string());
            std::fs::write(&path, &altered.file).unwrap();
            path
        })
        .collect();
    let arguments = [
        format!("--trust={}", register.signer.verifier()),
        format!("--witness={}", register.witness.verifier()),
        "--quorum=1".to_owned(),
    ];
    let theirs = twins::twin(&python, &arguments, &files);
    for ((ours, theirs), altered) in reports.iter().zip(&theirs).zip(named.iter().chain(&anywhere)) {
        assert_eq!(*ours, twins::essence(theirs), "{}", altered.what);
    }
}

#[test]
fn both_programs_agree_on_valid_files() {
    let Some(python) = twins::python() else { return };
    for story in &STORIES {
        both_say_the_same(&python, story);
    }
}

fn both_say_the_same(python: &OsString, story: &'static Story) {
    let register = Register::of(story);
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let memory = file("memory", register.earlier(400).to_string());
    let files = [
        file("export", register.export().to_string()),
        file("former", register.former_export().to_string()),
        file("proof", register.proof(3)),
        file("receipt", register.receipt().to_string()),
        file("checkpoint", register.note.to_string()),
        file("moved", register.proof(3).replace("index ", "index 2")),
    ];
    let arguments = [
        format!("--trust={}", register.signer.verifier()),
        format!("--receipts={}", register.receipts.verifier()),
        format!("--register={}", register.folder.root().display()),
        format!("--memory={}", memory.display()),
    ];
    let mut trust = register.trust();
    trust.receipts.push(register.receipts.verifier().clone());
    trust.witnesses.clear();
    trust.quorum = None;
    trust.register = Some(register.mirror());
    for file in &files {
        // Each file is checked against the same remembered checkpoint, of size 400. The file `memory` is
        // written anew for each check, because the Python verifier stores the newer checkpoint in it.
        std::fs::write(&memory, register.earlier(400).to_string()).unwrap();
        trust.memory =
            ormantrace::services::verifier::Memory::Seen(register.earlier(400).to_string().into_bytes());
        let theirs = twins::twin(python, &arguments, std::slice::from_ref(file)).remove(0);
        let report = verify(&std::fs::read(file).unwrap(), &trust).report;
        assert_eq!(twins::ours(&report), twins::essence(&theirs), "{}\n{report}\n{theirs}", file.display());
        let kept = std::fs::read_to_string(&memory).unwrap();
        let newer = report.holds() && !file.ends_with("receipt");
        assert_eq!(kept == register.note.to_string(), newer, "{}", file.display());
    }
}
