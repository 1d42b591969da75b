//! The shell commands of the API reference, run as a reader would run them, and the members of each response.
//!
//! `ORMANTRACE_PRINT_ANSWERS=1 cargo test --test whole every_command` writes `answers.txt` anew.

use crate::support::process::{PATIENCE, Running, data};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// The operations in `FIRST` run before all others, because the others need their results. The operations in
/// `LAST` run after all others, because they cancel, revoke or void what the others need.
const FIRST: [&str; 9] = [
    "upload_photo",
    "open_report",
    "create_key",
    "create_felling_ticket",
    "extend_felling_ticket",
    "create_organization",
    "change_organization",
    "suspend_organization",
    "resume_organization",
];
const LAST: [&str; 3] = ["cancel_felling_ticket", "revoke_key", "void_seal"];

/// The ids of the operations on a page of the reference, each with its shell command.
fn commands(page: &str) -> Vec<(String, String)> {
    let sections = page.split("<section class=\"operation\" aria-labelledby=\"").skip(1);
    sections
        .map(|section| {
            let (id, rest) = section.split_once('"').expect("an id");
            let command = rest.split_once("<pre class=\"command\"><code>").expect("a command").1;
            (id.to_owned(), unescaped(command.split_once("</code>").expect("its end").0))
        })
        .collect()
}

/// The text of escaped HTML.
fn unescaped(html: &str) -> String {
    let mut pieces = html.split("&#");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (number, rest) = piece.split_once(';').expect("an entity");
        text.extend(number.parse().ok().and_then(char::from_u32));
        text.push_str(rest);
    }
    text
}

fn has(program: &str) -> bool {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|code| code.success())
}

/// The file that lists the members of the success responses, by operation and status. The test fails if a member is
/// renamed or gets another type, even where `openapi.json` permits it.
fn answers_file() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/whole/answers.txt")
}

/// Adds the members of a JSON value with their types; the members of all items of a list are merged.
fn add_members(members: &mut BTreeMap<String, BTreeSet<&'static str>>, at: &str, value: &Value) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    members.entry(at.to_owned()).or_default().insert(kind);
    match value {
        Value::Array(items) => items.iter().for_each(|item| add_members(members, &format!("{at}[]"), item)),
        Value::Object(of) => of.iter().for_each(|(name, value)| {
            // `pending` is left out, because it depends on the moment: whether the newest event is in the
            // register yet.
            if name != "pending" {
                add_members(members, &format!("{at}.{name}"), value);
            }
        }),
        _ => {}
    }
}

/// A response to a command.
struct Reply {
    status: String,
    media_type: String,
    body: Vec<u8>,
}

/// Runs a command in a folder; the command fails if the server returns an error. The body of the response is the
/// output, or the file that the command writes.
fn run(command: &str, folder: &Path) -> Result<Reply, String> {
    let script = format!(
        "set -e\ncurl() {{ command curl --fail-with-body -w '%{{stderr}}\n%{{http_code}} %{{content_type}}\n' \"$@\"; }}\n{command}"
    );
    let output = Command::new("sh").arg("-c").arg(script).current_dir(folder).output().expect("a shell");
    let diagnostics = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("{command}\n{}{diagnostics}", String::from_utf8_lossy(&output.stdout)));
    }
    let last = diagnostics.lines().last().unwrap_or_default();
    let (status, media_type) = last.split_once(' ').unwrap_or((last, ""));
    let file = command.split_once(" -o ").and_then(|(_, rest)| rest.split_whitespace().next());
    let body = match file {
        Some(file) if output.stdout.is_empty() => std::fs::read(folder.join(file)).expect("the file"),
        _ => output.stdout,
    };
    Ok(Reply { status: status.to_owned(), media_type: media_type.to_owned(), body })
}

/// The members of the responses of one operation with one status, or the first line of a text that is not JSON.
#[derive(Default)]
struct Shape {
    text: BTreeSet<String>,
    members: BTreeMap<String, BTreeSet<&'static str>>,
}

impl Shape {
    fn add(&mut self, reply: &Reply) {
        let Reply { media_type, body, .. } = reply;
        if media_type == "application/json" {
            let json = serde_json::from_slice(body).expect("JSON");
            return add_members(&mut self.members, "", &json);
        }
        let text = String::from_utf8_lossy(body);
        let first = text.lines().next().unwrap_or_default().trim_start_matches('\u{feff}');
        self.text.insert(if body.is_empty() {
            "nothing".to_owned()
        } else {
            format!("{media_type}: {first}")
        });
    }

