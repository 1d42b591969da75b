//! The organisations and timber on a server, the attacker's keys, and the client that must be served during
//! an attack.

use crate::servers::superuser_of;
use crate::support::long_ticket;
use crate::support::process::{self, PATIENCE, Running, TOKEN};
use ormantrace::base::clock::Clock;
use ormantrace::base::ids::OrganizationId;
use ormantrace::base::units::utc_text;
use ormantrace::evidence::chain::Tx;
use ormantrace::timber::party::bin::Bin;
use serde_json::{Value, json};
use sqlx::Connection;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How long the client waits for a connection, and for a response.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Time between two checks of the client. It keeps the client below the limit of genuine codes of one
/// address, which is 60 a minute.
const BETWEEN_CHECKS: Duration = Duration::from_millis(1_200);
/// Logs in one of the client's harvests.
const LOGS: usize = 3;
/// Keys of the attacker's organisation.
const KEYS: usize = 40;

/// What the attacker needs.
pub struct Attacker {
    tokens: Vec<String>,
    /// A ticket with a long chain, held by the attacker's organisation.
    pub long_ticket: String,
    /// The body of a large harvest.
    pub rehearsal: String,
    /// The same harvest with one misspelt species.
    pub misspelt: String,
    /// The body of a harvest with an error in each of its logs.
    pub refused: String,
    /// The path of the list of a batch of the attacker's seals.
    pub batch: String,
    /// The body of a custody event.
    pub event: String,
}

impl Attacker {
    pub fn token(&self, n: u64) -> &str {
        &self.tokens[usize::try_from(n % self.tokens.len() as u64).expect("an index")]
    }
}

/// The client, with timber of its own.
pub struct Client {
    server: SocketAddr,
    token: String,
    ticket: String,
    /// Numbers of unused seals, and complete marking codes of seals.
    seals: Vec<String>,
    codes: Vec<String>,
    log: String,
}

/// What the client got.
#[derive(Default)]
pub struct Served {
    pub writes: u32,
    pub reads: u32,
    pub checks: u32,
    pub slowest: Duration,
    /// Everything but the expected responses.
    pub refused: Vec<String>,
}

impl Served {
    /// Whether the client must continue: no request was refused, but at least one kind of request was served
    /// fewer than two times.
    fn is_open(&self) -> bool {
        self.refused.is_empty() && self.writes.min(self.reads).min(self.checks) < 2
    }
}

/// The time, two hours ago.
fn earlier() -> String {
    utc_text(Clock::system().now() - chrono::TimeDelta::hours(2))
}

fn harvest(ticket: &str, seals: &[String]) -> Value {
    let log = |seal: &String| {
        json!({"seal_number": seal, "kind": "log", "species": "pinus_sylvestris", "wood": "commercial", "length_m": 6,
               "top_diameter_cm": 24, "volume_m3": 0.33, "measurement_method": "gost_2708_75", "occurred_at": earlier()})
    };
    json!({"felling_ticket_id": ticket, "responsible_person": {"name": "Ерлан Оспанов"},
           "logs": seals.iter().map(log).collect::<Vec<_>>()})
}

struct Enterprise {
    bin: String,
    id: String,
    token: String,
}

