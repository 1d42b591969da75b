//! The lists in the documents match the source.

use clap::CommandFactory;
use ormantrace::commands::cli::Cli;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Sources with kebab-case words that are not error codes of a client's request: the command line and its
/// messages, texts and headers of pages, slugs of problems, names of rules, roles and parameters, checks of a
/// verdict.
const OTHER_THINGS: [&str; 20] = [
    "base/config.rs",
    "base/i18n/",
    "commands/",
    "db/",
    "evidence/register/",
    "http/core/problem_type.rs",
    "http/core/layers.rs",
    "http/desk/",
    "http/pages/assets.rs",
    "http/pages/docs/",
    "http/pages/mod.rs",
    "http/pages/view.rs",
    "net/",
    "services/export.rs",
    "services/register_lookup.rs",
    "services/reads.rs",
    "services/verification/answer.rs",
    "timber/finding/rules.rs",
    "timber/finding/rules/",
    "timber/parameter/name.rs",
];

/// Kebab-case words elsewhere that are not error codes: headers, examples, and codes that only the
/// command line reports. Each must occur in the source, so that this list stays current.
const NO_CODES: [&str; 12] = [
    "bad-network",
    "idempotency-key",
    "idempotency-replayed",
    // Names of an encoding.
    "kz-1048",
    "strk1048-2002",
    // These two codes report an error in the server's own settings, with the status 500.
    "label-code-too-long",
    "label-link-too-long",
    "label-title",
    // An application name of a connection.
    "ormantrace-writer",
    "tablet-07",
    "x-forwarded-for",
    // A member of the OpenAPI document.
    "x-roles",
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
    codes.extend(composed_codes(text));
    codes
}

/// Codes that a macro composes, such as `concat!($noun, "-too-small")`: the first string of each call of the
/// macro, followed by each suffix. Any other composition of a code is refused, because it could not be found.
fn composed_codes(text: &str) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for (at, _) in text.match_indices("macro_rules! ") {
        let name = text[at + "macro_rules! ".len()..].split([' ', '{']).next().expect("its name");
        let body = text[at..].split("\n}").next().expect("its body");
        let suffixes = body.match_indices("concat!($").filter_map(|(at, _)| {
            let mut arguments = arguments_of(&body[at + "concat!(".len()..]).skip(1);
            let suffix = arguments.next()?.trim().strip_prefix("\"-")?.strip_suffix('"')?;
            is_kebab(suffix).then_some(suffix)
        });
        let suffixes: Vec<&str> = suffixes.collect();
        if suffixes.is_empty() {
            continue;
        }
        let calls: Vec<_> = text.match_indices(&format!("\n{name}! ")).collect();
        assert!(!calls.is_empty(), "{name}! composes codes and is not called in its own file");
        for (at, _) in calls {
            let call = text[at..].split("\n}").next().expect("its arguments");
            let noun = quoted(call).next().expect("the noun is its first string");
            codes.extend(suffixes.iter().map(|suffix| format!("{noun}-{suffix}")));
        }
    }
    // Refuses a code that is composed in any other way than by `concat!` in a macro.
    for (mark, skipped) in [("Invalid::new(", 0), ("FieldError::new(", 1)] {
        for (at, _) in text.match_indices(mark) {
            let code = arguments_of(&text[at + mark.len()..]).nth(skipped).unwrap_or_default().trim();
            assert!(!code.contains("format!"), "this code is composed at run time: {code}");
            assert!(
                !code.contains("concat!") || (code.starts_with("concat!($") && !codes.is_empty()),
                "this code is composed: {code}"
            );
        }
    }
    codes
}

/// The text between each quote and the next: strings, and the text between two strings.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let quotes: Vec<usize> = text.match_indices('"').map(|(at, _)| at).collect();
    (1..quotes.len()).map(move |n| &text[quotes[n - 1] + 1..quotes[n]])
}

