//! Runs the source reader and every rule on small source trees. Each way of hiding an import must be
//! detected, and paths that are no imports must not be reported.

use crate::imports::Tree;
use crate::lex::{cut_tests, lex};
use crate::{
    MAX_LINES, axum_problems, circle_problems, dialect, dialect_words, direction_problems, endpoint_problems,
    exception_problems, import_problems, location_problems, misplaced, size_problems, statement_problems,
};

fn tree(files: &[(&str, &str)]) -> Tree {
    let files: Vec<_> = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    Tree::new(&files)
}

/// A source tree in which `text` is the file `src/timber/seal/void.rs`, next to the modules that it might
/// import.
fn seal(text: &str) -> Tree {
    tree(&[
        ("src/base/error.rs", "pub enum Location { Pointer(String) }"),
        ("src/lib.rs", "pub mod base; pub mod timber; pub mod net; pub use timber::custody as holders;"),
        ("src/net/client.rs", "pub struct Client;"),
        ("src/timber/custody/mod.rs", "pub mod table; pub use table::Table;"),
        ("src/timber/custody/table.rs", "pub struct Table;\n#[macro_export]\nmacro_rules! held { () => {} }"),
        ("src/timber/event.rs", "pub use crate::timber::custody::Table as Moved;"),
        ("src/timber/mod.rs", "pub mod custody; pub mod event; pub mod seal; pub use custody::Table;"),
        ("src/timber/seal/mod.rs", "pub mod void; pub mod code;"),
        ("src/timber/seal/code.rs", "pub struct Code;"),
        ("src/timber/seal/void.rs", text),
    ])
}

/// The targets of the forbidden imports in `src/timber/seal/void.rs`, with the lines of the imports.
fn red(text: &str) -> Vec<(String, String)> {
    let imports = seal(text).imports();
    let wrong = direction_problems(&imports).into_iter();
    let here =
        wrong.filter_map(|(import, _)| Some((import.at.strip_prefix("src/timber/seal/void.rs:")?, import)));
    here.map(|(line, import)| (line.to_owned(), import.to.clone())).collect()
}

#[test]
fn no_import_can_hide() {
    let hidden = [
        ("plain", "\nuse crate::timber::custody::Table;"),
        ("nested", "use crate::{\ntimber::{custody::{self, Table}, seal::code}};"),
        ("group and alias", "use crate::timber as wood;\nfn f() { wood::custody::g(); }"),
        ("root and alias", "use crate as all;\nfn f() -> all::timber::custody::Table { g() }"),
        ("self", "use super::code::{self};\nuse crate::timber::custody::{self};"),
        ("alias", "\nuse crate::timber::custody as _;"),
        ("pub use", "\npub(crate) use crate::timber::custody::Table;"),
        ("glob", "\nuse crate::timber::custody::*;"),
        ("glob of a group", "\nuse super::super::*;"),
        ("super", "\nuse super::super::custody::Table;"),
        ("super in a body", "\nfn f() { super::super::custody::g() }"),
        ("self and super", "\nfn f() { self::super::super::custody::g() }"),
        ("inline module", "mod inner {\nuse super::super::super::custody::Table; }"),
        ("leading colons", "\nuse ::ormantrace::timber::custody::Table;"),
        ("type", "\nfn f(t: &crate::timber::custody::Table) {}"),
        ("generic", "\nfn f() { g::<crate::timber::custody::Table>() }"),
        ("qualified", "\nfn f() { <crate::timber::custody::Table>::new() }"),
        ("range", "\nfn f() { 0..crate::timber::custody::N; }"),
        ("macro", "fn f() { format!(\"{}\",\ncrate::timber::custody::N) }"),
        ("macro_rules", "macro_rules! m { () => {\n$crate::timber::custody::g() } }"),
        ("exported macro", "\nfn f() { crate::held!() }"),
        ("attribute", "#[arg(value_parser =\ncrate::timber::custody::parse)]\nstruct S;"),
        ("attribute string", "\n#[serde(with = \"crate::timber::custody::text\")]\nstruct S;"),
        ("raw attribute string", "\n#[serde(with = r#\"crate::timber::custody::text\"#)]\nstruct S;"),
        ("inner attribute", "\n#![m(with = \"crate::timber::custody::text\")]"),
        ("re-export of the group", "\nuse crate::timber::Table;"),
        ("re-export of the root", "\nuse crate::holders::Table;"),
        (
            "behind a character",
            "fn f<'a>(c: &'a str) { let q = ('\"', '\\'', b'\"', 'a');\ncrate::timber::custody::g(); }",
        ),
        (
            "behind raw strings",
            "const A: &str = r##\"\"# // \"##; const B: &str = \"\\\"//\";\nuse crate::timber::custody::Table;",
        ),
        ("behind comments", "/* /* */ \" */ const A: u8 = 1; //\"\nuse crate::timber::custody::Table;"),
        ("behind tests", "#[cfg(test)] mod tests { fn f() {} }\nuse crate::timber::custody::Table;"),
        ("behind a test use", "#[cfg(test)] use std::{fs, io};\nuse crate::timber::custody::Table;"),
        (
            "behind a test constant",
            "#[cfg(test)] const X: [u8; 1] = { [1] };\nuse crate::timber::custody::Table;",
        ),
        ("behind a test field", "struct S { #[cfg(test)] a: u8,\nb: crate::timber::custody::Table }"),
        ("behind a last test field", "struct S { #[cfg(test)] a: u8 }\nuse crate::timber::custody::Table;"),
        ("not test", "\n#[cfg(not(test))] use crate::timber::custody::Table;"),
        ("any test", "\n#[cfg(any(test, unix))] use crate::timber::custody::Table;"),
    ];
    for (name, text) in hidden {
        let expected = ("2".to_owned(), "timber/custody".to_owned());
        assert!(red(text).contains(&expected), "{name}: {:?} in {text}", red(text));
        assert!(red(text).iter().all(|one| *one == expected), "{name}: {:?} in {text}", red(text));
    }
}