/// Creates organisations, tickets and seals for the client and for the attacker. The attacker's long chain
/// has `events` events, and its large harvest `logs` logs.
pub fn prepare(
    server: &Running,
    data: &Path,
    events: u32,
    logs: usize,
    runtime: &Handle,
) -> (Client, Attacker) {
    let post = |path: &str, token: &str, body: Value| {
        let (status, text) = process::post(server.address, path, token, None, &body);
        assert!(status == 200 || status == 201, "{path}: {status} {text}");
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    let bin = |n: u32| {
        let number = |check: u32| format!("04064000{n:03}{check}");
        (0..10).map(number).find(|text| Bin::parse(text).is_ok())
    };
    let mut bins = (100..).filter_map(bin);
    let mut enterprise = |name: &str, role: &str| {
        let bin = bins.next().expect("a BIN");
        let made = post("/v1/organizations", TOKEN, json!({"bin": bin, "name": name, "roles": [role]}));
        let id = made["id"].as_str().expect("an id").to_owned();
        let key = post(&format!("/v1/organizations/{id}/keys"), TOKEN, json!({"label": "планшет"}));
        Enterprise { bin, id, token: key["token"].as_str().expect("a token").to_owned() }
    };
    let issuer = enterprise("«Семей орманы» МОТР", "forest_owner");
    let (honest, greedy) =
        (enterprise("ТОО «Ертіс ағаш»", "enterprise"), enterprise("ТОО «Ашкөз»", "enterprise"));
    let today = Clock::system().now().date_naive();
    let ticket = |holder: &Enterprise, number: &str| {
        let body = json!({
            "series": "АБ", "number": number, "issued_on": today - chrono::TimeDelta::days(1), "holder_bin": holder.bin,
            "felling_kind": "main", "forest_category": "қорғаныштық", "forest_type": "қарағайлы",
            "origin": {"region": "KZ-10", "forestry": "Жаңа Семей орманшылығы", "compartment": "12"},
            "felling_from": today - chrono::TimeDelta::days(1), "felling_until": today + chrono::TimeDelta::days(90),
            "lines": [{"species": "pinus_sylvestris", "wood": "commercial", "volume_m3": 90_000}]
        });
        post("/v1/felling-tickets", &issuer.token, body)["id"].as_str().expect("an id").to_owned()
    };
    let (own, foreign) = (ticket(&honest, "0001245"), ticket(&greedy, "0001246"));
    // Returns the path of the list of a new batch, and the number and the complete marking code of each seal.
    let seals = |holder: &Enterprise, quantity: usize| -> (String, Vec<(String, String)>) {
        let batch = post("/v1/seal-batches", TOKEN, json!({"holder_bin": holder.bin, "quantity": quantity}));
        let path = format!("/v1/seal-batches/{}/seals", batch["id"].as_str().expect("an id"));
        let (status, lines) = ask(server.address, "GET", &path, Some(TOKEN), None).expect("a list");
        assert_eq!(status, 200, "{lines}");
        let seal = |line: &str| {
            let seal: Value = serde_json::from_str(line).expect("JSON");
            let text = |name: &str| seal[name].as_str().expect("text").to_owned();
            (text("number"), text("marking_code"))
        };
        let all = lines.lines().map(seal).collect();
        (path, all)
    };
    let (batch, greedy_seals) = seals(&greedy, logs.max(1_000));
    let greedy_seals: Vec<String> = greedy_seals.into_iter().map(|(number, _)| number).collect();
    let rehearsed = &greedy_seals[..logs];
    let mut misspelt = harvest(&foreign, rehearsed);
    misspelt["logs"][logs / 2]["species"] = json!("pinus_sylvestrys");
    let mut refused = harvest(&foreign, rehearsed);
    for log in refused["logs"].as_array_mut().expect("a list") {
        log["species"] = json!("pinus_sylvestrys");
    }
    let (_, mut seals) = seals(&honest, 3_000);
    let first = seals.split_off(seals.len() - 1).remove(0);
    post("/v1/harvests", &honest.token, harvest(&own, std::slice::from_ref(&first.0)));

    let mut db = superuser_of(data, runtime);
    runtime.block_on(async {
        let mut tx = Tx::on(&mut db).await.expect("begun");
        let issuer: OrganizationId = issuer.id.parse().expect("an id");
        long_ticket::extend(&mut tx, foreign.parse().expect("an id"), issuer, events, Clock::system().now())
            .await;
        tx.commit().await.expect("committed");
        db.close().await.expect("closed");
    });
    let key = |_| {
        let path = format!("/v1/organizations/{}/keys", greedy.id);
        post(&path, TOKEN, json!({"label": "планшет"}))["token"].as_str().expect("a token").to_owned()
    };
    let attacker = Attacker {
        tokens: (0..KEYS).map(key).collect(),
        rehearsal: harvest(&foreign, rehearsed).to_string(),
        misspelt: misspelt.to_string(),
        refused: refused.to_string(),
        batch,
        event: json!({"type": "stored", "logs": [greedy_seals[0]], "occurred_at": earlier()}).to_string(),
        long_ticket: foreign,
    };
    let client = Client {
        server: server.address,
        token: honest.token,
        ticket: own,
        codes: seals.iter().take(100).map(|(_, code)| code.clone()).collect(),
        seals: seals.into_iter().map(|(number, _)| number).collect(),
        log: first.0,
    };
    (client, attacker)
}

impl Client {
    /// Writes, reads and checks codes until `stop`; each request on a connection of its own.
    pub fn work(&mut self, stop: &AtomicBool) -> Served {
        let mut served = Served::default();
        let (mut turn, mut checked) = (0_usize, None::<Instant>);
        // On a slow machine the client continues after `stop`, until each kind of request was served twice.
        while !stop.load(Ordering::SeqCst) || served.is_open() {
            turn += 1;
            let token = self.token.clone();
            match turn % 4 {
                0 => {
                    let seals = self.seals.split_off(self.seals.len().saturating_sub(LOGS));
                    let body = harvest(&self.ticket, &seals).to_string();
                    served.writes +=
                        self.expect(&mut served, "POST", "/v1/harvests", Some(&token), Some(&body), 201);
                }
                1 => {
                    let path = format!("/v1/logs/{}/history", self.log);
                    served.reads += self.expect(&mut served, "GET", &path, Some(&token), None, 200);
                }
                2 => {
                    served.reads +=
                        self.expect(&mut served, "GET", "/v1/logs?limit=10", Some(&token), None, 200);
                    self.expect(&mut served, "GET", "/readyz", None, None, 200);
                }
                _ if checked.is_none_or(|checked| checked.elapsed() > BETWEEN_CHECKS) => {
                    // A buyer scans the code of a seal.
                    checked = Some(Instant::now());
                    let code = &self.codes[turn % self.codes.len()];
                    let code = code.bytes().fold(String::new(), |all, byte| format!("{all}%{byte:02X}"));
                    let path = format!("/v1/verify/{code}");
                    served.checks += self.expect(&mut served, "GET", &path, None, None, 200);
                }
                _ => {}
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        served
    }

    /// Sends a request. Returns 1 if the response has the expected status; otherwise notes it as refused and
    /// returns 0.
    fn expect(
        &self,
        served: &mut Served,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&str>,
        status: u16,
    ) -> u32 {
        let since = Instant::now();
        let outcome = ask(self.server, method, path, token, body);
        served.slowest = served.slowest.max(since.elapsed());
        match outcome {
            Ok((answered, _)) if answered == status => return 1,
            Ok((answered, text)) => served.refused.push(format!("{method} {path}: {answered} {text}")),
            Err(error) => served.refused.push(format!("{method} {path}: {error}")),
        }
        0
    }
}

/// One request on a connection of its own.
fn ask(
    server: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&str>,
) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&server, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT.min(PATIENCE)))?;
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let length =
        body.map(|body| format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: orman.test\r\n{token}{}connection: close\r\n\r\n{}",
        length.unwrap_or_default(),
        body.unwrap_or_default()
    );
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = status.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    // Of a chunked body, the lines that begin with `{` are the JSON; the other lines are sizes of chunks.
    let body = if head.to_lowercase().contains("transfer-encoding: chunked") {
        body.lines().filter(|line| line.starts_with('{')).fold(String::new(), |all, line| all + line + "\n")
    } else {
        body.to_owned()
    };
    Ok((status, body))
}
