//! Checks the rules on the modules of src by reading the source: which module may import which, where axum,
//! SQL and locations in request bodies may be used, the size of files, the words of comments.
//!
//! A *node* is a direct child of a group: a folder (`src/timber/seal/**`) or a file (`src/base/error.rs`).
//! `lib.rs` and `main.rs` belong to no node. Imports are read from `use` trees, and from paths in bodies,
//! macros, attributes and the strings of attributes. Comments, other strings and code under `#[cfg(test)]`
//! are removed first. A path through a re-export counts as an import of the path as written and of the
//! module that defines the item, so neither a `pub use` nor the root of a group can hide an import.
//!
//! Limits: a glob import counts as an import of its module and of everything that this module re-exports,
//! whichever names are used; paths that a macro assembles from pieces are not detected; a path in a
//! `macro_rules!` body counts for the module that defines the macro.
//!
//! `cargo test --test architecture draw -- --ignored --nocapture` prints all imports between nodes.
//! `ARCHITECTURE_SRC` names another folder to read than src; with `ARCHITECTURE_FILES=1`, `draw` prints the
//! imports between files.

#[path = "architecture/imports.rs"]
mod imports;
#[path = "architecture/lex.rs"]
mod lex;
#[path = "architecture/snippets.rs"]
mod snippets;

use imports::{GROUPS, Import, Mention, Tree, files_below};
use lex::{Kind, Token, behind_group, is_word};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::LazyLock;

/// Imports that break a rule and are tolerated: node, imported node, reason. An entry that is no longer
/// needed fails the test, so this list only gets shorter.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// Files outside `MAKE_LOCATIONS` that still make locations in a request body (such as the pointer
/// `/logs/0`), and how often. The endpoint that parsed the body should make them; these files check members of a
/// body that only they can check, and each has one place that makes the location. A number may only get smaller; a
/// file that makes no more locations is removed from the list.
const LOCATION_EXCEPTIONS: &[(&str, usize)] = &[
    ("src/evidence/chain/size.rs", 1),
    ("src/evidence/idempotency/device.rs", 1),
    ("src/evidence/idempotency/operation.rs", 1),
    ("src/timber/custody/harvest/locations.rs", 2),
    ("src/timber/custody/harvest/record.rs", 1),
    ("src/timber/custody/record.rs", 1),
    ("src/timber/custody/request.rs", 1),
    ("src/timber/party/organization.rs", 1),
    ("src/timber/seal/batch.rs", 3),
    ("src/timber/ticket/change.rs", 1),
    ("src/timber/ticket/content.rs", 1),
    ("src/timber/ticket/issue.rs", 1),
];

/// Each group may import the groups to the right of it.
const ORDER: [&str; 7] = ["commands", "http", "services", "timber", "evidence", "db", "base"];
/// The groups that may import `net`. `net` itself may import only `base`.
const IMPORT_NET: [&str; 4] = ["commands", "http", "services", "evidence"];
/// The nodes of `timber` by level, lowest first. A node may import nodes of lower levels only.
const TIMBER_LEVELS: [&[&str]; 9] = [
    &["wood"],
    &["event"],
    &["party"],
    &["parameter"],
    &["finding"],
    &["ticket", "seal"],
    &["custody"],
    &["waybill"],
    &["track", "mill"],
];
/// Where axum may be named.
const AXUM: [&str; 3] = ["src/http/", "src/net/", "src/commands/demo"];
/// The enum and the variant that stand for a location in a request body. `MAKE_LOCATIONS` are the paths in
/// which such a location may be made.
const LOCATION: [&str; 2] = ["Location", "Pointer"];
const MAKE_LOCATIONS: [&str; 3] = ["src/http/", "src/base/input", "src/base/error.rs"];
const MAX_LINES: usize = 640;
/// Words that comments may not contain: they belong to sentences that name no subject. Use standard terms.
const DIALECT: [&str; 10] =
    ["told", "whoever", "whose", "nobody", "somebody", "stranger", "strangers", "he", "his", "him"];