#[test]
fn what_is_no_import_is_passed_over() {
    let harmless = [
        "// use crate::timber::custody::Table;",
        "/// [`crate::timber::custody::Table`]\n//! crate::timber::custody\nstruct S;",
        "/* /* nested */ use crate::timber::custody::Table; */",
        "const A: &str = \"use crate::timber::custody::Table;\";",
        "const A: &str = r#\"\" crate::timber::custody::Table\"#; const B: &[u8] = br\"crate::timber::custody::x\";",
        "fn f() { format!(\"crate::timber::custody::{}\", 1) }",
        "#[doc = \"crate::timber::custody::Table\"]\n#[expect(dead_code, reason = \"crate::timber::custody::x\")]\nstruct S;",
        "#[cfg(test)]\nmod tests { use crate::timber::custody::Table; }",
        "#[cfg(test)]\n#[expect(unused)]\npub(super) fn f() -> [u8; 2] { crate::timber::custody::g() }",
        "#[allow(unused)]\n#[cfg(test)]\nuse crate::timber::{custody::Table, seal};",
        "#[cfg(test)] impl S { fn f() { crate::timber::custody::g() } }",
        "#[cfg(all(test, unix))] use crate::timber::custody::Table;",
        "fn f() { #[cfg(test)] crate::timber::custody::g(); }",
        "fn f() { #[cfg(test)] { crate::timber::custody::g(); } }",
        "fn f() { match 1 { #[cfg(test)] 1 => crate::timber::custody::g(), _ => {} } }",
        "mod inner { #![cfg(test)] use crate::timber::custody::Table; }",
        "#![cfg(test)]\nuse crate::timber::custody::Table;",
        "pub(in crate::timber::custody) fn f() {}",
        "use super::code::Code; fn f() { Code::new(); super::code::g(); self.custody::<u8>(); }",
        "fn f() -> impl Sized + use<'static> { custody::Table }",
    ];
    for text in harmless {
        assert!(red(text).is_empty(), "{:?} in {text}", red(text));
    }
}

#[test]
fn files_of_test_modules_are_left_out() {
    let upward = "use crate::timber::custody::Table;";
    let declared = |declaration: &str, file: &str| {
        let tree = tree(&[
            ("src/timber/custody.rs", "pub struct Table;"),
            ("src/timber/seal.rs", declaration),
            (file, upward),
        ]);
        direction_problems(&tree.imports()).len()
    };
    assert_eq!(declared("mod tests;", "src/timber/seal/tests.rs"), 1);
    assert_eq!(declared("#[cfg(test)] mod tests;", "src/timber/seal/tests.rs"), 0);
    assert_eq!(declared("#[cfg(test)] mod tests;", "src/timber/seal/tests/mod.rs"), 0);
    assert_eq!(declared("#[cfg(test)] pub(crate) mod tests;", "src/timber/seal/tests/deep/far.rs"), 0);
    assert_eq!(declared("#[cfg(test)] mod tests { mod far; }", "src/timber/seal/tests/far.rs"), 0);
    assert_eq!(declared("#[cfg(test)] mod tests;", "src/timber/seal/tests_of_it.rs"), 1);
    let path = "#[cfg(test)] #[path = \"seal_tests.rs\"] mod tests;";
    assert_eq!(declared(path, "src/timber/seal_tests.rs"), 0);
    let path = "#[path = \"seal_tests.rs\"] #[cfg(test)] mod tests;";
    assert_eq!(declared(path, "src/timber/seal_tests.rs"), 0);
}

