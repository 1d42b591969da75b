//! The lists in the documents match the source.

use clap::CommandFactory;
use ormantrace::commands::cli::Cli;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Sources that do not concern a client's request: the command line and its messages, texts and headers
/// of pages, slugs of problems, names of rules and roles, checks of a verdict.
const OTHER_THINGS: [&str; 16] = [
    "base/config.rs",
    "base/i18n/",
    "commands/",
    "db/",
    "evidence/register/",
    "http/core/problem_type.rs",
    "http/core/layers.rs",
    "http/pages/assets.rs",
    "http/pages/mod.rs",
    "http/pages/view.rs",
    "net/",
    "services/export.rs",
    "services/register_lookup.rs",
    "services/reads.rs",
    "services/verification/answer.rs",
    "timber/finding/rules.rs",
];

/// Kebab-case words elsewhere that are not error codes: headers, examples, and codes that only the
/// command line reports. Each must occur in the source, so that this list stays current.
const NO_CODES: [&str; 11] = [
    "bad-network",
    "idempotency-key",
    "idempotency-replayed",
    // Names of an encoding.
    "kz-1048",
    "strk1048-2002",
    // An error in the server's own settings: 500.
    "label-code-too-long",
    "label-link-too-long",
    "label-title",
    // An application name of a connection.
    "ormantrace-writer",
    "tablet-07",
    "x-forwarded-for",
];