static TODAY: LazyLock<Tree> = LazyLock::new(|| {
    let root = std::env::var_os("ARCHITECTURE_SRC").map_or_else(
        || {
            let root = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
            root.or_else(|| option_env!("CARGO_MANIFEST_DIR").map(PathBuf::from))
                .unwrap_or_default()
                .join("src")
        },
        PathBuf::from,
    );
    Tree::new(&files_below(&root))
});

fn report(rule: &str, problems: &[String]) {
    assert!(problems.is_empty(), "{rule}: broken {} times\n{}", problems.len(), problems.join("\n"));
}

/// Reports files that are in no group, and files at the root of a group that contain more than declarations
/// of modules and re-exports.
fn misplaced(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for source in &tree.sources {
        let path = &source.path;
        let group = source.module.first().map_or("", String::as_str);
        problems.extend(hidden_code(&source.tokens).map(|line| {
            format!("{path}:{line} takes code from elsewhere, which hides imports: declare a plain module")
        }));
        if source.module.is_empty() {
            continue;
        }
        if !GROUPS.contains(&group) {
            problems.push(format!("{path}:1 is in none of {}: move it into one", GROUPS.join(", ")));
        } else if let [group] = &source.module[..] {
            problems.extend(not_a_declaration(&source.tokens).map(|line| {
                format!("{path}:{line} has code: the root of {group} may only declare and re-export modules")
            }));
        }
        if let ["timber", node, ..] = source.module.iter().map(String::as_str).collect::<Vec<_>>()[..]
            && timber_level(node).is_none()
        {
            problems.push(format!("{path}:1: timber/{node} is in no level of TIMBER_LEVELS: give it one"));
        }
    }
    problems
}

/// The line of the first item that is neither `mod name;` nor `use`.
fn not_a_declaration(tokens: &[Token]) -> Option<usize> {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.word() {
            None if token.is('#') => {
                at = behind_group(tokens, at + 1 + usize::from(tokens.get(at + 1)?.is('!')));
            }
            Some("pub") if tokens.get(at + 1)?.is('(') => at = behind_group(tokens, at + 1),
            Some("pub") => at += 1,
            Some("use") => at += 1 + tokens[at..].iter().position(|token| token.is(';'))?,
            Some("mod") if tokens.get(at + 2).is_some_and(|token| token.is(';')) => at += 3,
            _ => return Some(token.line),
        }
    }
    None
}

/// The line of a `#[path]`, an `include!` or an `extern crate self as name`. All three can hide imports.
fn hidden_code(tokens: &[Token]) -> Option<usize> {
    let hides = |three: &&[Token]| {
        three[0].is('[') && three[1].is_word("path") && three[2].is('=')
            || three[0].is_word("include") && three[1].is('!')
            || three[0].is_word("extern") && three[1].is_word("crate") && three[2].is_word("self")
    };
    tokens.windows(3).find(hides).map(|three| three[0].line)
}

fn timber_level(node: &str) -> Option<usize> {
    TIMBER_LEVELS.iter().position(|level| level.contains(&node))
}

/// Returns why the node `from` may not import the node `to`; `None` if it may. Circular imports are found by
/// `circle_problems` instead.
fn forbidden(from: &str, to: &str) -> Option<String> {
    let (from_group, from_node) = from.split_once('/').unwrap_or((from, ""));
    let (to_group, to_node) = to.split_once('/').unwrap_or((to, ""));
    if from_group == to_group {
        let levels = (timber_level(from_node)?, timber_level(to_node)?);
        return match levels.0.cmp(&levels.1) {
            Ordering::Less if from_group == "timber" => Some(format!("{from} is below {to}")),
            Ordering::Equal if from_group == "timber" => Some(format!("{from} and {to} are on one level")),
            _ => None,
        };
    }
    let place = |group: &str| ORDER.iter().position(|one| *one == group);
    match (place(from_group), place(to_group)) {
        (Some(from_place), Some(to_place)) if from_place < to_place => None,
        (Some(_), Some(_)) => Some(format!("{from_group} is below {to_group}")),
        (Some(_), None) if to_group == "net" && IMPORT_NET.contains(&from_group) => None,
        (Some(_), None) if to_group == "net" => {
            Some(format!("{from_group} may not import net, only {} may", IMPORT_NET.join(", ")))
        }
        (None, Some(_)) if from_group == "net" && to_group == "base" => None,
        (None, Some(_)) if from_group == "net" => Some("net may import base only".to_owned()),
        // lib.rs and main.rs may import everything, and `misplaced` reports files outside of the groups.
        _ => None,
    }
}