/// The arguments of a call, from a text that begins after the call's opening bracket. They are split at the
/// commas outside of inner brackets and strings.
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
fn a_code_that_a_macro_composes_is_found() {
    let source = r#"
macro_rules! amount {
    ($name:ident, $noun:literal) => {
        fn small() -> Invalid {
            Invalid::new(concat!($noun, "-too-small"), format!(concat!("The ", $noun, " is at least {}."), 1))
        }
    };
}

amount! {
    Area, "area"
}

amount! {
    Depth, "depth"
}
    "#;
    let found: Vec<String> = codes_in(source).into_iter().collect();
    assert_eq!(found, ["area-too-small", "depth-too-small"]);
    let listed = codes();
    for noun in ["volume", "length", "diameter", "area", "pieces"] {
        for fault in ["not-a-number", "too-precise", "too-small", "too-large"] {
            assert!(listed.contains(&format!("{noun}-{fault}")), "{noun}-{fault}");
        }
    }
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

/// Every command without subcommands, by its complete name, in the order of the help.
fn commands() -> Vec<(String, clap::Command)> {
    let mut commands = Vec::new();
    let mut root = Cli::command();
    // `build` adds the options that all commands share to each command.
    root.build();
    let mut waiting: Vec<(String, clap::Command)> =
        root.get_subcommands().map(|one| (one.get_name().to_owned(), one.clone())).collect();
    waiting.reverse();
    while let Some((name, command)) = waiting.pop() {
        if name == "help" {
            continue;
        }
        if command.has_subcommands() {
            let below = command.get_subcommands().filter(|below| below.get_name() != "help");
            let named = below.map(|below| (format!("{name} {}", below.get_name()), below.clone()));
            waiting.extend(named.collect::<Vec<_>>().into_iter().rev());
        } else {
            commands.push((name, command));
        }
    }
    commands
}

/// A row of `docs/SETTINGS.md`: flag, environment variable, default, meaning.
fn setting(argument: &clap::Arg) -> String {
    let value = argument.get_value_names().and_then(|names| names.first());
    let takes_value = argument.get_action().takes_values();
    let value = value.filter(|_| takes_value).map(ToString::to_string).unwrap_or_default();
    let flag = match argument.get_long() {
        Some(long) => format!("--{long} {value}").trim_end().to_owned(),
        None => value,
    };
    let variable = argument.get_env().map(|name| format!("`{}`", name.to_str().expect("text")));
    let help = argument.get_help().expect("a help").to_string();
    let (meaning, stated) = match help.split_once(" [default: ") {
        Some((meaning, rest)) => {
            let (stated, more) = rest.split_once(']').expect("the end of the default");
            (format!("{meaning}{more}"), Some(stated.to_owned()))
        }
        None => (help, None),
    };
    let default = argument.get_default_values().iter().map(|value| value.to_str().expect("text"));
    let default = match default.collect::<Vec<_>>().join(",") {
        _ if !takes_value => "off".to_owned(),
        none if none.is_empty() => {
            stated.unwrap_or_else(|| if argument.is_required_set() { "required" } else { "none" }.to_owned())
        }
        value => format!("`{value}`"),
    };
    let words: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|_| takes_value)
        .map(|word| format!("`{}`", word.get_name()))
        .collect();
    let words = if words.is_empty() { String::new() } else { format!(": {}", words.join(" or ")) };
    let cells = [format!("`{flag}`"), variable.unwrap_or_else(|| "–".to_owned()), default, meaning + &words];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

/// `docs/SETTINGS.md`: every setting, under the commands that have it.
fn settings() -> String {
    let commands = commands();
    // Each setting has one row; the row lists all commands that have this setting.
    let mut rows: Vec<(String, Vec<&str>)> = Vec::new();
    for (name, command) in &commands {
        let shown = command.get_arguments().filter(|one| !one.is_hide_set());
        let own = shown.filter(|one| !["help", "version"].contains(&one.get_id().as_str()));
        for row in own.map(setting) {
            match rows.iter_mut().find(|(known, _)| *known == row) {
                Some((_, of)) => of.push(name),
                None => rows.push((row, vec![name])),
            }
        }
    }
    let mut groups: Vec<(Vec<&str>, String)> = Vec::new();
    for (row, of) in rows {
        match groups.iter_mut().find(|(known, _)| *known == of) {
            Some((_, text)) => text.push_str(&row),
            None => groups.push((of, row)),
        }
    }
    groups.sort_by_key(|(of, _)| std::cmp::Reverse(of.len()));
    let mut text = String::from(
        "# Settings\n\n\
         Set an option by its flag or, where the table names one, by its environment variable; the flag takes\n\
         precedence. Separate several values with commas; an option without a value is turned on by the\n\
         value `true` of its variable. A VKEY is a public key in the form NAME+ID+BASE64, as\n\
         `ormantrace key show FILE` prints it. Each command has `--help`.\n\n\
         One setting has no flag: `PG_BINDIR` is the folder of PostgreSQL's programs (`initdb`, `postgres`). If\n\
         it is not set, they are searched for in `PATH`, then in the usual folders; if it is set, in that folder only.\n\n\
         Generated from the definition of the command line; do not edit. To generate it again:\n\
         `ORMANTRACE_PRINT_DOCS=1 cargo test --test docs`.\n",
    );
    for (of, rows) in groups {
        let names: Vec<String> = of.iter().map(|name| format!("`{name}`")).collect();
        let names = if of.len() == commands.len() { "All commands".to_owned() } else { names.join(", ") };
        text.push_str(&format!(
            "\n## {names}\n| option | environment | default | meaning |\n|---|---|---|---|\n{rows}"
        ));
    }
    text
}

#[test]
fn the_settings_are_those_of_the_command_line() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SETTINGS.md");
    if std::env::var_os("ORMANTRACE_PRINT_DOCS").is_some() {
        fs::write(&path, settings()).expect("written");
    }
    assert!(
        fs::read_to_string(&path).is_ok_and(|text| text == settings()),
        "docs/SETTINGS.md is outdated; run: ORMANTRACE_PRINT_DOCS=1 cargo test --test docs"
    );
}

