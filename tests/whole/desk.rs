//! The desk in a real browser: axe-core finds nothing on its pages, they fit a phone and a desk, they load nothing from
//! elsewhere, script in user text runs nowhere, and a person gets from a seal number to a recorded check by keyboard.
//!
//! By default one language, one colour scheme and one width are tried; with `ORMANTRACE_LONG=1` all of them.

use crate::accessible::{axe, findings};
use crate::browser::{browser, only_us, ran};
use crate::devtools::Browser;
use crate::support::process::{PATIENCE, Running, data};
use crate::wire::{percent, send};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Instant;

/// The pages of an inspector in the demonstration.
const PAGES: [&str; 14] = [
    "/desk",
    "/desk/search",
    "/desk/search?q=DEMO-000114",
    "/desk/search?q=DEM0-O00114",
    "/desk/search?q=%D0%95%D1%80%D1%82%D1%96%D1%81",
    "/desk/logs",
    "/desk/logs?status=burnt",
    // Stopped, sawn, seized, with a new seal.
    "/desk/logs/DEMO-000114",
    "/desk/logs/DEMO-000076",
    "/desk/logs/DEMO-000120",
    "/desk/logs/DEMO-000114/checks/new",
    "/desk/logs/DEMO-000114/releases/new",
    "/desk/sessions",
    "/desk/nowhere",
];

fn long() -> bool {
    std::env::var_os("ORMANTRACE_LONG").is_some_and(|long| long == "1")
}

/// The key of a role in the demonstration.
fn key(role: &str) -> String {
    format!("demo-{role}-key-not-for-production-0000001")
}

/// The secret of a new session, got as a browser without script gets it.
fn session(address: SocketAddr, key: &str) -> String {
    let body = format!("key={}", percent(key));
    let request = format!(
        "POST /desk/sign-in HTTP/1.1\r\nhost: {address}\r\norigin: http://{address}\r\nconnection: close\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = send(address, request.as_bytes());
    assert_eq!(answer.status, 303, "{answer:?}");
    let cookie =
        answer.header("set-cookie").expect("a cookie").split(';').next().expect("a value").to_owned();
    cookie.strip_prefix("__Host-ormantrace=").expect("the session").to_owned()
}

/// Signs the browser in. Chromium takes a cookie that is `Secure` from this machine over http too.
pub fn sign_in(browser: &mut Browser, address: SocketAddr, key: &str) {
    let set = browser.ask(
        "Network.setCookie",
        &json!({"name": "__Host-ormantrace", "value": session(address, key), "url": format!("http://{address}/"),
            "path": "/", "secure": true, "httpOnly": true, "sameSite": "Lax"}),
    );
    assert_eq!(set["success"], true);
}

fn emulate(browser: &mut Browser, width: u32, scheme: &str) {
    let metrics = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600});
    browser.ask("Emulation.setDeviceMetricsOverride", &metrics);
    let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
    browser.ask("Emulation.setEmulatedMedia", &media);
}

/// What extends over the edges of the page.
fn too_wide(browser: &mut Browser) -> Option<Value> {
    let seen = browser.value(
        "(() => { const w = document.documentElement.clientWidth; \
         const over = [...document.querySelectorAll('body *')].filter(e => { \
         const r = e.getBoundingClientRect(); return !e.closest('[aria-hidden]') && !e.closest('thead') && \
         r.width > 1 && r.height > 1 && (r.right > w + 1 || r.left < -1); }); \
         return {width: w, scroll: document.documentElement.scrollWidth, \
         over: over.slice(0, 3).map(e => e.outerHTML.slice(0, 120))}; })()",
    );
    (seen["scroll"] != seen["width"] || seen["over"] != json!([])).then_some(seen)
}