fn direction_problems(imports: &[Import]) -> Vec<(&Import, String)> {
    let mut problems = Vec::new();
    for import in imports {
        let Import { from, to, at, what } = import;
        if let Some(reason) = forbidden(from, to) {
            let mend = "move the shared part down, or pass it in from above";
            problems.push((import, format!("{at} imports {what}: {reason}; {mend}")));
        }
    }
    problems
}

/// The imports between nodes of one group that are part of a circle.
fn circle_problems(imports: &[Import]) -> Vec<(&Import, String)> {
    let group = |node: &str| node.split_once('/').map(|(group, _)| group.to_owned());
    let inside = |one: &&Import| {
        group(&one.from).is_some_and(|from| GROUPS.contains(&from.as_str()) && group(&one.to) == Some(from))
    };
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for import in imports.iter().filter(inside) {
        next.entry(&import.from).or_default().insert(&import.to);
    }
    let mut problems = Vec::new();
    for import in imports.iter().filter(inside) {
        let Import { from, to, at, what } = import;
        if let Some(way) = shortest_way(&next, to, from) {
            let circle = format!("{from} → {}", way.join(" → "));
            let mend = "move the shared part below both";
            problems.push((import, format!("{at} imports {what}: a circle {circle}; {mend}")));
        }
    }
    problems
}

fn shortest_way<'a>(
    next: &BTreeMap<&'a str, BTreeSet<&'a str>>,
    from: &'a str,
    to: &str,
) -> Option<Vec<&'a str>> {
    let (mut ways, mut seen) = (VecDeque::from([vec![from]]), BTreeSet::from([from]));
    while let Some(way) = ways.pop_front() {
        let here = *way.last()?;
        if here == to {
            return Some(way);
        }
        for there in next.get(here).into_iter().flatten().filter(|there| seen.insert(there)) {
            ways.push_back([&way[..], &[*there]].concat());
        }
    }
    None
}

fn is_excepted(import: &Import, exceptions: &[(&str, &str, &str)]) -> bool {
    exceptions.iter().any(|(from, to, _)| *from == import.from && *to == import.to)
}

/// Returns the imports in a forbidden direction, and the imports that form circles. Excepted imports are
/// removed first, so that they form no circle.
fn import_problems(imports: &[Import], exceptions: &[(&str, &str, &str)]) -> [Vec<String>; 2] {
    let rest: Vec<Import> = imports.iter().filter(|one| !is_excepted(one, exceptions)).cloned().collect();
    [direction_problems(&rest), circle_problems(&rest)]
        .map(|problems| problems.into_iter().map(|(_, problem)| problem).collect())
}

fn exception_problems(imports: &[Import], exceptions: &[(&str, &str, &str)]) -> Vec<String> {
    let mut wrong = direction_problems(imports);
    wrong.extend(circle_problems(imports));
    let mut problems = Vec::new();
    for exception in exceptions {
        let (from, to, reason) = exception;
        if reason.trim().is_empty() {
            problems.push(format!("EXCEPTIONS: {from} → {to} has no reason: write one"));
        }
        if !wrong.iter().any(|(import, _)| is_excepted(import, std::slice::from_ref(exception))) {
            problems.push(format!("EXCEPTIONS: {from} → {to} is no longer needed: strike it"));
        }
    }
    problems
}

fn is_below(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path.starts_with(place))
}

fn axum_problems(tree: &Tree) -> Vec<String> {
    let is_axum = |mention: &&Mention| {
        tree.places(mention).iter().any(|place| place.len() > 1 && place[0].is_empty() && place[1] == "axum")
    };
    let wrong = tree.mentions.iter().filter(|mention| !is_below(&tree.sources[mention.source].path, &AXUM));
    let at: BTreeSet<String> = wrong.filter(is_axum).map(|mention| tree.at(mention)).collect();
    let mend = "return a value of this crate, and let http answer";
    at.iter().map(|at| format!("{at} names axum: only http, net and commands/demo may; {mend}")).collect()
}

