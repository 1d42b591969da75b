//! The pages in a real browser: no script in user text runs, and no page is wider than a phone, in any of
//! the three languages.
//!
//! Needs Chromium. Without it the tests print a note and pass, unless `ORMANTRACE_CHROMIUM_NEEDED` is
//! set, as in CI.

use crate::devtools::{Browser, installed};
use crate::support::process::{Running, TOKEN, data};
use crate::wire::{percent, request, send};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Markup with the length that the shortest text field allows; it opens a dialog if it is ever parsed as
/// markup.
const SCRIPT: &str = "<svg onload=alert()>";

/// The browser, if there is one on this machine.
pub fn browser(folder: &std::path::Path) -> Option<Browser> {
    let Some(program) = installed() else {
        assert!(
            std::env::var_os("ORMANTRACE_CHROMIUM_NEEDED").is_none(),
            "no Chromium here, and it is needed"
        );
        eprintln!("SKIPPED: no Chromium on this machine, so no page was opened in a browser");
        return None;
    };
    Some(Browser::start(&program, folder))
}

/// The `DevTools` events that show that a script ran or was blocked: a dialog, an exception or a line on the
/// console.
pub fn ran(events: &[Value]) -> Vec<String> {
    let told = [
        "Page.javascriptDialogOpening",
        "Runtime.exceptionThrown",
        "Runtime.consoleAPICalled",
        "Log.entryAdded",
    ];
    let of = events.iter().filter(|event| told.iter().any(|name| event["method"] == *name));
    // The browser itself logs each unsuccessful response.
    let of = of.filter(|event| {
        let text = event["params"]["entry"]["text"].as_str().unwrap_or_default();
        !text.starts_with("Failed to load resource: the server responded with a status of")
    });
    of.map(Value::to_string).collect()
}

/// Fails if the browser sent a request to any other server than the tested one.
#[track_caller]
pub fn only_us(events: &[Value], address: SocketAddr) {
    for event in events.iter().filter(|event| event["method"] == "Network.requestWillBeSent") {
        let url = event["params"]["request"]["url"].as_str().unwrap_or_default();
        let ours = url.starts_with(&format!("http://{address}/")) || url.starts_with("data:");
        assert!(ours, "a request to another server: {url}");
    }
}

/// The organisations of a small world in which every text is markup with a script.
struct Scripted {
    address: SocketAddr,
    next: std::cell::Cell<u32>,
}