#[test]
fn the_readme_names_every_command() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("text");
    let is_there = |word: &String| {
        let goes_on =
            |rest: &str| rest.starts_with(|sign: char| sign.is_ascii_alphanumeric() || "-_".contains(sign));
        text.match_indices(word.as_str()).any(|(at, _)| !goes_on(&text[at + word.len()..]))
    };
    let mut words: Vec<String> = commands().iter().map(|(name, _)| format!("ormantrace {name}")).collect();
    words.retain(|word| !is_there(word));
    assert!(words.is_empty(), "README.md lacks {words:?}");
}

#[test]
fn the_pictures_of_the_readme_exist_and_are_small() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("README.md")).expect("text");
    let sources = text.split("src=\"").skip(1).map(|rest| rest.split('"').next().expect("a path"));
    let sizes: Vec<u64> =
        sources.map(|path| fs::metadata(root.join(path)).expect("a picture").len()).collect();
    assert!(!sizes.is_empty() && sizes.iter().all(|size| *size <= 60_000), "{sizes:?}");
}

/// People copy the examples of commands, so the check digits of their numbers must be valid.
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
        // A service that a timer starts needs no `[Install]` section: its timer is enabled.
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
        // The program need not be installed where the units expect it, so they get the path of the built one.
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
    // `nginx -t` opens the listeners and reads the certificate, so the sample gets sockets and a certificate
    // of the test.
    let text = text
        .replace("listen 80;", &format!("listen unix:{}/plain;", dir.path().display()))
        .replace("listen 443 ssl;", &format!("listen unix:{}/tls ssl;", dir.path().display()))
        .replace("/etc/nginx/tls/wood.example.pem", tls.join("witness.pem").to_str().expect("text"))
        .replace("/etc/nginx/tls/wood.example.key", tls.join("witness.key").to_str().expect("text"));
    let text: String = text
        .lines()
        .filter(|line| !line.contains("listen [::]"))
        .fold(String::new(), |all, line| all + line + "\n");
    let at = dir.path().display();
    // Debian's default folders for nginx's temporary files are for root only, so the sample gets folders of
    // the test.
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let folders = folders.map(|name| format!("{name}_temp_path {at}/{name};\n")).concat();
    let whole = format!(
        "pid {at}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{folders}{text}}}\n"
    );
    let file = dir.path().join("nginx.conf");
    fs::write(&file, whole).expect("written");
    // Debian has it where only root searches.
    let tested = ["nginx", "/usr/sbin/nginx"].iter().find_map(|program| {
        output_of(Command::new(program).arg("-t").arg("-p").arg(dir.path()).arg("-c").arg(&file))
    });
    match tested {
        None => {
            assert!(std::env::var_os("ORMANTRACE_NGINX_NEEDED").is_none(), "no nginx here, and it is needed");
            eprintln!("SKIPPED: nginx is not installed, {name} is not tested");
        }
        Some(errors) => assert_eq!(errors, ""),
    }
}