#[test]
fn a_chain_of_re_exports_is_followed() {
    // Evidence may import net, and timber may import evidence, but timber may not import net through a
    // re-export of evidence.
    let chain = |text: &str| {
        let tree = tree(&[
            ("src/net/client.rs", "pub struct Client;"),
            ("src/evidence/register/mod.rs", "mod ask; pub use ask::*; pub use self::ask as asked;"),
            ("src/evidence/register/ask.rs", "pub use crate::net::client::{Client as Caller, Client};"),
            ("src/timber/seal.rs", text),
        ]);
        let imports = tree.imports();
        direction_problems(&imports).iter().map(|(import, _)| import.to.clone()).collect::<Vec<_>>()
    };
    assert_eq!(chain("use crate::evidence::register::asked::Caller;"), ["net/client"]);
    assert_eq!(chain("use crate::evidence::register::Caller;"), ["net/client"]);
    assert_eq!(chain("use crate::evidence::register as r;\nfn f() { r::Caller::new() }"), ["net/client"]);
    assert_eq!(chain("use crate::evidence::register::asked::*;"), ["net/client"]);
    assert_eq!(chain("use crate::evidence::register::Other;"), [""; 0]);
}

#[test]
fn a_problem_says_where_what_why_and_how_to_mend_it() {
    let imports = seal("\n\nuse crate::timber::custody::Table;\nuse crate::timber::event::Moved;").imports();
    let problems: Vec<String> =
        direction_problems(&imports).into_iter().map(|(_, problem)| problem).collect();
    let mend = "move the shared part down, or pass it in from above";
    assert_eq!(
        problems,
        [
            format!(
                "src/timber/event.rs:1 imports crate::timber::custody::Table: timber/event is below timber/custody; {mend}"
            ),
            format!(
                "src/timber/seal/void.rs:3 imports crate::timber::custody::Table: timber/seal is below timber/custody; {mend}"
            ),
            format!(
                "src/timber/seal/void.rs:4 imports crate::timber::event::Moved (which leads to crate::timber::custody::Table): timber/seal is below timber/custody; {mend}"
            ),
        ]
    );
}

#[test]
fn groups_and_levels_have_one_direction() {
    let allowed = |from: &str, to: &str| {
        let (from, to) = (format!("src/{from}.rs"), to.to_owned());
        let text = format!("use crate::{}::X;", to.replace('/', "::"));
        let tree = tree(&[(&from, &text), (&format!("src/{to}.rs"), "pub struct X;")]);
        assert_eq!(tree.imports().len(), 1, "{from} {to}");
        direction_problems(&tree.imports()).is_empty()
    };
    let groups = ["commands/a", "http/a", "services/a", "timber/seal", "evidence/a", "db/a", "base/a"];
    for (n, upper) in groups.iter().enumerate() {
        for lower in &groups[n + 1..] {
            assert!(allowed(upper, lower) && !allowed(lower, upper), "{upper} {lower}");
        }
        let may = !["timber/seal", "db/a", "base/a"].contains(upper);
        assert_eq!(allowed(upper, "net/a"), may, "{upper}");
        assert_eq!(allowed("net/a", upper), *upper == "base/a", "{upper}");
    }
    let nodes = ["wood", "event", "party", "finding", "seal", "custody", "waybill", "track"];
    for (n, lower) in nodes.iter().enumerate() {
        for upper in &nodes[n + 1..] {
            let (lower, upper) = (format!("timber/{lower}"), format!("timber/{upper}"));
            assert!(allowed(&upper, &lower) && !allowed(&lower, &upper), "{upper} {lower}");
        }
    }
    for (one, other) in [("timber/ticket", "timber/seal"), ("timber/mill", "timber/track")] {
        assert!(!allowed(one, other) && !allowed(other, one), "{one} {other}");
    }
    assert!(allowed("timber/custody", "timber/ticket") && !allowed("timber/ticket", "timber/custody"));
}