/// The sources that answer requests, without comments and without their unit tests, which come last in a
/// file.
fn sources(root: &Path, folder: &Path, into: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("readable").flatten() {
        let path = entry.path();
        let name = path.strip_prefix(root).expect("below").to_str().expect("text").to_owned();
        if path.is_dir() {
            if !name.ends_with("tests") && !OTHER_THINGS.contains(&format!("{name}/").as_str()) {
                sources(root, &path, into);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !name.ends_with("tests.rs")
            && !OTHER_THINGS.contains(&name.as_str())
        {
            let text = fs::read_to_string(&path).expect("text");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default().lines();
            into.push(
                code.filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n"),
            );
        }
    }
}

/// Every quoted kebab-case word, anywhere: in a call, a tuple, a table, a `match`. A word that is not a
/// code must be in `NO_CODES`, so no new code can be missed. A code of one word is found only as the code
/// of an `Invalid` or a `FieldError`.
fn codes_in(text: &str) -> BTreeSet<String> {
    let mut codes: BTreeSet<String> =
        quoted(text).filter(|word| word.contains('-') && is_kebab(word)).map(str::to_owned).collect();
    for (mark, skipped) in [("Invalid::new(", 0), ("FieldError::new(", 1)] {
        for (at, _) in text.match_indices(mark) {
            let arguments = &text[at + mark.len()..];
            let Some(argument) = arguments_of(arguments).nth(skipped) else { continue };
            let word = argument.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            codes.extend(word.filter(|word| is_kebab(word)).map(str::to_owned));
        }
    }
    codes
}

/// The text between each quote and the next: strings, and the text between two strings.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let quotes: Vec<usize> = text.match_indices('"').map(|(at, _)| at).collect();
    (1..quotes.len()).map(move |n| &text[quotes[n - 1] + 1..quotes[n]])
}

/// The arguments of a call, from after its opening bracket: split at commas outside further brackets and
/// strings.
fn arguments_of(text: &str) -> impl Iterator<Item = &str> {
    let (mut depth, mut string, mut from, mut pieces) = (0_u32, false, 0, Vec::new());
    for (at, sign) in text.char_indices() {
        match sign {
            '"' => string = !string,
            _ if string => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => {
                pieces.push(&text[from..at]);
                break;
            }
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                pieces.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    pieces.into_iter()
}

fn is_kebab(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_lowercase())
        && !word.ends_with('-')
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn codes() -> BTreeSet<String> {
    let mut texts = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&root, &root, &mut texts);
    let mut codes: BTreeSet<String> = texts.iter().flat_map(|text| codes_in(text)).collect();
    for other in OTHER_THINGS {
        assert!(root.join(other).exists(), "{other} does not exist: remove it from the list");
    }
    for word in NO_CODES {
        assert!(codes.remove(word), "{word} does not occur in the source any more: remove it from the list");
    }
    codes
}

#[test]
fn a_code_is_found_wherever_it_stands() {
    let source = r#"
        FieldError::new(pointer("/logs"), "holds-no-timber", format!("{} holds none.", name("x")));
        let (code, detail) = ("not-on-ticket", "This ticket has no line of that.");
        FieldError::new(Location::Pointer(format!("/logs/{n}")), "differs", "The lines differ; one is enough.");
        errors.refuse(node, Invalid::new("required", "A day-to-day sentence."));
        self.fault(at, "lone-surrogate", "Half of a pair.");
    "#;
    let found: Vec<String> = codes_in(source).into_iter().collect();
    assert_eq!(found, ["differs", "holds-no-timber", "lone-surrogate", "not-on-ticket", "required"]);
}

#[test]
fn the_codes_of_entries_are_those_of_the_source() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/API.md");
    let text = fs::read_to_string(&path).expect("text");
    let (head, rest) = text.split_once("<!-- codes -->\n").expect("its place");
    let (_, tail) = rest.split_once("<!-- end -->").expect("its end");
    let list: Vec<String> = codes().into_iter().map(|code| format!("`{code}`")).collect();
    let whole = format!("{head}<!-- codes -->\n{}\n<!-- end -->{tail}", list.join(", "));
    // The enumeration of the OpenAPI document.
    let listed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/core/error_codes.txt");
    let lines: String = codes().into_iter().map(|code| code + "\n").collect();
    if std::env::var_os("ORMANTRACE_PRINT_DOCS").is_some() {
        fs::write(&path, whole).expect("written");
        fs::write(&listed, lines).expect("written");
    } else {
        assert!(
            text == whole && fs::read_to_string(&listed).is_ok_and(|text| text == lines),
            "docs/API.md or error_codes.txt is outdated; run: ORMANTRACE_PRINT_DOCS=1 cargo test --test docs"
        );
    }
}

/// The README names every command, every flag and its environment variable.
#[test]
fn the_readme_names_every_command_flag_and_variable() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("text");
    let mut words = Vec::new();
    let mut commands = vec![("ormantrace".to_owned(), Cli::command())];
    while let Some((name, command)) = commands.pop() {
        for argument in
            command.get_arguments().filter(|one| !["help", "version"].contains(&one.get_id().as_str()))
        {
            words.extend(argument.get_long().map(|flag| format!("--{flag}")));
            words.extend(argument.get_env().map(|twin| twin.to_str().expect("text").to_owned()));
        }
        for below in command.get_subcommands() {
            let name = format!("{name} {}", below.get_name());
            if !below.has_subcommands() {
                words.push(name.clone());
            }
            commands.push((name, below.clone()));
        }
    }
    let is_there = |word: &String| {
        let goes_on =
            |rest: &str| rest.starts_with(|sign: char| sign.is_ascii_alphanumeric() || "-_".contains(sign));
        text.match_indices(word.as_str()).any(|(at, _)| !goes_on(&text[at + word.len()..]))
    };
    words.retain(|word| !is_there(word));
    assert!(words.is_empty(), "README.md lacks {words:?}");
}

/// A person copies the example of a command: it must not fail on its check digit.
#[test]
fn numbers_of_persons_and_organisations_in_commands_are_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut numbers = 0;
    for name in ["README.md", "docs/OPERATIONS.md", "docs/API.md", "docs/TRUST.md"] {
        let text = fs::read_to_string(root.join(name)).expect("text");
        for line in text.lines().filter(|line| line.contains("--iin ") || line.contains("_bin")) {
            let words = line.split(|sign: char| !sign.is_ascii_digit()).filter(|word| word.len() == 12);
            for word in words {
                numbers += 1;
                assert!(ormantrace::timber::party::bin::Bin::parse(word).is_ok(), "{name}: {word}");
            }
        }
    }
    assert!(numbers >= 2, "{numbers} examples");
}

/// The files of a folder of the documents.
fn documents(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(folder);
    let files = fs::read_dir(folder).expect("there").flatten();
    let name = |entry: &fs::DirEntry| entry.file_name().to_str().expect("text").to_owned();
    files.map(|entry| (name(&entry), fs::read_to_string(entry.path()).expect("text"))).collect()
}