impl Scripted {
    fn post(&self, path: &str, token: &str, body: &Value) -> Value {
        self.next.set(self.next.get() + 1);
        let key = format!("scripted-{:06}", self.next.get());
        let answer = send(self.address, &request(&format!("POST {path}"), Some(token), Some((&key, body))));
        assert!(matches!(answer.status, 200 | 201), "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// Creates an organisation; returns its token. Its name is the script, and so is the label of its key.
    fn party(&self, bin: &str, role: &str) -> String {
        let body = json!({"bin": bin, "name": SCRIPT, "kind": "legal_entity", "roles": [role]});
        let made = self.post("/v1/organizations", TOKEN, &body);
        let keys = format!("/v1/organizations/{}/keys", made["id"].as_str().expect("an id"));
        let key = self.post(&keys, TOKEN, &json!({"label": SCRIPT}));
        key["token"].as_str().expect("a token").to_owned()
    }
}

/// Invented BINs with valid check digits.
fn bin(n: u32) -> String {
    let bin = (0..10).map(|check| format!("04064000{n:03}{check}"));
    bin.into_iter()
        .find(|text| ormantrace::timber::party::bin::Bin::parse(text).is_ok())
        .unwrap_or_else(|| bin_after(n))
}

fn bin_after(n: u32) -> String {
    bin(n + 500)
}

#[test]
fn script_in_every_text_runs_nowhere() {
    let data = data();
    let profile = tempfile::tempdir().expect("a folder");
    let Some(mut browser) = browser(profile.path()) else { return };
    let server = Running::start(data.path(), &["--operator-token", TOKEN]);
    let address = server.address;
    let world = Scripted { address, next: 0.into() };
    let (owner, holder) = (world.party(&bin(1), "forest_owner"), world.party(&bin(2), "enterprise"));
    let (carrier, inspector) = (world.party(&bin(3), "carrier"), world.party(&bin(4), "inspector"));

    let ticket = world.post(
        "/v1/felling-tickets",
        &owner,
        &json!({
            "series": SCRIPT, "number": SCRIPT, "issued_on": "2026-08-20", "holder_bin": bin(2),
            "felling_kind": "main", "forest_category": SCRIPT, "forest_type": SCRIPT,
            "origin": {"region": "KZ-10", "district": SCRIPT, "forestry": SCRIPT, "compartment": SCRIPT,
                       "subcompartment": SCRIPT, "cutting_area": SCRIPT},
            "felling_from": "2026-09-01", "felling_until": "2026-12-31",
            "lines": [{"species": "pinus_sylvestris", "wood": "commercial", "volume_m3": 100}]
        }),
    );
    let seals: Vec<String> = (1..=5).map(|n| format!("PL-{n:05}")).collect();
    // Codes of another issuer. Their serial numbers are markup, written with characters that GS1 allows.
    let offered: Vec<Value> = seals
        .iter()
        .enumerate()
        .map(|(n, number)| json!({"number": number, "marking_code": format!("010952123454321321<svg/onload=x()>{n}")}))
        .collect();
    world.post("/v1/seals", TOKEN, &json!({"holder_bin": bin(2), "seals": offered}));
    let logs: Vec<Value> = seals[..3]
        .iter()
        .map(|seal| {
            json!({"seal_number": seal, "kind": "log", "species": "pinus_sylvestris", "wood": "commercial",
                   "length_m": 6, "top_diameter_cm": 24, "volume_m3": 0.33, "measurement_method": "other",
                   "occurred_at": "2026-10-05T09:30:00+05:00"})
        })
        .collect();
    let device = |seq: u32| json!({"id": SCRIPT, "seq": seq, "recorded_at": "2026-10-05T09:30:00+05:00"});
    let person = json!({"name": SCRIPT, "iin": null});
    let harvest = json!({"felling_ticket_id": ticket["id"], "responsible_person": person, "logs": logs,
        "device": device(1)});
    world.post("/v1/harvests", &holder, &harvest);
    let event = |kind: &str, log: &str, more: Value| {
        let mut body = json!({"type": kind, "logs": [log], "occurred_at": "2026-10-06T10:00:00+05:00",
            "place": {"name": SCRIPT, "region": "KZ-10"}, "document": {"kind": "waybill", "number": SCRIPT},
            "details": {"note": SCRIPT}});
        for (name, value) in more.as_object().cloned().unwrap_or_default() {
            body[name] = value;
        }
        body
    };
    let posts = [
        (
            &holder,
            event(
                "loaded",
                &seals[0],
                json!({"carrier_bin": bin(3), "vehicle": SCRIPT, "device": device(2)}),
            ),
        ),
        (&carrier, event("departed", &seals[0], json!({}))),
        (&inspector, event("inspected", &seals[0], json!({"details": {"outcome": "match", "note": SCRIPT}}))),
        (&holder, event("seal_replaced", &seals[1], json!({"new_seal_number": seals[3], "reason": SCRIPT}))),
        (&holder, event("processed", &seals[2], json!({}))),
    ];
    for (who, body) in posts {
        world.post("/v1/custody-events", who, &body);
    }
    world.post(
        &format!("/v1/seals/{}/void", seals[4]),
        &holder,
        &json!({"reason": "spoiled", "note": SCRIPT}),
    );

    let coded = percent(SCRIPT);
    let mut open = vec![
        format!("/verify/{coded}"),
        format!("/verify?code={coded}"),
        format!("/verify?lang={coded}"),
        format!("/?lang={coded}"),
        format!("/{coded}"),
        format!("/01/{coded}/21/{coded}"),
        format!("/v1/verify/{coded}"),
        format!("/problems/{coded}"),
        format!("/assets/{coded}"),
    ];
    for seal in &seals {
        open.extend([format!("/verify/{seal}"), format!("/v1/verify/{seal}")]);
    }
    let as_data = [
        format!("/v1/logs/{}/history", seals[0]),
        format!("/v1/logs/{}/history", seals[1]),
        format!("/v1/seals/{}/history", seals[4]),
        "/v1/felling-tickets".into(),
        "/v1/findings".into(),
        "/v1/organizations".into(),
    ];
    let (mut opened, mut shown) = (0, 0);
    let mut look = |browser: &mut Browser, path: &str| {
        let mut told = browser.open(&format!("http://{address}{path}"));
        // Checks that the Content Security Policy is in force: not even a script that is already in the page
        // may run.
        browser.value(
            "(() => { const make = name => document.createElementNS('http://www.w3.org/1999/xhtml', name); \
             const s = make('script'), i = make('img'); s.textContent = 'window.ran = 1'; \
             i.setAttribute('onerror', 'window.ran = 2'); i.setAttribute('src', 'data:x'); \
             document.documentElement.append(s, i); })()",
        );
        let settled = "new Promise(done => setTimeout(() => done(typeof window.ran), 0))";
        assert_eq!(browser.value(settled), "undefined", "{path}: the policy let it run");
        only_us(&told, address);
        told.retain(|event| event["method"] != "Network.requestWillBeSent");
        assert_eq!(ran(&told), [""; 0], "{path}");
        let kept = browser.events();
        assert!(
            ran(&kept).iter().any(|line| line.contains("Content Security Policy")),
            "{path}: the policy blocked nothing: {kept:?}"
        );
        opened += 1;
    };
    for path in &open {
        look(&mut browser, path);
        let text = browser.value("document.documentElement.textContent");
        shown += usize::from(text.as_str().is_some_and(|text| text.contains(SCRIPT)));
    }
    // Opens API responses in the browser, with the inspector's token.
    browser.ask(
        "Network.setExtraHTTPHeaders",
        &json!({"headers": {"authorization": format!("Bearer {inspector}")}}),
    );
    for path in &as_data {
        look(&mut browser, path);
    }
    browser.ask(
        "Network.setExtraHTTPHeaders",
        &json!({"headers": {"authorization": format!("Bearer {holder}")}}),
    );
    look(&mut browser, &format!("/v1/seals/{}/label.svg", seals[0]));
    // The desk, as the inspector and as the holder; every text of these pages is the script.
    browser.ask("Network.setExtraHTTPHeaders", &json!({"headers": {}}));
    let mut desk = 0;
    for who in [&inspector, &holder] {
        crate::desk::sign_in(&mut browser, address, who);
        let mut pages =
            vec!["/desk".to_owned(), "/desk/logs".into(), "/desk/sessions".into(), "/desk/codes".into()];
        for text in [SCRIPT, &format!("{SCRIPT} {SCRIPT}"), "PL-00001"] {
            pages.push(format!("/desk/search?q={}", percent(text)));
        }
        pages.extend([format!("/desk/logs?ticket={coded}&seal={coded}&vehicle={coded}&cursor={coded}")]);
        pages.extend(seals[..3].iter().map(|seal| format!("/desk/logs/{seal}")));
        pages.extend(
            ["checks", "holds", "releases"].map(|form| format!("/desk/logs/{}/{form}/new", seals[0])),
        );
        for page in &pages {
            look(&mut browser, page);
        }
        let text = browser.value("document.documentElement.textContent");
        assert!(text.as_str().is_some_and(|text| text.contains(SCRIPT)));
        desk += pages.len();
    }
    assert_eq!(opened, open.len() + as_data.len() + 1 + desk);
    // The script must have been displayed as text; otherwise the test proves nothing.
    assert!(shown >= 5, "script was shown on only {shown} pages");
}

#[test]
fn pages_fit_a_phone_and_a_desk_in_three_languages() {
    let data = data();
    let profile = tempfile::tempdir().expect("a folder");
    let Some(mut browser) = browser(profile.path()) else { return };
    let server = Running::start_as("demo", data.path(), &["--hits-per-second", "1000000"]);
    let address = server.address;
    let pages = [
        "/",
        "/verify",
        "/verify?code=..",
        "/verify/DEMO-000041",
        "/verify/DEMO-000076",
        "/verify/DEMO-000110",
        "/verify/DEMO-000188",
        "/verify/KZ999999999",
        "/verify/WWWWWWWWWWWWWWWWWWWW",
        "/nowhere",
        "/register",
        "/docs",
        "/docs/custody",
        "/docs/harvests",
        "/docs/register",
        "/problems",
        "/problems/unprocessable",
        // The longest possible code. It contains no character after which a browser may break the line.
        "/verify/01095212345432132100000000000000000WWW",
    ];
    let mut wide = Vec::new();
    for lang in ["kk", "ru", "en"] {
        for page in pages {
            let joint = if page.contains('?') { '&' } else { '?' };
            let url = format!("http://{address}{page}{joint}lang={lang}");
            let told = browser.open(&url);
            only_us(&told, address);
            assert_eq!(ran(&told), [""; 0], "{url}");
            assert_eq!(browser.value("document.documentElement.lang"), lang, "{url}");
            for (width, mobile) in [(320, true), (360, true), (1280, false)] {
                let metrics =
                    json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": mobile});
                browser.ask("Emulation.setDeviceMetricsOverride", &metrics);
                // Elements with `aria-hidden` are decoration. They may extend over the edge of the page,
                // where they are clipped.
                let seen = browser.value(
                    "(() => { const w = document.documentElement.clientWidth; \
                     const over = [...document.querySelectorAll('body *')].filter(e => { \
                     const r = e.getBoundingClientRect(); return !e.closest('[aria-hidden]') && \
                     r.width > 1 && r.height > 1 && (r.right > w + 1 || r.left < -1); }); \
                     return {window: innerWidth, width: w, scroll: document.documentElement.scrollWidth, \
                     over: over.slice(0, 3).map(e => e.outerHTML.slice(0, 120))}; })()",
                );
                let fits = seen["window"] == width && seen["scroll"] == seen["width"];
                if !fits || seen["over"] != json!([]) {
                    wide.push(format!("{url} at {width}: {seen}"));
                }
            }
        }
    }
    assert!(wide.is_empty(), "{}", wide.join("\n"));
}