/// Elements that a person taps and that are smaller than 24 px in a direction. A link within a sentence or a cell of text
/// is exempt, as in WCAG 2.2 (2.5.8).
fn too_small(browser: &mut Browser) -> Value {
    browser.value(
        "[...document.querySelectorAll('button, select, textarea, input:not([type=hidden], [hidden]), nav a, .actions a')] \
         .filter(e => { const r = e.getBoundingClientRect(); return r.width < 24 || r.height < 24; }) \
         .map(e => e.outerHTML.slice(0, 120))",
    )
}

#[test]
fn pages_of_the_desk_are_accessible_and_fit() {
    let Some(script) = axe() else { return };
    let profile = tempfile::tempdir().expect("a folder");
    let Some(mut browser) = browser(profile.path()) else { return };
    let data = data();
    let server = Running::start_as("demo", data.path(), &[]);
    let address = server.address;
    let (langs, schemes, widths): (&[&str], &[&str], &[u32]) = if long() {
        (&["kk", "ru", "en"], &["light", "dark"], &[320, 360, 1280])
    } else {
        (&["kk"], &["dark"], &[320])
    };
    let mut found = Vec::new();
    let mut judge = |browser: &mut Browser, page: &str, lang: &str| {
        let joint = if page.contains('?') { '&' } else { '?' };
        let told = browser.open(&format!("http://{address}{page}{joint}lang={lang}"));
        only_us(&told, address);
        assert_eq!(ran(&told), [""; 0], "{page}");
        assert_eq!(browser.value("document.documentElement.lang"), lang, "{page}");
        assert!(
            !browser.value("document.body.textContent").as_str().unwrap_or_default().contains('⟦'),
            "{page}"
        );
        browser.value(&format!("{script}; typeof axe"));
        for scheme in schemes {
            for width in widths {
                emulate(browser, *width, scheme);
                let at = format!("{page}, {lang}, {scheme}, {width}");
                found.extend(findings(browser).iter().map(|line| format!("{at}: {line}")));
                found.extend(too_wide(browser).map(|seen| format!("{at}: too wide: {seen}")));
                let small = too_small(browser);
                if small != json!([]) {
                    found.push(format!("{at}: too small: {small}"));
                }
            }
        }
    };
    for lang in langs {
        judge(&mut browser, "/desk/sign-in?ended=1", lang);
    }
    sign_in(&mut browser, address, &key("inspector"));
    for lang in langs {
        for page in PAGES.into_iter().chain(["/desk/codes"]) {
            judge(&mut browser, page, lang);
        }
    }
    sign_in(&mut browser, address, &key("harvester"));
    for lang in langs {
        for page in ["/desk", "/desk/logs?status=sold", "/desk/logs/DEMO-000041"] {
            judge(&mut browser, page, lang);
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Waits until an expression in the page is true; a form that was sent is another page by then.
#[track_caller]
fn until(browser: &mut Browser, expression: &str) {
    let since = Instant::now();
    while browser.try_value(&format!("!!({expression})")) != Some(true.into()) {
        assert!(
            since.elapsed() < PATIENCE,
            "never: {expression}: {:?}",
            browser.try_value("document.body?.innerText")
        );
    }
}

/// Types into the element that has the focus.
fn type_text(browser: &mut Browser, text: &str) {
    browser.ask("Input.insertText", &json!({"text": text}));
}

fn press(browser: &mut Browser, key: &str) {
    let text = match key {
        "Enter" => "\r",
        " " => " ",
        _ => "",
    };
    let code = match key {
        "Tab" => 9,
        "Enter" => 13,
        " " => 32,
        _ => 0,
    };
    for kind in ["keyDown", "keyUp"] {
        browser.ask(
            "Input.dispatchKeyEvent",
            &json!({"type": kind, "key": key, "windowsVirtualKeyCode": code, "text": if kind == "keyDown" { text } else { "" }}),
        );
    }
}

/// Presses Tab until an element has the focus.
#[track_caller]
fn tab_to(browser: &mut Browser, selector: &str) {
    for _ in 0..80 {
        press(browser, "Tab");
        if browser.value(&format!("document.activeElement?.matches({})", json!(selector))) == true {
            return;
        }
    }
    panic!("no focus on {selector}");
}

#[test]
fn an_inspector_gets_from_a_number_to_a_recorded_check_by_keyboard() {
    let profile = tempfile::tempdir().expect("a folder");
    let Some(mut browser) = browser(profile.path()) else { return };
    let data = data();
    let server = Running::start_as("demo", data.path(), &[]);
    let address = server.address;
    browser.open(&format!("http://{address}/desk?lang=en"));
    until(&mut browser, "location.pathname === '/desk/sign-in'");
    // A wrong key: the summary has the focus, and its link leads to the field.
    tab_to(&mut browser, "#key");
    type_text(&mut browser, "wrong");
    press(&mut browser, "Enter");
    until(&mut browser, "document.activeElement?.className === 'summary'");
    tab_to(&mut browser, ".summary a");
    press(&mut browser, "Enter");
    until(&mut browser, "document.activeElement?.id === 'key'");
    type_text(&mut browser, &key("inspector"));
    press(&mut browser, "Enter");
    until(&mut browser, "location.pathname === '/desk'");
    // Three steps: search, the log, the check.
    tab_to(&mut browser, "#q");
    type_text(&mut browser, "demo 000041");
    press(&mut browser, "Enter");
    until(&mut browser, "location.pathname === '/desk/search' && document.querySelector('.hit a')");
    tab_to(&mut browser, ".hit a");
    press(&mut browser, "Enter");
    until(
        &mut browser,
        "location.pathname === '/desk/logs/DEMO-000041' && document.querySelector('.actions a')",
    );
    tab_to(&mut browser, ".actions a");
    press(&mut browser, "Enter");
    until(&mut browser, "document.querySelector('#outcome')");
    tab_to(&mut browser, "#outcome");
    press(&mut browser, " ");
    assert_eq!(browser.value("document.querySelector('#outcome').checked"), true);
    tab_to(&mut browser, "#note");
    type_text(&mut browser, "Пломба бүтін");
    tab_to(&mut browser, ".form > button");
    // A double click sends the form twice.
    browser.value("document.querySelector('.form').submit(); document.querySelector('.form').submit(); 0");
    until(&mut browser, "location.search === '?done=inspected' && document.querySelector('.notice')");
    let text = browser.value("document.body.innerText");
    let text = text.as_str().unwrap_or_default();
    assert!(text.contains("The check is recorded.") && text.contains("Пломба бүтін"), "{text}");
    let (_, history) = server.get("/v1/logs/DEMO-000041/history", Some(&key("inspector")));
    let history: Value = serde_json::from_str(&history).expect("JSON");
    let events = history["events"].as_array().expect("events");
    let checks = events.iter().filter(|event| event["details"]["note"] == "Пломба бүтін");
    assert_eq!(checks.count(), 1);
    // Signed out, the way back needs the key again.
    browser.value("document.querySelector('.desk-account button').click(); 0");
    until(&mut browser, "location.pathname === '/desk/sign-in'");
    browser.open(&format!("http://{address}/desk/logs/DEMO-000041"));
    until(&mut browser, "location.pathname === '/desk/sign-in'");
}

/// A page of another site that sends a form to the desk gets a refusal, although the browser is signed in.
#[test]
fn a_page_of_another_site_signs_nobody_out() {
    let profile = tempfile::tempdir().expect("a folder");
    let Some(mut browser) = browser(profile.path()) else { return };
    let data = data();
    let server = Running::start_as("demo", data.path(), &[]);
    let address = server.address;
    sign_in(&mut browser, address, &key("inspector"));
    let form = format!(
        "data:text/html,<form method=post action=http://{address}/desk/sign-out><button>x</button></form>"
    );
    browser.open(&form);
    browser.value("document.querySelector('form').submit(); 0");
    until(&mut browser, "document.querySelector('.failure-status')?.textContent.includes('403')");
    browser.open(&format!("http://{address}/desk?lang=en"));
    assert_eq!(browser.value("location.pathname"), "/desk");
}