/// Sections of `docs/DOMAIN.md` that the source generates: between a marker and `<!-- end -->`.
#[test]
fn the_domain_document_shows_the_tables_of_the_source() {
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
    let custody = ormantrace::timber::custody::table::markdown();
    sections_are_current(
        "docs/DOMAIN.md",
        &[("<!-- custody table -->\n", custody), ("<!-- rules -->\n", rules)],
    );
}

/// Compares sections of a document with what the source generates; writes them if `ORMANTRACE_PRINT_DOCS` is set.
fn sections_are_current(name: &str, sections: &[(&str, String)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let mut document = fs::read_to_string(&path).expect(name);
    for (mark, text) in sections {
        let start = document.find(mark).expect("the mark") + mark.len();
        let end = start + document[start..].find("<!-- end -->").expect("the end");
        document.replace_range(start..end, text);
    }
    if std::env::var_os("ORMANTRACE_PRINT_DOCS").is_some() {
        fs::write(&path, &document).expect("writable");
    }
    let stored = fs::read_to_string(&path).expect(name);
    assert!(stored == document, "{name} is outdated; run with ORMANTRACE_PRINT_DOCS=1");
}

#[test]
fn the_page_of_findings_describes_every_rule() {
    use ormantrace::timber::finding::registry;
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/FINDINGS.md")).expect("it");
    let by_hand = &page[..page.find("<!-- single records -->").expect("the mark")];
    let mut sections = String::new();
    for (rule, notes) in registry::all() {
        let notes = notes.unwrap_or_else(|| panic!("{} has no notes", rule.id));
        let is_of_surveillance =
            ["\n", ":"].iter().any(|end| by_hand.contains(&format!("\n## {}{end}", rule.id)));
        if is_of_surveillance {
            continue;
        }
        let law = rule.legal_basis.map(|law| format!(" *Law*: {law}.")).unwrap_or_default();
        let inputs: Vec<String> =
            notes.inputs.iter().map(|(name, meaning)| format!("`{name}` ({meaning})")).collect();
        let parameters: Vec<String> =
            notes.parameters.iter().map(|name| format!("`{}`", name.as_str())).collect();
        let list = |title: &str, of: &[String]| {
            if of.is_empty() { String::new() } else { format!(" *{title}*: {}.", of.join(", ")) }
        };
        sections.push_str(&format!(
            "### {}\n{} *Highest severity*: {}.{}{}{law} *Not seen*: {}\n\n",
            rule.id,
            rule.about,
            rule.severity,
            list("Figures", &inputs),
            list("Parameters", &parameters),
            notes.blind_to
        ));
    }
    sections_are_current("docs/FINDINGS.md", &[("<!-- single records -->\n", sections)]);
}