#[test]
fn circles_are_found_and_exceptions_open_them() {
    let tree = tree(&[
        ("src/http/mod.rs", "pub mod api; pub mod core; pub mod router;"),
        ("src/http/router.rs", "use super::{api, core::App};"),
        ("src/http/api/seals.rs", "use crate::http::core::App;"),
        ("src/http/core/mod.rs", "pub struct App;\n#[m(with = \"crate::http::desk::x\")] struct B;"),
        ("src/http/desk.rs", "fn f() { super::api::g() }"),
    ]);
    let imports = tree.imports();
    let circles = circle_problems(&imports);
    let found: Vec<_> =
        circles.iter().map(|(import, _)| (import.from.as_str(), import.to.as_str())).collect();
    assert_eq!(found, [("http/api", "http/core"), ("http/core", "http/desk"), ("http/desk", "http/api")]);
    assert!(
        circles[0].1.contains("a circle http/api → http/core → http/desk → http/api;"),
        "{}",
        circles[0].1
    );

    let exception = ("http/core", "http/desk", "until desk moves");
    assert_eq!(import_problems(&imports, &[exception]), [vec![], Vec::<String>::new()]);
    assert!(exception_problems(&imports, &[exception]).is_empty());
    let unneeded = exception_problems(&imports, &[("http/router", "http/core", "none")]);
    assert_eq!(unneeded, ["EXCEPTIONS: http/router → http/core is no longer needed: strike it"]);
    assert_eq!(exception_problems(&imports, &[("http/core", "http/desk", " ")]).len(), 1);
}

#[test]
fn every_file_is_in_a_group_whose_root_has_no_code() {
    let problems = |path, text| misplaced(&tree(&[("src/lib.rs", "fn f() {}"), (path, text)]));
    assert_eq!(problems("src/serve.rs", "").len(), 1);
    assert_eq!(problems("src/seal/void.rs", "").len(), 1);
    assert_eq!(
        problems("src/timber/region.rs", ""),
        ["src/timber/region.rs:1: timber/region is in no level of TIMBER_LEVELS: give it one"]
    );
    for code in ["#[path = \"b.rs\"] mod a;", "include!(\"b.rs\");", "extern crate self as house;"] {
        assert_eq!(problems("src/base/ids.rs", code).len(), 1, "{code}");
    }
    assert!(problems("src/base/ids.rs", "#[cfg(test)] #[path = \"b.rs\"] mod a; use a::path;").is_empty());
    let fine = "//! Doc.\n#![m]\npub mod seal;\n#[m]\npub(crate) mod a;\npub use seal::{A, b::B};\n#[cfg(test)]\nmod t { fn f() {} }";
    assert!(problems("src/timber/mod.rs", fine).is_empty());
    for code in [
        "pub mod a;\npub fn f() {}",
        "use a::B;\nmod a { struct B; }",
        "\nimpl A {}",
        "\nmacro_rules! m { () => {} }",
    ] {
        let expected =
            ["src/http/mod.rs:2 has code: the root of http may only declare and re-export modules"];
        assert_eq!(problems("src/http/mod.rs", code), expected);
    }
}

#[test]
fn axum_is_seen_wherever_it_is_named() {
    let at = |path, text| {
        axum_problems(&tree(&[("src/net/serve.rs", "pub use axum::body::Body;"), (path, text)])).len()
    };
    for text in [
        "use axum::Json;",
        "use axum as web;",
        "use {std::fs, axum::{self, Json}};",
        "fn f() -> axum::Router { g() }",
        "fn f() { ::axum::Json(1); }",
        "#[from] struct A(#[m(\"axum::Error\")] u8);",
        "use crate::net::serve::Body;",
    ] {
        assert!(at("src/services/reads.rs", text) > 0, "{text}");
        assert_eq!(at("src/http/core.rs", text) + at("src/commands/demo/script.rs", text), 0, "{text}");
    }
    assert_eq!(
        at("src/services/reads.rs", "// axum::Json\n#[cfg(test)] use axum::Json;\nuse tower::axum;"),
        0
    );
}

#[test]
fn statements_are_seen_in_every_form() {
    for text in [
        "async fn f() { sqlx::query(\"SELECT 1\").execute(&pool).await; }",
        "use sqlx::{PgPool, query_as};",
        "use sqlx as db;\nfn f() { db::raw_sql(\"\"); }",
        "use sqlx::*;",
        "fn f() { sqlx::query!(\"\"); }",
        "fn f() { query_file_scalar!(\"a.sql\"); }",
        "fn f() { sqlx::query::query_with(a, b); }",
        "fn f() { sqlx::QueryBuilder::new(\"\"); }",
        "fn f() { pool.fetch_one(\"SELECT 1\"); }",
    ] {
        for (path, group) in [("src/http/api/seals.rs", "http"), ("src/base/ids.rs", "base")] {
            let tree = tree(&[(path, text)]);
            assert!(!statement_problems(&tree, group, "").is_empty(), "{group}: {text}");
            assert!(statement_problems(&tree, "db", "").is_empty());
        }
    }
    let fine = "use sqlx::{PgPool, Type}; use axum::extract::Query; fn f() { uri.query(); query(1); }\n#[cfg(test)] fn g() { sqlx::query(\"\"); }";
    assert!(statement_problems(&tree(&[("src/http/core.rs", fine)]), "http", "").is_empty());
}