/// Whether the function, macro or type of sqlx with this name makes a statement: `query`, `query_as`,
/// `query_file_scalar`, `raw_sql`, ..
fn makes_statement(name: &str) -> bool {
    name == "query" || name.starts_with("query_") || name == "raw_sql" || name == "QueryBuilder"
}

fn statement_problems(tree: &Tree, group: &str, mend: &str) -> Vec<String> {
    let folder = format!("src/{group}/");
    let mut at = BTreeSet::new();
    for mention in tree.mentions.iter().filter(|one| tree.sources[one.source].path.starts_with(&folder)) {
        let is_statement = |place: &Vec<String>| {
            place.len() > 1
                && place[..2] == ["", "sqlx"]
                && (mention.is_glob() && place.len() == 2
                    || place[2..].iter().any(|name| makes_statement(name)))
        };
        if tree.places(mention).iter().any(is_statement) {
            at.insert(tree.at(mention));
        }
    }
    for source in tree.sources.iter().filter(|source| source.path.starts_with(&folder)) {
        for window in source.tokens.windows(4) {
            let [first, second, third, fourth] = window else { continue };
            let name = |token: &Token, test: fn(&str) -> bool| token.word().is_some_and(test);
            let macro_call = name(first, makes_statement) && second.is('!');
            // A string as the first argument of `execute…` or `fetch…` is a statement.
            let text = first.is('.')
                && name(second, |name| name.starts_with("execute") || name.starts_with("fetch"))
                && third.is('(')
                && matches!(fourth.kind, Kind::Text(_));
            if macro_call || text {
                at.insert(format!("{}:{}", source.path, first.line));
            }
        }
    }
    at.into_iter().map(|at| format!("{at} makes an SQL statement: {mend}")).collect()
}

/// Endpoints without an `operation_id`, and endpoints with a parameter before `State`.
fn endpoint_problems(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for source in &tree.sources {
        let tokens = &source.tokens;
        for (at, four) in tokens.windows(4).enumerate() {
            let begins =
                four[0].is_word("utoipa") && four[1].kind == Kind::PathSep && four[2].is_word("path");
            if !begins || !four[3].is('(') {
                continue;
            }
            let place = format!("{}:{}", source.path, four[0].line);
            let behind = behind_group(tokens, at + 3);
            if !tokens[at..behind].iter().any(|token| token.is_word("operation_id")) {
                problems.push(format!("{place} has no operation_id: give it the name of its function"));
            }
            let function = tokens[behind..].iter().position(|token| token.is_word("fn"));
            let Some(open) = function.map(|function| behind + function + 2) else { continue };
            let parameters = tokens.get(open + 1..behind_group(tokens, open)).unwrap_or_default();
            let state = parameters.iter().position(|token| token.is_word("State"));
            if state.is_some_and(|state| state > 0) {
                problems.push(format!("{place} has a parameter before State: put it behind"));
            }
        }
    }
    problems
}

fn location_problems(tree: &Tree) -> Vec<String> {
    let mut at = BTreeSet::new();
    for source in tree.sources.iter().filter(|source| !is_below(&source.path, &MAKE_LOCATIONS)) {
        let tokens = &source.tokens;
        for here in 2..tokens.len() {
            let own = tokens[here - 2].is_word("Self") && source.defines(LOCATION[0]);
            let named = own || tokens[here - 2].is_word(LOCATION[0]);
            let path = named && tokens[here - 1].kind == Kind::PathSep && tokens[here].is_word(LOCATION[1]);
            if path && !is_pattern(tokens, here + 1) {
                at.insert(format!("{}:{}", source.path, tokens[here].line));
            }
        }
    }
    // The loop above finds the variant only where it is written with its enum (`Location::Pointer`). So a
    // `use Location::Pointer` or `use Location::*` is reported as well: after it, the variant could be
    // written alone.
    for mention in
        tree.mentions.iter().filter(|one| !is_below(&tree.sources[one.source].path, &MAKE_LOCATIONS))
    {
        let place = tree.places(mention).pop().unwrap_or_default();
        let hides = mention.is_use() && place.ends_with(&LOCATION.map(str::to_owned))
            || mention.is_glob() && place.last().is_some_and(|last| last == LOCATION[0]);
        if hides {
            at.insert(tree.at(mention));
        }
    }
    let [kind, variant] = LOCATION;
    let mend = "return which value is wrong, and let the caller place it";
    let rule = "only http and base/input know the body";
    at.iter().map(|at| format!("{at} makes {kind}::{variant}: {rule}; {mend}")).collect()
}

