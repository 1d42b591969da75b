//! Headless Chromium, controlled by the `DevTools` protocol over a pipe: no port, no driver.

use crate::support::process::PATIENCE;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

/// Paths where Chromium may be installed.
const PLACES: [&str; 4] = [
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
    "/usr/bin/google-chrome-stable",
];

/// A browser with one page.
pub struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: mpsc::Receiver<Value>,
    /// Events received while waiting for something else.
    events: VecDeque<Value>,
    session: Option<String>,
    next: u64,
}

/// The installed browser. `ORMANTRACE_CHROMIUM` overrides the path.
pub fn installed() -> Option<PathBuf> {
    let named = std::env::var_os("ORMANTRACE_CHROMIUM").map(PathBuf::from);
    named.into_iter().chain(PLACES.map(PathBuf::from)).find(|path| path.is_file())
}

impl Browser {
    /// Starts Chromium with a new profile in `folder`.
    pub fn start(program: &Path, folder: &Path) -> Self {
        // The protocol uses the descriptors 3 and 4, which a shell can set and safe Rust cannot.
        let script = "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, "sh"]).arg(program).arg(format!("--user-data-dir={}", folder.display()));
        command.args([
            "--headless=new",
            "--remote-debugging-pipe",
            // CI runs as root, and the sandbox does not work for root. Only pages of the tested server are
            // opened.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-extensions",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--no-proxy-server",
        ]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
        let commands = child.stdin.take().expect("piped");
        let mut answers = BufReader::new(child.stdout.take().expect("piped"));
        let (tell, messages) = mpsc::channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while answers.read_until(0, &mut message).is_ok_and(|read| read > 0) {
                message.pop();
                let Ok(value) = serde_json::from_slice(&message) else { break };
                if tell.send(value).is_err() {
                    break;
                }
                message.clear();
            }
        });
        let mut browser = Self { child, commands, messages, events: VecDeque::new(), session: None, next: 0 };
        let target = browser.ask("Target.createTarget", &json!({"url": "about:blank"}));
        let attached =
            browser.ask("Target.attachToTarget", &json!({"targetId": target["targetId"], "flatten": true}));
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.ask(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    fn message(&mut self) -> Value {
        self.messages.recv_timeout(PATIENCE).expect("the browser sends no message any more")
    }

    /// Sends one command; returns its result.
    #[track_caller]
    pub fn ask(&mut self, method: &str, parameters: &Value) -> Value {
        self.try_ask(method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Sends one command; returns its result, or the browser's error.
    #[track_caller]
    fn try_ask(&mut self, method: &str, parameters: &Value) -> Result<Value, Value> {
        self.next += 1;
        let id = self.next;
        let mut command = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).expect("sent");
        let since = Instant::now();
        loop {
            let mut message = self.message();
            if message["id"] == id {
                if !message["error"].is_null() {
                    return Err(message);
                }
                return Ok(message["result"].take());
            }
            // A dialog blocks the page until it is answered, so it is dismissed at once.
            if message["method"] == "Page.javascriptDialogOpening" {
                self.events.push_back(message);
                self.next += 1;
                let mut dismiss = json!({"id": self.next, "method": "Page.handleJavaScriptDialog",
                    "params": {"accept": false}, "sessionId": self.session})
                .to_string()
                .into_bytes();
                dismiss.push(0);
                self.commands.write_all(&dismiss).expect("sent");
                continue;
            }
            self.events.push_back(message);
            assert!(since.elapsed() < PATIENCE, "{method}: no answer");
        }
    }

    /// Opens an address and waits until it is loaded; returns the `DevTools` events received meanwhile.
    #[track_caller]
    pub fn open(&mut self, url: &str) -> Vec<Value> {
        self.events.clear();
        let opened = self.ask("Page.navigate", &json!({"url": url}));
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
        let since = Instant::now();
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let message = self.message();
            self.events.push_back(message);
            assert!(since.elapsed() < PATIENCE, "{url}: never loaded");
        }
        // The promise resolves only after the page's load handlers and zero-delay timers have run.
        let settled = "new Promise(done => requestAnimationFrame(() => setTimeout(() => done(true), 0)))";
        assert_eq!(self.value(settled), json!(true));
        self.events.drain(..).collect()
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.ask("Runtime.evaluate", &asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// The value of an expression; `None` if the page is being replaced by another one.
    #[track_caller]
    pub fn try_value(&mut self, expression: &str) -> Option<Value> {
        let asked = json!({"expression": expression, "returnByValue": true});
        let mut answer = self.try_ask("Runtime.evaluate", &asked).ok()?;
        answer["exceptionDetails"].is_null().then(|| answer["result"]["value"].take())
    }

    /// Events since the last call.
    pub fn events(&mut self) -> Vec<Value> {
        self.events.drain(..).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium is first requested to close itself. If it were killed, its child processes would outlive
        // it.
        self.session = None;
        let _ = self.commands.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