#[test]
fn locations_are_made_or_matched() {
    let at = |path, text: &str| {
        location_problems(&tree(&[
            ("src/base/error.rs", "pub enum Location { Pointer(String) }"),
            (path, text),
        ]))
        .len()
    };
    for text in [
        "fn f() { Location::Pointer(a) }",
        "fn f() { g(crate::base::error::Location::Pointer(format!(\"/{n}\")), \"x\") }",
        "fn f() { names.map(Location::Pointer); }",
        "fn f() { match a { A => Location::Pointer(b), B => c } }",
        "fn f() { let a = Some(Location::Pointer(b)) == c; }",
        "use crate::base::error::Location::Pointer;",
        "use crate::base::error::Location::*;",
        "pub enum Location { Pointer(String) } impl Location { fn f() -> Self { Self::Pointer(a) } }",
    ] {
        assert_eq!(at("src/timber/seal/void.rs", text), 1, "{text}");
        assert_eq!(at("src/base/input/tree.rs", text) + at("src/http/api.rs", text), 0, "{text}");
    }
    for text in [
        "fn f() { match a { Location::Pointer(b) => 1, B => 2 } }",
        "fn f() { match a { (Location::Pointer(b), Some(C { d })) => 1 } }",
        "fn f() { match a { Location::Pointer(b) | Location::Name(b) if b => 1 } }",
        "fn f() { if let Some(Location::Pointer(b)) = a {} }",
        "fn f() { match a { Entry { at: Location::Pointer(b), .. } => 1 } }",
        "fn f() { matches!(a, Location::Pointer(_)) }",
        "#[cfg(test)] fn f() { Location::Pointer(a) }",
    ] {
        assert_eq!(at("src/timber/seal/void.rs", text), 0, "{text}");
    }
}

#[test]
fn an_endpoint_has_an_operation_id_and_takes_the_state_first() {
    let found = |attribute: &str, parameters: &str| {
        let text = format!("#[utoipa::path({attribute})] pub async fn a({parameters}) -> B {{}}");
        endpoint_problems(&tree(&[("src/http/api/a.rs", &text)])).len()
    };
    let named = r#"get, operation_id = "a", params(("id" = B))"#;
    assert_eq!(found(named, "State(app): State<App>, caller: Caller"), 0);
    assert_eq!(found(named, "_caller: Option<Caller>, _: NoQuery"), 0);
    assert_eq!(found(named, "caller: Caller, State(app): State<App>"), 1);
    assert_eq!(found("get", "caller: Caller, State(app): State<App>"), 2);
}

#[test]
fn long_files_and_dialect_are_counted_in_tests_too() {
    let long = "\n".repeat(MAX_LINES + 1);
    let lines = tree(&[("src/base/a.rs", &long), ("src/base/b.rs", &long[1..])]);
    assert_eq!(size_problems(&lines), ["src/base/a.rs:641 of 640 lines: split it by subject"]);

    let words = |comment| dialect_words(comment).join(" ");
    assert_eq!(
        words("// He told his house; Whoever's. THE  house, strangers"),
        "he told his whoever the house strangers"
    );
    assert_eq!(words("// the, then this `nobody` user; untold, the_house, hem, household, other house"), "");
    assert_eq!(words("/// runs as nobody"), "nobody");
    let text = "#[cfg(test)] mod tests {\n  let a = \"// told\"; // told\n/* told */ }";
    assert_eq!(dialect(&tree(&[("src/base/a.rs", text)])), ["src/base/a.rs:2 says \"told\""]);
}

#[test]
fn unfinished_source_is_read_to_its_end() {
    for text in [
        "'",
        "\"",
        "r#\"",
        "/*",
        "b'",
        "#[",
        "#![cfg(test)",
        "use a::{",
        "use { ; }",
        "T![use] => { a; }",
        "use ) {",
        "#[cfg(test)]",
        "mod a {",
        "}",
        "r#",
        "a::",
        "'\\",
    ] {
        let (tokens, _) = cut_tests(&lex(text, 1).tokens);
        let tree = tree(&[("src/http/mod.rs", text)]);
        assert!(tokens.len() < 12 && tree.imports().is_empty());
        let _ = misplaced(&tree);
    }
}