/// Whether the code before `from` is a pattern, and not an expression that makes a new value.
fn is_pattern(tokens: &[Token], from: usize) -> bool {
    let mut at = from;
    if tokens.get(at).is_some_and(|token| token.is('(') || token.is('{')) {
        at = behind_group(tokens, at);
        let inner = &tokens[from..at];
        if inner.iter().any(|token| token.is_word("_"))
            || inner.windows(2).any(|two| two[0].is('.') && two[1].is('.'))
        {
            return true;
        }
    }
    // The code may be the inside of a larger pattern. Skips what can end a larger pattern (closing brackets,
    // further elements) until a token decides: only a pattern can be followed by `=>`, a single `=` or `|`,
    // or `if`.
    while let Some(token) = tokens.get(at) {
        let next_is = |sign| tokens.get(at + 1).is_some_and(|token| token.is(sign));
        match &token.kind {
            Kind::FatArrow => return true,
            Kind::Sign('=') => return !next_is('='),
            Kind::Sign('|') => return !next_is('|'),
            Kind::Word(word) => return word == "if",
            Kind::Sign(')' | ']' | '}') => at += 1,
            Kind::Sign(',') => {
                while let Some(token) = tokens.get(at).filter(|token| !token.closes()) {
                    if token.is(';') || token.kind == Kind::FatArrow {
                        return false;
                    }
                    at = if token.opens() { behind_group(tokens, at) } else { at + 1 };
                }
            }
            _ => return false,
        }
    }
    false
}

fn size_problems(tree: &Tree) -> Vec<String> {
    let long = tree.sources.iter().filter(|source| source.lines > MAX_LINES);
    long.map(|source| format!("{}:{} of {MAX_LINES} lines: split it by subject", source.path, source.lines))
        .collect()
}

/// The words of `DIALECT` in a comment. The Unix user `nobody` is allowed in backticks.
fn dialect_words(comment: &str) -> Vec<String> {
    let comment = comment.to_lowercase();
    let (mut words, mut before, mut start) = (Vec::new(), "", None);
    for (at, sign) in comment.char_indices().chain([(comment.len(), ' ')]) {
        match start {
            None if is_word(sign) => start = Some(at),
            Some(from) if !is_word(sign) => {
                let word = &comment[from..at];
                let quoted = word == "nobody" && comment[..from].ends_with('`') && sign == '`';
                if DIALECT.contains(&word) && !quoted {
                    words.push(word.to_owned());
                } else if word == "house" && before == "the" && comment[..from].trim_end().ends_with("the") {
                    words.push("the house".to_owned());
                }
                (before, start) = (word, None);
            }
            _ => {}
        }
    }
    words
}

fn dialect(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for source in &tree.sources {
        for (line, comment) in &source.comments {
            found.extend(
                dialect_words(comment).iter().map(|word| format!("{}:{line} says \"{word}\"", source.path)),
            );
        }
    }
    found
}

#[test]
fn every_file_has_its_place() {
    report("every file is in a group, whose root only declares and re-exports modules", &misplaced(&TODAY));
}

#[test]
fn imports_run_one_way() {
    let [problems, _] = import_problems(&TODAY.imports(), EXCEPTIONS);
    report(
        "commands → http → services → timber → evidence → db → base, net beside db, timber by its levels",
        &problems,
    );
}

#[test]
fn no_circles_within_a_group() {
    let [_, problems] = import_problems(&TODAY.imports(), EXCEPTIONS);
    report("no circles between the nodes of a group", &problems);
}

#[test]
fn exceptions_are_needed() {
    report("exceptions have reasons and are needed", &exception_problems(&TODAY.imports(), EXCEPTIONS));
}

#[test]
fn only_http_names_axum() {
    report("axum is named in http, net and commands/demo only", &axum_problems(&TODAY));
}

