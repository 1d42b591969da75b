//! axe-core checks the accessibility of all pages: names, roles, order and contrast, in the light and the
//! dark colour scheme.
//!
//! Needs Chromium and the script of axe-core, which `.ci/axe` fetches into `target/axe`. Without them the test
//! prints a note and passes, unless `ORMANTRACE_CHROMIUM_NEEDED` and `ORMANTRACE_AXE_NEEDED` are set, as in CI.

use crate::browser::browser;
use crate::devtools::Browser;
use crate::support::process::{Running, data};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The script of axe-core: `ORMANTRACE_AXE`, or where `.ci/axe` puts it.
pub fn axe() -> Option<String> {
    let fetched = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../axe/node_modules/axe-core/axe.min.js");
    let path = std::env::var_os("ORMANTRACE_AXE").map_or(fetched, PathBuf::from);
    let script = std::fs::read_to_string(path).ok();
    if script.is_none() {
        assert!(std::env::var_os("ORMANTRACE_AXE_NEEDED").is_none(), "no axe-core here, and it is needed");
        eprintln!("SKIPPED: no axe-core here (.ci/axe fetches it), so no page was judged by it");
    }
    script
}

/// The URLs of the pages: each public page in three languages, the reference and the problems.
fn pages(document: &Value) -> Vec<String> {
    let mut pages = Vec::new();
    for lang in ["kk", "ru", "en"] {
        for page in [
            "/",
            "/verify",
            "/verify?code=..",
            // One page of each verdict: valid, closed, void, unused, unknown.
            "/verify/DEMO-000041",
            "/verify/DEMO-000076",
            "/verify/DEMO-000110",
            "/verify/DEMO-000188",
            "/verify/KZ999999999",
            "/register",
            "/nowhere",
            "/docs",
            "/problems",
        ] {
            let joint = if page.contains('?') { '&' } else { '?' };
            pages.push(format!("{page}{joint}lang={lang}"));
        }
    }
    for tag in document["tags"].as_array().expect("tags") {
        pages.push(format!("/docs/{}?lang=kk", tag["name"].as_str().expect("a name").replace(' ', "-")));
    }
    for kind in ormantrace::http::core::problem::ProblemType::ALL {
        pages.push(format!("/problems/{}?lang=ru", kind.slug()));
    }
    pages
}

/// The errors that axe-core reports for the open page, one line each.
pub fn findings(browser: &mut Browser) -> Vec<String> {
    let found = browser.value(
        "axe.run(document, {resultTypes: ['violations']}).then(result => result.violations.map(one => \
         one.impact + ' ' + one.id + ': ' + one.nodes.slice(0, 3).map(node => node.html.slice(0, 160)).join(' ')))",
    );
    let found = found.as_array().expect("a list");
    found.iter().map(|line| line.as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn axe_finds_nothing_on_any_page() {
    let Some(script) = axe() else { return };
    let profile = tempfile::tempdir().expect("a folder");
    let Some(mut browser) = browser(profile.path()) else { return };
    let data = data();
    let server = Running::start_as("demo", data.path(), &["--hits-per-second", "1000000"]);
    let document: Value = serde_json::from_str(&server.get("/openapi.json", None).1).expect("JSON");
    let metrics = json!({"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": true});
    browser.ask("Emulation.setDeviceMetricsOverride", &metrics);
    let (mut found, mut judged) = (Vec::new(), 0);
    for page in pages(&document) {
        browser.open(&format!("http://{}{page}", server.address));
        // The script is evaluated through the DevTools protocol, so that the page's Content Security Policy
        // stays in force.
        browser.value(&format!("{script}; typeof axe"));
        for scheme in ["light", "dark"] {
            let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
            browser.ask("Emulation.setEmulatedMedia", &media);
            found.extend(findings(&mut browser).iter().map(|line| format!("{page}, {scheme}: {line}")));
            judged += 1;
        }
    }
    assert!(judged > 100, "only {judged} pages");
    assert!(found.is_empty(), "{}", found.join("\n"));
    // This shows that axe-core reports errors: an image without a text is one.
    browser.value("document.querySelector('main').append(document.createElement('img'))");
    assert!(findings(&mut browser).iter().any(|line| line.starts_with("critical image-alt")));
}