/// Runs a program; `None` if it is not installed here.
fn output_of(command: &mut Command) -> Option<String> {
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Some(String::new()),
        Ok(output) => Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_units_of_systemd_are_valid_and_can_be_enabled() {
    let units = documents("systemd");
    assert_eq!(units.len(), 5);
    let installed = "/usr/local/bin/ormantrace";
    let dir = tempfile::tempdir().expect("a folder");
    let mut verify = Command::new("systemd-analyze");
    verify.arg("verify");
    for (name, text) in &units {
        // A service that a timer starts is enabled by its timer.
        let timed = units.iter().any(|(other, _)| *other == name.replace(".service", ".timer"));
        let is_timer = text.contains("\n[Timer]\n");
        let target = if is_timer { "timers.target" } else { "multi-user.target" };
        let enabled = text.contains(&format!("[Install]\nWantedBy={target}"));
        assert!(enabled || (timed && !is_timer), "{name}");
        if let Some(command) = text.lines().find_map(|line| line.strip_prefix("ExecStart=")) {
            let (_, arguments) = command.split_once(installed).expect("the program");
            let subcommand = arguments.split_whitespace().next().expect("a subcommand");
            assert!(Cli::command().find_subcommand(subcommand).is_some(), "{name}: {command}");
        }
        // Where the units expect it, the program need not be installed here.
        let file = dir.path().join(name);
        fs::write(&file, text.replace(installed, env!("CARGO_BIN_EXE_ormantrace"))).expect("written");
        verify.arg(file);
    }
    match output_of(&mut verify) {
        None => eprintln!("SKIPPED: systemd-analyze is not installed, the units are not verified"),
        Some(errors) => assert_eq!(errors, ""),
    }
}

#[test]
fn the_sample_for_nginx_is_valid() {
    let (name, text) = documents("nginx").pop().expect("a sample");
    let dir = tempfile::tempdir().expect("a folder");
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program/tls");
    // `nginx -t` opens the listeners and reads the certificate.
    let text = text
        .replace("listen 80;", "listen 127.0.0.1:0;")
        .replace("listen 443 ssl;", "listen 127.0.0.1:0 ssl;")
        .replace("/etc/nginx/tls/wood.example.pem", tls.join("witness.pem").to_str().expect("text"))
        .replace("/etc/nginx/tls/wood.example.key", tls.join("witness.key").to_str().expect("text"));
    let text: String = text
        .lines()
        .filter(|line| !line.contains("listen [::]"))
        .fold(String::new(), |all, line| all + line + "\n");
    let at = dir.path().display();
    let whole =
        format!("pid {at}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{text}}}\n");
    let file = dir.path().join("nginx.conf");
    fs::write(&file, whole).expect("written");
    match output_of(Command::new("nginx").arg("-t").arg("-p").arg(dir.path()).arg("-c").arg(&file)) {
        None => eprintln!("SKIPPED: nginx is not installed, {name} is not tested"),
        Some(errors) => assert_eq!(errors, ""),
    }
}

/// Sections of `docs/DOMAIN.md` that the source generates: between a marker and `<!-- end -->`.
#[test]
fn the_domain_document_shows_the_tables_of_the_source() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/DOMAIN.md");
    let mut document = fs::read_to_string(&path).expect("docs/DOMAIN.md");
    let mut rules = String::from(
        "| rule | version | highest severity | detects | legal basis |\n|---|---|---|---|---|\n",
    );
    for rule in &ormantrace::timber::finding::rules::RULES {
        let basis = rule.legal_basis.unwrap_or("");
        rules.push_str(&format!(
            "| `{}` | {} | {} | {} | {basis} |\n",
            rule.id, rule.version, rule.severity, rule.about
        ));
    }
    let printed = [
        ("<!-- custody table -->\n", ormantrace::timber::custody::table::markdown()),
        ("<!-- rules -->\n", rules),
    ];
    for (mark, table) in printed {
        let start = document.find(mark).expect("the mark") + mark.len();
        let end = start + document[start..].find("<!-- end -->").expect("the end");
        document.replace_range(start..end, &table);
    }
    if std::env::var_os("ORMANTRACE_PRINT_DOCS").is_some() {
        fs::write(&path, &document).expect("writable");
    }
    assert_eq!(
        fs::read_to_string(&path).expect("docs/DOMAIN.md"),
        document,
        "docs/DOMAIN.md is outdated; run with ORMANTRACE_PRINT_DOCS=1"
    );
}