#[test]
fn http_makes_no_statements() {
    let mend = "move it to the module that owns the table, and call that";
    report("no SQL in http", &statement_problems(&TODAY, "http", mend));
}

#[test]
fn base_makes_no_statements() {
    report("no SQL in base", &statement_problems(&TODAY, "base", "move it to db or above"));
}

#[test]
fn only_http_and_input_make_locations() {
    let problems = location_problems(&TODAY);
    let mut left: BTreeMap<&str, usize> = LOCATION_EXCEPTIONS.iter().copied().collect();
    let unexpected: Vec<String> = problems
        .into_iter()
        .filter(|problem| {
            let file = problem.split(':').next().unwrap_or_default();
            left.get_mut(file).is_none_or(|count| match count.checked_sub(1) {
                Some(fewer) => {
                    *count = fewer;
                    false
                }
                None => true,
            })
        })
        .collect();
    report("positions in a body are made in http and base/input only", &unexpected);
    left.retain(|_, count| *count > 0);
    assert!(left.is_empty(), "LOCATION_EXCEPTIONS allows more than there are: {left:?}");
}

/// Uses of the pool in http that take no organisation's share ([`crate::http::core::share`] in src), and their
/// number per file: for public responses, before the caller is known, and in the functions that take the share.
const WITHOUT_SHARE: [(&str, usize); 6] = [
    ("src/http/api/proofs.rs", 2),
    ("src/http/api/reports.rs", 1),
    ("src/http/api/verify.rs", 1),
    ("src/http/core/app.rs", 2),
    ("src/http/core/share.rs", 2),
    ("src/http/router.rs", 1),
];

#[test]
fn every_connection_of_an_organisation_is_of_its_share() {
    let mut problems = Vec::new();
    for source in TODAY.sources.iter().filter(|source| source.path.starts_with("src/http/")) {
        let uses = source.tokens.windows(2).filter(|two| {
            two[0].is('.') && two[1].is_word("pool") || two[0].is_word("pub") && two[1].is_word("pool")
        });
        let lines: Vec<usize> = uses.map(|two| two[1].line).collect();
        let allowed =
            WITHOUT_SHARE.iter().find(|(path, _)| *path == source.path).map_or(0, |(_, count)| *count);
        if lines.len() != allowed {
            problems.push(format!(
                "{} uses the pool in lines {lines:?}, expected {allowed} uses: take `App::connection` or `App::begin`",
                source.path
            ));
        }
    }
    report("a connection of the pool is taken by an organisation's share", &problems);
}

#[test]
fn one_function_makes_days() {
    let mut problems = Vec::new();
    for source in TODAY.sources.iter().filter(|source| source.path != "src/base/units/time.rs") {
        let named =
            source.tokens.iter().filter(|token| token.is_word("date_naive") || token.is_word("date_utc"));
        problems.extend(named.map(|token| {
            format!("{}:{} makes a day of an instant: use `LocalDate::of`", source.path, token.line)
        }));
    }
    report("the day of a rule is the day in Kazakhstan", &problems);
}

#[test]
fn endpoints_have_one_form() {
    report("endpoints have an operation_id, and State comes first", &endpoint_problems(&TODAY));
}

#[test]
fn no_file_is_too_long() {
    report("files have a length that can be read", &size_problems(&TODAY));
}

#[test]
fn comments_speak_plainly() {
    let found = dialect(&TODAY);
    let mend = "name the caller, the client or the process instead";
    assert!(found.is_empty(), "{} words in comments: {mend}\n{}", found.len(), found.join("\n"));
}

/// Prints each import with its count and first line: from, to, count, example.
#[test]
#[ignore = "prints; asserts nothing"]
fn draw() {
    let tree = &*TODAY;
    let files = std::env::var_os("ARCHITECTURE_FILES").is_some();
    let imports = if files { tree.imports_between_files() } else { tree.imports() };
    let mut edges: BTreeMap<(&str, &str), Vec<&Import>> = BTreeMap::new();
    for import in &imports {
        edges.entry((&import.from, &import.to)).or_default().push(import);
    }
    for ((from, to), imports) in edges {
        println!("{from}\t{to}\t{}\t{} {}", imports.len(), imports[0].at, imports[0].what);
    }
}
