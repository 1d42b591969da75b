//! `verify` as a program: it checks files that the server really returned, valid and altered ones, with each
//! flag. Its results are compared with those of an independent verifier in Python.

use crate::support::process::{PATIENCE, Running, data, run, text};
use crate::twins::{essence, python, twin};
use ormantrace::base::clock::Clock;
use ormantrace::commands::demo::Participant;
use ormantrace::evidence::chain::bytes::Hash;
use ormantrace::evidence::tlog::{Checkpoint, Note, Signer};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Flags of a check.
type Flags<'a> = &'a [(&'a str, &'a str)];
/// The checks that must fail, each with the event at which it fails.
type Failing<'a> = &'a [(&'a str, Option<u64>)];

/// A reader's folder of received files, and the interpreter for the Python verifier.
struct Desk {
    folder: PathBuf,
    python: Option<OsString>,
}

impl Desk {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).expect("written");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("read")
    }

    /// The arguments for one call of a verifier. Each call gets its own copy of the memory file, so that no
    /// call sees the checkpoint that another call has stored.
    fn arguments(&self, flags: Flags<'_>, memory: &str) -> Vec<String> {
        let mut arguments = Vec::new();
        for (flag, value) in flags {
            let value = match *flag {
                "--memory" => {
                    let _ = fs::remove_file(self.path(memory));
                    if self.path(value).exists() {
                        fs::copy(self.path(value), self.path(memory)).expect("copied");
                    }
                    self.path(memory)
                }
                "--register" => self.path(value),
                _ => PathBuf::from(value),
            };
            arguments.extend([(*flag).to_owned(), value.to_str().expect("text").to_owned()]);
        }
        arguments
    }

    /// Checks a file as [`Desk::judge`] does. The exit code must be 0 if no check is expected to fail,
    /// otherwise 1.
    #[track_caller]
    fn check(&self, name: &str, flags: Flags<'_>, failing: Failing<'_>) -> String {
        self.judge(name, flags, failing, i32::from(!failing.is_empty()))
    }

    /// Checks a file three times: with text output, with JSON output and with the Python verifier. Compares
    /// their exit codes and failing checks. With `--memory`, also compares the remembered checkpoints; the
    /// next check then uses this checkpoint. Returns the text output.
    #[track_caller]
    fn judge(&self, name: &str, flags: Flags<'_>, failing: Failing<'_>, code: i32) -> String {
        let file = self.path(name);
        let of = |arguments: &[String], more: &[&str]| {
            let mut all = vec!["verify"];
            all.extend(more);
            all.extend(arguments.iter().map(String::as_str));
            all.push(file.to_str().expect("text"));
            run(&all)
        };
        let code = Some(code);
        let as_json = self.arguments(flags, "memory.json");
        let output = of(&as_json, &["--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        assert_eq!(output.status.code(), code, "{name} {flags:?}: {report:#}");
        assert_eq!(report["valid"], code == Some(0));
        let lines = report["checks"].as_array().expect("checks");
        let failed: Vec<(&str, Option<u64>)> = lines
            .iter()
            .filter(|line| line["outcome"] == "failed")
            .map(|line| (line["check"].as_str().expect("a name"), line["event"].as_u64()))
            .collect();
        assert_eq!(failed, failing, "{name} {flags:?}: {report:#}");

        let as_text = self.arguments(flags, "memory.text");
        let output = of(&as_text, &[]);
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), code, "{name} {flags:?}: {said}");
        assert_eq!(said.lines().filter(|line| line.starts_with("FAILED ")).count(), failing.len(), "{said}");
        let told = text(&output.stderr);
        assert_eq!(told.contains("is not valid."), code == Some(1), "{told}");

        let by_python = self.python.as_ref().map(|python| {
            let arguments = self.arguments(flags, "memory.python");
            let theirs = twin(python, &arguments, std::slice::from_ref(&file)).remove(0);
            assert_eq!(essence(&theirs), essence(&report), "{name} {flags:?}");
            "memory.python"
        });
        if let Some((_, memory)) = flags.iter().find(|(flag, _)| *flag == "--memory") {
            let kept = |of: &str| fs::read(self.path(of)).ok();
            let ours = kept("memory.json");
            assert_eq!(kept("memory.text"), ours, "{name}");
            if let Some(theirs) = by_python {
                assert_eq!(kept(theirs), ours, "{name}: the twin remembers another checkpoint");
            }
            match ours {
                Some(bytes) => self.put(memory, bytes),
                None => assert!(!self.path(memory).exists(), "{name}: a memory was lost"),
            }
        }
        said
    }

    /// Copies a file with one change.
    fn altered(&self, name: &str, from: &str, to: &str) -> String {
        let good = String::from_utf8(self.read(name)).expect("text");
        assert!(good.contains(from), "{name} has no {from:?}");
        let other = format!("altered-{name}");
        self.put(&other, good.replacen(from, to, 1));
        other
    }
}

/// The response body of a write request, byte for byte.
pub fn post(server: &Running, who: Participant, path: &str, key: &str, body: &Value) -> Vec<u8> {
    let (token, body) = (who.token(), body.to_string());
    let mut stream = TcpStream::connect(server.address).expect("connects");
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: orman.test\r\nauthorization: Bearer {token}\r\ncontent-type: \
         application/json\r\nidempotency-key: {key}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 201 "), "{answer}");
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
    body.as_bytes().to_owned()
}

/// Requests a path until the response is a 200 with a body that satisfies `wanted`; returns the body.
pub fn until(
    server: &Running,
    path: &str,
    who: Option<Participant>,
    wanted: impl Fn(&str) -> bool,
) -> String {
    let since = Instant::now();
    loop {
        let (status, body) = server.get(path, who.map(Participant::token));
        if status == 200 && wanted(&body) {
            return body;
        }
        assert!(since.elapsed() < PATIENCE, "{path}: {status} {body}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}

/// Copies the published register. Repeats the copy until the checkpoint has not changed meanwhile.
pub fn copy_register(data: &Path, to: &Path) {
    let from = data.join("register");
    let checkpoint = || fs::read(from.join("checkpoint")).expect("published");
    loop {
        let before = checkpoint();
        let _ = fs::remove_dir_all(to);
        copy(&from, to);
        if checkpoint() == before {
            break;
        }
    }
}

/// The public half of one of the server's keys, as `key show` prints it.
pub fn shown(data: &Path, name: &str) -> String {
    let output = run(&["key", "show", data.join("keys").join(name).to_str().expect("text")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

/// Records a harvest of three pines on the demonstration's ticket, and their storage in the yard; returns
/// both responses.
fn fell_and_store(server: &Running) -> (Vec<u8>, Vec<u8>) {
    let (_, tickets) = server.get("/v1/felling-tickets?limit=100", Some(Participant::Harvester.token()));
    let tickets: Value = serde_json::from_str(&tickets).expect("JSON");
    let mut tickets = tickets["items"].as_array().expect("tickets").iter();
    let ticket = tickets.find(|ticket| ticket["number"] == "000117").expect("the harvester's ticket");
    let now = Clock::system().now();
    let at = |minutes| (now - chrono::TimeDelta::minutes(minutes)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let logs: Vec<Value> = (188..=190)
        .map(|n| {
            json!({
                "seal_number": format!("DEMO-{n:06}"), "kind": "log", "species": "pinus_sylvestris",
                "wood": "commercial", "assortment": "saw_log", "grade": 2, "length_m": 6,
                "top_diameter_cm": 22, "volume_m3": 0.28, "measurement_method": "gost_2708_75",
                "occurred_at": at(50),
            })
        })
        .collect();
    let harvest = json!({
        "felling_ticket_id": ticket["id"], "responsible_person": {"name": "Ерлан Жүнісов"}, "logs": logs
    });
    let harvested = post(server, Participant::Harvester, "/v1/harvests", "verified-harvest-0001", &harvest);
    (harvested, store(server, "verified-storing-0001", &["DEMO-000188", "DEMO-000189", "DEMO-000190"]))
}

/// Records that these logs are stored; returns the response.
pub fn store(server: &Running, key: &str, logs: &[&str]) -> Vec<u8> {
    post(server, Participant::Harvester, "/v1/custody-events", key, &storing(logs))
}

/// The body that records that these logs are stored now.
pub fn storing(logs: &[&str]) -> Value {
    let now = Clock::system().now().format("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({
        "type": "stored", "logs": logs, "occurred_at": now,
        "place": {"name": "Төменгі қойма, Бородулиха", "region": "KZ-10", "kind": "storage"}
    })
}

#[test]
fn verify_accepts_what_a_server_returns_and_nothing_altered() {
    let data = data();
    let server = Running::start_as("demo", data.path(), &[]);
    let witnessed = |body: &str| body.contains("/witness ");
    let desk = Desk { folder: data.path().join("desk"), python: python() };
    fs::create_dir(&desk.folder).expect("a folder");

    // Before the harvest, the reader copies the register and its checkpoint, as a third party would.
    until(&server, "/v1/logs/DEMO-000330/proof", Some(Participant::Inspector), witnessed);
    copy_register(data.path(), &desk.path("earlier-register"));
    fs::copy(desk.path("earlier-register/checkpoint"), desk.path("earlier.checkpoint")).expect("copied");
    let size_of = |name: &str| {
        let note = Note::parse(&desk.read(name)).expect("a note");
        Checkpoint::parse(note.text()).expect("a checkpoint").size
    };
    let earlier = size_of("earlier.checkpoint");

    let (harvested, stored) = fell_and_store(&server);
    desk.put("harvested.json", &harvested);
    desk.put("stored.json", &stored);
    // Waits until both events of the log are in the register. The register does not grow after that.
    let second = |body: &str| body.matches("\"index\":").count() == 2 && !body.contains("\"pending\"");
    let path = format!("/v1/logs/DEMO-000188/export?since={earlier}");
    let export = until(&server, &path, Some(Participant::Inspector), |body| second(body) && witnessed(body));
    desk.put("export.json", export);
    desk.put(
        "long.json",
        until(&server, "/v1/logs/DEMO-000076/export", Some(Participant::Inspector), witnessed),
    );
    desk.put(
        "a.tlog-proof",
        until(&server, "/v1/logs/DEMO-000188/proof", Some(Participant::Inspector), witnessed),
    );
    desk.put("newest.checkpoint", until(&server, "/checkpoint", None, witnessed));
    copy_register(data.path(), &desk.path("register"));
    let register = shown(data.path(), "register.key");
    let witness = shown(data.path(), "witness.key");
    let receipts = shown(data.path(), "receipt.key");
    // A third party can read every key at the register, including the receipt key.
    let told: Value = serde_json::from_str(&server.get("/keys.json", None).1).expect("JSON");
    assert_eq!(told["keys"], json!([register]));
    assert_eq!(told["witnesses"], json!([witness]));
    assert_eq!(told["receipts"], json!([receipts]));
    let (_, page) = server.get("/register?lang=en", None);
    assert!(page.contains(receipts.as_str()), "{page}");
    server.signal(Signal::TERM);
    assert_eq!(server.end().0.code(), Some(0));
    let newest = size_of("newest.checkpoint");
    assert!(newest >= earlier + 6, "{earlier} to {newest}");

    // From here on no server runs.
    let trust = ("--trust", register.as_str());
    let receipted = ("--receipts", receipts.as_str());
    let seen_by = ("--witness", witness.as_str());
    let mirror = ("--register", "register");

    // Receipts, saved as received.
    for name in ["harvested.json", "stored.json"] {
        assert!(desk.check(name, &[], &[]).contains("Sound in itself."), "{name}");
        assert!(desk.check(name, &[receipted], &[]).ends_with("Valid.\n"), "{name}");
        let whole = [receipted, trust, seen_by, ("--quorum", "1"), mirror];
        assert!(desk.check(name, &whole, &[]).contains("all in the register"), "{name}");
        desk.check(name, &[trust], &[("receipt", None)]);
        // This copy of the register lacks the promised leaves, as if the operator had dropped them before
        // they were sequenced.
        let dropped = [("inclusion", Some(1)), ("inclusion", Some(2)), ("inclusion", Some(3))];
        desk.check(name, &[receipted, trust, ("--register", "earlier-register")], &dropped);
        let later = desk.altered(name, "\\nreceipt/1\\n20", "\\nreceipt/1\\n21");
        desk.check(&later, &[receipted], &[("receipt", None)]);
    }
    let mut swapped: Value = serde_json::from_slice(&harvested).expect("JSON");
    let leaves = if swapped["receipt"]["leaves"].is_array() { "/receipt/leaves" } else { "/logs" };
    swapped.pointer_mut(leaves).and_then(Value::as_array_mut).expect("a list").swap(0, 1);
    desk.put("swapped.json", swapped.to_string());
    desk.check("swapped.json", &[receipted], &[("leaves", None)]);

    // A proof.
    assert!(desk.check("a.tlog-proof", &[], &[]).contains("Sound in itself."));
    assert!(desk.check("a.tlog-proof", &[trust, seen_by], &[]).contains("witnessed by 1 of 1, 1 needed"));
    desk.check("a.tlog-proof", &[trust, seen_by, ("--quorum", "2")], &[("witnesses", None)]);
    let stranger =
        Signer::from_seed("witness.test", ormantrace::evidence::tlog::note::Kind::Cosignature, &[7; 32]);
    let stranger = stranger.expect("a name").verifier().to_string();
    desk.check("a.tlog-proof", &[trust, ("--witness", &stranger)], &[("witnesses", None)]);
    desk.check("a.tlog-proof", &[trust, seen_by, ("--witness", &stranger), ("--quorum", "1")], &[]);
    desk.check("a.tlog-proof", &[receipted], &[("checkpoint", None)]);
    let moved = desk.altered("a.tlog-proof", "\nindex ", "\nindex 1");
    desk.check(&moved, &[trust], &[("inclusion", None)]);
    // One changed letter in the middle of the entry makes it the entry of another record at the same index.
    let good = String::from_utf8(desk.read("a.tlog-proof")).expect("text");
    let entry = good.lines().find(|line| line.starts_with("extra ")).expect("an entry");
    let letter = if entry.as_bytes()[80] == b'k' { "m" } else { "k" };
    let other = desk.altered("a.tlog-proof", entry, &format!("{}{letter}{}", &entry[..80], &entry[81..]));
    desk.check(&other, &[trust], &[("inclusion", None)]);

    // Exports, with every flag.
    desk.put("seen", desk.read("earlier.checkpoint"));
    let all = [trust, seen_by, ("--quorum", "1"), mirror, ("--memory", "seen")];
    let said = desk.check("export.json", &all, &[]);
    assert!(said.contains(&format!("consistent with size {earlier}, seen last")), "{said}");
    assert!(said.contains("the register has no later event of this chain"), "{said}");
    assert_eq!(size_of("seen"), newest, "the last checkpoint checked is remembered");
    desk.check("long.json", &all, &[]);
    let told = desk.altered("long.json", "\\\"type\\\":\\\"stored\\\"", "\\\"type\\\":\\\"sold\\\"");
    let doubt = desk.check(&told, &[trust, ("--memory", "fresh")], &[("parts", Some(2))]);
    assert!(doubt.contains("NOT VALID. The first event in doubt is 2."), "{doubt}");
    assert!(!desk.path("fresh").exists(), "an invalid checkpoint is not remembered");
    let mut cut: Value = serde_json::from_slice(&desk.read("long.json")).expect("JSON");
    cut["events"].as_array_mut().expect("events").pop();
    let left = cut["events"].as_array().map(Vec::len).expect("events") as u64;
    desk.put("cut.json", cut.to_string());
    desk.check("cut.json", &[trust], &[]);
    desk.check("cut.json", &[trust, mirror], &[("complete", Some(left + 1))]);
    cut["until"] = left.into();
    desk.put("cut.json", cut.to_string());
    let cut = desk.judge("cut.json", &[trust, mirror], &[], 3);
    assert!(cut.contains(&format!("event {} is in the register and not shown", left + 1)), "{cut}");
    assert!(cut.ends_with("Valid as far as shown.\n"), "{cut}");
    // Without a copy of the register, the proof in the file has to lead from the remembered checkpoint to the
    // new one. Only the correct proof is accepted.
    desk.put("seen", desk.read("earlier.checkpoint"));
    desk.check("long.json", &[trust, ("--memory", "seen")], &[("memory", None)]);
    let mut wrong: Value = serde_json::from_slice(&desk.read("export.json")).expect("JSON");
    wrong["consistency"]["proof"][0] = json!("11".repeat(32));
    desk.put("wrong.json", wrong.to_string());
    desk.check("wrong.json", &[trust, ("--memory", "seen")], &[("memory", None)]);
    assert_eq!(size_of("seen"), earlier, "the earlier checkpoint is still remembered");
    desk.check("export.json", &[trust, ("--memory", "seen")], &[]);

    // The log in hand, and another.
    let about = desk.check("export.json", &[trust, ("--seal", "DEMO-000188")], &[]);
    assert!(about.contains("about       seal DEMO-000188, pinus_sylvestris, felling ticket "), "{about}");
    desk.check("export.json", &[trust, ("--seal", "DEMO-000189")], &[("about", None)]);
    desk.check("a.tlog-proof", &[trust, ("--seal", "DEMO-000188")], &[("about", None)]);

    // Several keys are separated by commas, and blanks from a copied text are ignored.
    let several = format!("{receipts}, {register}\n");
    let witnesses = format!("{stranger},{witness} ");
    let twice = format!("{witness},{witness}");
    assert!(desk.check("export.json", &[trust, ("--witness", &twice)], &[]).contains("witnessed by 1 of 1"));
    desk.check("export.json", &[trust, ("--witness", &twice), ("--quorum", "2")], &[("witnesses", None)]);
    desk.check("export.json", &[("--trust", &several), ("--witness", &witnesses), ("--quorum", "1")], &[]);

    // Checkpoints: an empty memory takes the first, keeps it when an older one is checked, and refuses one of
    // another history.
    assert!(desk.check("newest.checkpoint", &[], &[]).contains("no key to check it with"));
    desk.check("newest.checkpoint", &[trust, seen_by, ("--memory", "first")], &[]);
    assert_eq!(desk.read("first"), desk.read("newest.checkpoint"));
    desk.check("newest.checkpoint", &[trust, ("--memory", "first")], &[]);
    let remembered = desk.read("first");
    let older = desk.judge("earlier.checkpoint", &[trust, ("--memory", "first")], &[], 3);
    assert!(older.contains(&format!("you have seen a newer checkpoint, of size {newest}; ")), "{older}");
    // The copy of the register proves that the older one belongs to the same history; the newer one stays
    // remembered.
    desk.check("earlier.checkpoint", &[trust, mirror, ("--memory", "first")], &[]);
    let signer = Signer::load(&data.path().join("keys/register.key")).expect("the operator's own key");
    let origin = signer.verifier().name().to_owned();
    let now = Clock::system().now();
    for (name, size, flags) in [
        ("same-size", newest, vec![trust, ("--memory", "first")]),
        ("longer", newest + 7, vec![trust, ("--memory", "first")]),
        ("shorter", earlier, vec![trust, mirror, ("--memory", "first")]),
    ] {
        let fork = Checkpoint::new(&origin, size, Hash([6; 32])).expect("a checkpoint").to_string();
        desk.put(name, Note::sign(fork, &[&signer], now).expect("signed").to_string());
        desk.check(name, &[trust], &[]);
        let said = desk.check(name, &flags, &[("memory", None)]);
        assert_eq!(said.contains("two histories"), name == "same-size", "{said}");
    }
    assert_eq!(desk.read("first"), remembered, "no refused checkpoint is remembered");
    let larger = desk.altered("newest.checkpoint", &format!("\n{newest}\n"), &format!("\n{}\n", newest + 1));
    desk.check(&larger, &[trust, seen_by], &[("checkpoint", None), ("witnesses", None)]);

    // Contradictory arguments, and a missing file.
    let file = desk.path("newest.checkpoint").to_str().expect("text").to_owned();
    for (arguments, code, words) in [
        (vec!["--memory", "seen"], 2, "--trust"),
        (vec!["--trust", &witness], 2, "give it with --witness"),
        (vec!["--receipts", &witness], 2, "this is a witness's key"),
        (vec!["--witness", &register], 2, "register's key with --trust"),
        (vec!["--trust", "no key"], 2, "--trust"),
        (vec!["--quorum", "many"], 2, "--quorum"),
        (vec!["--trust", &register, "--memory", "/dev/null/seen"], 1, "cannot be read or written"),
    ] {
        let output = run(&[&["verify"], &arguments[..], &[file.as_str()]].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let gone = run(&["verify", "/no/such/export.json"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(text(&gone.stderr).contains("/no/such/export.json cannot be read"), "{}", text(&gone.stderr));
}
