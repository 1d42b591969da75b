//! The lists in the documents match the source.

use clap::CommandFactory;
use ormantrace::commands::cli::Cli;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

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
