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
const FIRST: [&str; 7] = [
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

/// The file that lists the members of the success responses, by operation. The test fails if a member is
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

/// The lines for one operation in the file of [`answers_file`].
fn members(id: &str, body: &[u8]) -> String {
    let Ok(json) = serde_json::from_slice::<Value>(body) else {
        return format!("{id}: {}\n", if body.is_empty() { "nothing" } else { "no JSON" });
    };
    let mut members = BTreeMap::new();
    add_members(&mut members, "", &json);
    let lines = members.iter().skip(1).map(|(at, kinds)| {
        let kinds: Vec<&str> = kinds.iter().copied().collect();
        format!("  {at}: {}\n", kinds.join(" or "))
    });
    format!("{id}:\n{}", lines.collect::<String>())
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
    assert_eq!(commands.len(), 49);
    commands.sort_by_key(|(id, _)| {
        let place = |list: &[&str]| list.iter().position(|one| one == id);
        place(&FIRST).map(|at| (0, at)).or(place(&LAST).map(|at| (2, at))).unwrap_or((1, 0))
    });
    let folder = tempfile::tempdir().expect("a folder");
    let mut failed = Vec::new();
    let mut answers = BTreeMap::new();
    for (id, command) in &commands {
        assert!(command.contains("http://orman.test/v1/"), "{id}: {command}");
        let command = command.replace("http://orman.test", &format!("http://{}", server.address));
        // Runs the real curl, but with a failure if the server returns an error.
        let script = format!("set -e\ncurl() {{ command curl --fail-with-body \"$@\"; }}\n{command}");
        let output = Command::new("sh").arg("-c").arg(script).current_dir(&folder).output().expect("a shell");
        answers.insert(id, members(id, &output.stdout));
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            failed.push(format!("{id}: {command}\n{}", String::from_utf8_lossy(&said)));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    let answers: String = answers.into_values().collect();
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
