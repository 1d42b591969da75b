//! Seeded mutants of every kind of file: parts are left out or marked as erased, members of two files are
//! mixed, keys have the wrong kind, checkpoints are older, and files are converted or cut off. The verifier and
//! the Python verifier give the same report and the same exit code, and report every mutant that drops or
//! alters evidence.
//!
//! 40 mutants run by default, 600 with `ORMANTRACE_LONG=1`; `ORMANTRACE_SEED` sets another seed.

use crate::fixture::{EVENTS, Register, STORIES};
use crate::random::Random;
use crate::twins;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What is expected of a mutant.
#[derive(Clone, Debug, PartialEq)]
enum Expected {
    /// The mutant contains the same evidence in another form: the exit code is 0.
    Valid,
    /// Not exit code 0.
    Refused,
    /// The exit code is 0 only if the report states that this check was not made (at this event, if one is
    /// given).
    Unchecked(&'static str, Option<usize>),
    /// Only that both verifiers agree.
    Agreed,
}

struct Mutant {
    what: String,
    file: Vec<u8>,
    arguments: Vec<String>,
    expected: Expected,
}

/// The registers from which the mutants' files and keys are taken, and a folder for the files.
struct Sources {
    registers: Vec<Register>,
    dir: tempfile::TempDir,
}

const PARTS: [&str; 3] = ["public", "business", "personal"];

impl Sources {
    fn new() -> Self {
        let registers = STORIES.iter().map(Register::of).collect();
        Self { registers, dir: tempfile::tempdir().unwrap() }
    }

    fn memory(&self) -> PathBuf {
        self.dir.path().join("memory")
    }

    /// The options of a reader who gives all keys and a quorum; with `full`, also a copy of the register and
    /// a memory.
    fn arguments(&self, register: &Register, full: bool) -> Vec<String> {
        let mut arguments = vec![
            format!("--trust={}", register.signer.verifier()),
            format!("--receipts={}", register.receipts.verifier()),
            format!("--witness={}", register.witness.verifier()),
            "--quorum=1".to_owned(),
        ];
        if full {
            arguments.push(format!("--register={}", register.folder.root().display()));
            arguments.push(format!("--memory={}", self.memory().display()));
            std::fs::write(self.memory(), register.earlier(400).to_string()).unwrap();
        }
        arguments
    }