    fn lines(&self, operation: &str) -> String {
        let texts = self.text.iter().map(|text| format!("  {text}\n"));
        let members = self.members.iter().filter(|(at, _)| !at.is_empty()).map(|(at, kinds)| {
            let kinds: Vec<&str> = kinds.iter().copied().collect();
            format!("  {at}: {}\n", kinds.join(" or "))
        });
        format!("{operation}:\n{}", texts.chain(members).collect::<String>())
    }
}

/// Further commands, for the operations that have a second success status: a request that is sent again under its
/// operation id, after it was sent with a seal or a log of its own; and a rehearsal.
fn variants(id: &str, command: &str) -> Vec<String> {
    // The request that is sent again must have the time of the first one.
    let time = format!("$(cat {id}.time 2>/dev/null || date -u +%FT%TZ | tee {id}.time)");
    let command = command.replace("$(date -u +%FT%TZ)", &time);
    let again = |named: &str, other: &str| {
        let operation = r#"-d '{"operation_id": "018f3c9e-7a1b-7c44-9d21-5f0e6a7b8c9d","#;
        vec![command.replace("-d '{", operation).replace(named, other); 2]
    };
    match id {
        "create_harvest" => {
            let rehearsal = command.replace("/v1/harvests\"", "/v1/harvests?dry_run=true\"");
            [vec![rehearsal.replace("DEMO-000195", "DEMO-000188")], again("DEMO-000195", "DEMO-000188")]
                .concat()
        }
        "create_custody_event" => again("DEMO-000001", "DEMO-000002")
            .into_iter()
            .map(|command| command.replace("018f3c9e", "018f3c9f"))
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn every_command_of_the_reference_works_on_the_demonstration() {
    if !has("curl") || !has("jq") {
        assert!(
            std::env::var_os("ORMANTRACE_CURL_NEEDED").is_none(),
            "no curl or jq here, and they are needed"
        );
        eprintln!("SKIPPED: no curl or no jq on this machine, so no command of the reference was run");
        return;
    }
    let data = data();
    let server = Running::start_as("demo", data.path(), &["--public-url", "http://orman.test"]);
    // Proofs need a published register.
    let since = Instant::now();
    while server.get("/v1/logs/DEMO-000076/proof", None).0 != 200 {
        assert!(since.elapsed() < PATIENCE, "no register");
        std::thread::yield_now();
    }
    let index = server.get("/docs?lang=en", None).1;
    let tags = index.match_indices("<h2 id=\"").map(|(at, mark)| &index[at + mark.len()..]);
    let tags = tags.filter_map(|rest| rest.split_once('"')).map(|(id, _)| id);
    let pages =
        tags.map(|slug| server.get(&format!("/docs/{slug}"), None)).filter(|(status, _)| *status == 200);
    let mut commands: Vec<_> = pages.flat_map(|(_, page)| commands(&page)).collect();
    assert_eq!(commands.len(), 69);
    commands.sort_by_key(|(id, _)| {
        let place = |list: &[&str]| list.iter().position(|one| one == id);
        place(&FIRST).map(|at| (0, at)).or(place(&LAST).map(|at| (2, at))).unwrap_or((1, 0))
    });
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("photo.png"), b"\x89PNG\r\n\x1a\n of a stump").expect("a photo");
    let mut failed = Vec::new();
    let mut answers: BTreeMap<String, Shape> = BTreeMap::new();
    for (id, command) in &commands {
        assert!(command.contains("http://orman.test/v1/"), "{id}: {command}");
        let command = command.replace("http://orman.test", &format!("http://{}", server.address));
        for command in [vec![command.clone()], variants(id, &command)].concat() {
            match run(&command, folder.path()) {
                Ok(reply) => {
                    let key = format!("{id} {}", reply.status);
                    answers.entry(key).or_default().add(&reply);
                }
                Err(error) => failed.push(format!("{id}: {error}")),
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    let answers: String = answers.iter().map(|(operation, shape)| shape.lines(operation)).collect();
    if std::env::var_os("ORMANTRACE_PRINT_ANSWERS").is_some() {
        std::fs::write(answers_file(), &answers).expect("written");
    }
    let known = std::fs::read_to_string(answers_file()).unwrap_or_default();
    let (known, now): (BTreeSet<&str>, BTreeSet<&str>) = (known.lines().collect(), answers.lines().collect());
    let gone: Vec<_> = known.difference(&now).collect();
    let new: Vec<_> = now.difference(&known).collect();
    assert!(
        answers == std::fs::read_to_string(answers_file()).unwrap_or_default(),
        "gone: {gone:#?}\nnew: {new:#?}"
    );
}
