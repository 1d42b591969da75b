//! What the documents list is what the source says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn sources(folder: &Path, into: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_name().is_none_or(|name| name != "tests.rs" && name != "config.rs")
            && !path.components().any(|part| part.as_os_str() == "tests")
        {
            let text = fs::read_to_string(&path).expect("text");
            // Unit tests stand at a file's end.
            into.push(text.split("#[cfg(test)]").next().unwrap_or_default().to_owned());
        }
    }
}

/// Kebab-case words in quotes that stand where a code of an entry is given: after one of the calls
/// that make entries, with at most the place before it, or as the answer of a `code()`.
fn codes() -> BTreeSet<String> {
    let mut texts = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut texts);
    let mut codes = BTreeSet::new();
    for text in texts {
        let marks = ["Invalid::new(", "Entry::new(", "refuse(", "refuse_field(", "conflict(", "wrong("];
        for mark in marks {
            for (at, _) in text.match_indices(mark) {
                codes.extend(first_code(&text[at + mark.len()..]));
            }
        }
        // `pub fn code(&self) -> &'static str { match self { … } }`, and vocabularies.
        for (at, _) in text.match_indices("fn code(") {
            let body = &text[at..];
            let end = body.find("\n    }").unwrap_or(body.len());
            codes.extend(
                body[..end].split('"').skip(1).step_by(2).filter(|word| is_code(word)).map(str::to_owned),
            );
        }
        for line in text.lines().filter(|line| line.contains("pub enum ")) {
            codes.extend(line.split('"').nth(1).filter(|word| is_code(word)).map(str::to_owned));
        }
    }
    codes
}

/// The first quoted word before the call's first `;`, if it is a code.
fn first_code(rest: &str) -> Option<String> {
    let word = rest.split(';').next()?.split('"').nth(1)?;
    is_code(word).then(|| word.to_owned())
}

/// Codes of one word, which could be a field's name as well.
const ONE_WORD: [&str; 3] = ["differs", "required", "unreadable"];

fn is_code(word: &str) -> bool {
    (word.contains('-') || ONE_WORD.contains(&word))
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !word.starts_with('-')
        && !word.ends_with('-')
}

#[test]
fn the_codes_of_entries_are_those_of_the_source() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/API.md");
    let text = fs::read_to_string(&path).expect("text");
    let (head, rest) = text.split_once("<!-- codes -->\n").expect("its place");
    let (_, tail) = rest.split_once("<!-- end -->").expect("its end");
    let list: Vec<String> = codes().into_iter().map(|code| format!("`{code}`")).collect();
    let whole = format!("{head}<!-- codes -->\n{}\n<!-- end -->{tail}", list.join(", "));
    if std::env::var_os("ORMANTRACE_PRINT_DOCS").is_some() {
        fs::write(&path, whole).expect("written");
    } else {
        assert!(
            text == whole,
            "docs/API.md is behind the source: ORMANTRACE_PRINT_DOCS=1 cargo test --test docs"
        );
    }
}

/// Sections of `docs/DOMAIN.md` that the source prints: between a mark and `<!-- end -->`.
#[test]
fn the_domain_document_shows_the_tables_of_the_source() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/DOMAIN.md");
    let mut document = fs::read_to_string(&path).expect("docs/DOMAIN.md");
    let mut rules =
        String::from("| rule | version | at most | notices | legal basis |\n|---|---|---|---|---|\n");
    for rule in &ormantrace::finding::rules::RULES {
        let basis = rule.legal_basis.unwrap_or("");
        rules.push_str(&format!(
            "| `{}` | {} | {} | {} | {basis} |\n",
            rule.id, rule.version, rule.severity, rule.about
        ));
    }
    let printed =
        [("<!-- custody table -->\n", ormantrace::custody::table::markdown()), ("<!-- rules -->\n", rules)];
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
        "ORMANTRACE_PRINT_DOCS=1 writes it anew"
    );
}