    fn mutant(&self, random: &mut Random) -> Mutant {
        let register = &self.registers[pick(random, self.registers.len())];
        let full = random.below(2) == 0;
        let mut arguments = self.arguments(register, full);
        let (what, text, expected) = match pick(random, 12) {
            0..=6 => evidence(random, register, &self.registers, full),
            7 => older(random, register, full),
            8 => keys(random, register, &mut arguments),
            9 => ("a proof".to_owned(), register.proof(pick(random, EVENTS)), Expected::Valid),
            10 => ("a receipt".to_owned(), register.receipt().to_string(), Expected::Valid),
            _ => ("a checkpoint".to_owned(), register.note.to_string(), Expected::Valid),
        };
        let (form, file, expected) = saved(random, &text, expected);
        Mutant { what: format!("{}: {what}, {form}", register.story.kind.name()), file, arguments, expected }
    }
}

fn pick(random: &mut Random, end: usize) -> usize {
    usize::try_from(random.below(end as u64)).unwrap()
}

/// Returns an export with altered evidence, or by chance an unaltered one.
fn evidence(
    random: &mut Random,
    register: &Register,
    registers: &[Register],
    full: bool,
) -> (String, String, Expected) {
    let mut export = if random.below(4) == 0 { register.former_export() } else { register.export() };
    let other = registers[pick(random, registers.len())].export();
    let (mut at, from, mut name) = (pick(random, EVENTS), pick(random, EVENTS), PARTS[pick(random, 3)]);
    // Few events have a disclosed personal part. If the history has one, a third of the mutants alter this
    // part, so that it is altered often enough.
    if let Some(seq) = register.story.person.filter(|_| random.below(3) == 0) {
        (at, name) = (usize::try_from(seq).unwrap() - 1, "personal");
    }
    let part = |export: &mut Value| export["events"][at]["parts"][name].as_object_mut().unwrap().clone();
    let had = part(&mut export);
    let (opened, ever) = (had.contains_key("text"), had["commitment"] != "0".repeat(64));
    let original = export.clone();
    let shown = format!("part {name} of event {}", at + 1);
    let (what, mut expected) = match pick(random, 13) {
        0 => {
            export["events"][at]["parts"].as_object_mut().unwrap().remove(name);
            (format!("without {shown}"), Expected::Refused)
        }
        1 => {
            let members = export["events"][at]["parts"][name].as_object_mut().unwrap();
            members.remove("salt");
            members.remove("text");
            (format!("{shown} withheld"), Expected::Unchecked("parts", Some(at + 1)))
        }
        2 => {
            let one = if random.below(2) == 0 { "salt" } else { "text" };
            export["events"][at]["parts"][name].as_object_mut().unwrap().remove(one);
            (format!("{shown} without {one}"), Expected::Refused)
        }
        3 => {
            let members = export["events"][at]["parts"][name].as_object_mut().unwrap();
            members.remove("salt");
            members.remove("text");
            members.insert("erased".into(), json!(true));
            let expected = if name == "personal" && ever {
                Expected::Unchecked("parts", Some(at + 1))
            } else {
                Expected::Refused
            };
            (format!("{shown} called erased"), expected)
        }
        4 => {
            let member = ["events", "subject", "checkpoint", "kind"][pick(random, 4)];
            export[member] = other[member].clone();
            (format!("{member} of another file"), Expected::Refused)
        }
        5 => {
            let receipt = register.receipt();
            let member = ["receipt", "operation_id", "findings"][pick(random, 3)];
            export[member] = receipt[member].clone();
            (format!("{member} of a receipt besides"), Expected::Refused)
        }
        6 => {
            export["events"][at] = other["events"][from].clone();
            (format!("event {} in the place of event {}", from + 1, at + 1), Expected::Refused)
        }
        7 => {
            export["events"][at]["parts"][name] = other["events"][from]["parts"][name].clone();
            (format!("{shown} from event {}", from + 1), Expected::Refused)
        }
        8 => {
            export["events"].as_array_mut().unwrap().remove(at);
            let expected = if at + 1 == EVENTS && !full {
                Expected::Unchecked("complete", None)
            } else {
                Expected::Refused
            };
            (format!("without event {}", at + 1), expected)
        }
        9 => {
            export["events"].as_array_mut().unwrap().truncate(at.max(1));
            export["until"] = json!(at.max(1));
            let former = export.get("kind").is_none();
            let expected =
                if full || former { Expected::Refused } else { Expected::Unchecked("complete", None) };
            (format!("until event {}", at.max(1)), expected)
        }
        10 => {
            let event = export["events"][at].as_object_mut().unwrap();
            event.remove("index");
            event.remove("proof");
            event.insert("pending".into(), json!(true));
            (format!("event {} called pending", at + 1), Expected::Refused)
        }
        11 => {
            let places = ["entry", "index", "proof/0", "parts/public/text", "parts/business/salt"];
            let place = format!("/events/{at}/{}", places[pick(random, places.len())]);
            match export.pointer_mut(&place) {
                Some(Value::String(text)) => {
                    let middle = text.chars().count() / 2;
                    let one = |(n, c): (usize, char)| {
                        if n == middle { if c == '1' { '2' } else { '1' } } else { c }
                    };
                    *text = text.chars().enumerate().map(one).collect();
                }
                Some(number) => *number = json!(number.as_u64().unwrap() + 1),
                None => {}
            }
            (format!("another value in {place}"), Expected::Refused)
        }
        _ => ("an export".to_owned(), Expected::Valid),
    };
    if export == original {
        expected = Expected::Valid;
    }
    // If the export did not disclose the part even before, the mutant removes nothing, so the verifiers only
    // have to agree.
    if matches!(expected, Expected::Unchecked("parts", _)) && !opened {
        expected = Expected::Agreed;
    }
    (what, export.to_string(), expected)
}

/// An export with a checkpoint that is older than its events, or older than the reader's copy of the
/// register.
fn older(random: &mut Random, register: &Register, full: bool) -> (String, String, Expected) {
    let size = 100 + pick(random, 500);
    if random.below(2) == 0 {
        let mut export = register.export();
        export["checkpoint"] = json!(register.earlier(size).to_string());
        return (format!("the checkpoint of {size}"), export.to_string(), Expected::Refused);
    }
    let size = size as u64;
    let export = register.earlier_export(size).to_string();
    let expected = if full { Expected::Refused } else { Expected::Unchecked("complete", None) };
    (format!("as of {size}"), export, expected)
}

/// An export or arguments with a key of the wrong kind.
fn keys(random: &mut Random, register: &Register, arguments: &mut Vec<String>) -> (String, String, Expected) {
    let mut export = register.export();
    let (signer, witness, receipts) =
        (register.signer.verifier(), register.witness.verifier(), register.receipts.verifier());
    let mut give = |option: &str, key: String| {
        arguments.retain(|argument| !argument.starts_with(option));
        arguments.push(format!("{option}={key}"));
    };
    let what = match pick(random, 6) {
        0 => {
            export["keys"] = json!([witness.to_string()]);
            "a witness's key among the register's"
        }
        1 => {
            export["policy"]["witnesses"] = json!([signer.to_string()]);
            "the register's key among the witnesses'"
        }
        2 => {
            give("--trust", witness.to_string());
            "--trust with a witness's key"
        }
        3 => {
            give("--trust", receipts.to_string());
            "--trust with the key of receipts"
        }
        4 => {
            give("--witness", signer.to_string());
            "--witness with the register's key"
        }
        _ => {
            give("--receipts", signer.to_string());
            return (
                "a receipt and --receipts with the register's key".to_owned(),
                register.receipt().to_string(),
                Expected::Refused,
            );
        }
    };
    (what.to_owned(), export.to_string(), Expected::Refused)
}

/// The text as it is, or as an editor or a failed transfer may leave it.
fn saved(random: &mut Random, text: &str, expected: Expected) -> (String, Vec<u8>, Expected) {
    let is_json = text.starts_with('{');
    let utf_16 = |little: bool, mark: bool| -> Vec<u8> {
        let units = mark.then_some(0xfeff).into_iter().chain(text.encode_utf16());
        units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
    };
    let bytes = text.as_bytes();
    let refused = |form: &str, file: Vec<u8>| (form.to_owned(), file, Expected::Refused);
    match pick(random, 16) {
        0 => ("a BOM".to_owned(), [b"\xef\xbb\xbf", bytes].concat(), expected),
        1 => refused("two BOMs", [b"\xef\xbb\xbf\xef\xbb\xbf", bytes].concat()),
        form @ 2..=5 => {
            let (little, mark) = (form < 4, form % 2 == 0);
            (format!("UTF-16, little {little}, mark {mark}"), utf_16(little, mark), expected)
        }
        6 => refused("UTF-16 and half a unit", [utf_16(random.below(2) == 0, true), vec![b'\n']].concat()),
        7 if is_json => {
            let value: Value = serde_json::from_str(text).unwrap();
            let lines = serde_json::to_string_pretty(&value).unwrap().replace('\n', "\r\n");
            ("lines that end in CRLF".to_owned(), lines.into_bytes(), expected)
        }
        7 => refused("lines that end in CRLF", text.replace('\n', "\r\n").into_bytes()),
        8 => {
            let empty = ["", " \r\n", "\u{feff}", "\u{feff}\r\n", "{}", "null", "[]"][pick(random, 7)];
            refused(&format!("nothing but {empty:?}"), empty.as_bytes().to_vec())
        }
        9 | 10 => {
            let end = pick(random, bytes.len());
            refused(&format!("the first {end} bytes"), bytes[..end].to_vec())
        }
        11 if is_json => {
            let twice = text.replacen('{', "{\"events\":[],", 1);
            refused("events named twice", twice.into_bytes())
        }
        _ => ("as it was".to_owned(), bytes.to_vec(), expected),
    }
}

fn run(program: &mut Command, arguments: &[String], file: &Path) -> (Option<i32>, Option<Value>) {
    let Output { status, stdout, .. } =
        program.arg("--json").args(arguments).arg(file).output().expect("it runs");
    let report = serde_json::from_slice(&stdout).ok().map(|report| twins::essence(&report));
    (status.code(), report)
}

#[test]
fn both_programs_agree_on_every_mutant_and_none_passes_with_less() {
    let sources = Sources::new();
    let python = twins::python();
    let long = std::env::var_os("ORMANTRACE_LONG").is_some();
    let seed = std::env::var("ORMANTRACE_SEED").ok().map_or(20_261_128, |seed| seed.parse().unwrap());
    let mut random = Random::new(seed);
    let (path, mut refused) = (sources.dir.path().join("file"), 0);
    let count = if long { 600 } else { 40 };
    for number in 0..count {
        let Mutant { what, file, arguments, expected } = sources.mutant(&mut random);
        let what = format!("seed {seed}, mutant {number}: {what}, {arguments:?}");
        std::fs::write(&path, &file).unwrap();
        let memory = std::fs::read(sources.memory()).unwrap_or_default();
        let mut ours = Command::new(env!("CARGO_BIN_EXE_ormantrace"));
        let (code, report) = run(ours.arg("verify"), &arguments, &path);
        assert!(matches!(code, Some(0..=3)), "{what}: {code:?}");
        let lines = report.as_ref().map(|report| report["checks"].to_string()).unwrap_or_default();
        let passes = match expected {
            Expected::Valid => code == Some(0),
            Expected::Refused => code != Some(0),
            Expected::Agreed => true,
            Expected::Unchecked(check, event) => {
                code != Some(0)
                    || report.iter().flat_map(|report| report["checks"].as_array().unwrap()).any(|line| {
                        line["check"] == check
                            && line["outcome"] == "unchecked"
                            && event.is_none_or(|event| line["event"] == json!(event))
                    })
            }
        };
        assert!(passes, "{what}: expected {expected:?}, got exit code {code:?}, {lines}");
        refused += usize::from(code != Some(0));
        let Some(python) = &python else { continue };
        if arguments.iter().any(|argument| argument.starts_with("--memory")) {
            std::fs::write(sources.memory(), memory).unwrap();
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/verify_export.py");
        let theirs = run(Command::new(python).arg(script), &arguments, &path);
        assert_eq!((code, report), theirs, "{what}");
    }
    assert!(refused * 3 > count && refused < count, "{refused} of {count} are refused");
}
