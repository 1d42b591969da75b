//! Writers that remember every acknowledged response.

use crate::random::Random;
use crate::servers::until;
use ormantrace::base::clock::Clock;
use ormantrace::base::ids::OperationId;
use ormantrace::base::units::utc_text;
use ormantrace::evidence::chain::bytes::Hash;
use ormantrace::evidence::register::receipt::Promise;
use ormantrace::evidence::tlog::note::VerifierKey;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a write request may remain without a final response, whatever fails meanwhile.
const PATIENCE: Duration = Duration::from_mins(2);
/// Number of seals that a writer registers at once.
const BATCH: usize = 30;
/// Read timeout of a response.
const ANSWER: Duration = Duration::from_secs(20);

/// The result of a request.
pub enum Outcome {
    Answered(u16, Vec<u8>),
    /// No response, or an incomplete one.
    Lost,
}

/// Sends one request. If `deaf` is set, closes the connection without reading the response.
pub fn send(port: u16, path: &str, token: &str, key: &str, body: &Value, deaf: bool) -> Outcome {
    ask(port, path, token, key, body, deaf).unwrap_or(Outcome::Lost)
}

fn ask(port: u16, path: &str, token: &str, key: &str, body: &Value, deaf: bool) -> std::io::Result<Outcome> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(ANSWER))?;
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: orman.test\r\nauthorization: Bearer {token}\r\nidempotency-key: {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    if deaf {
        return Ok(Outcome::Lost);
    }
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(Outcome::Lost);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let body = bytes.split_off(end + 4);
    Ok(match (status, length) {
        (Some(status), Some(length)) if body.len() == length => Outcome::Answered(status, body),
        _ => Outcome::Lost,
    })
}

/// A write request that was acknowledged.
pub struct Acknowledged {
    pub key: String,
    pub leaves: Vec<Hash>,
    pub answer: Value,
}

/// State shared by all writers.
pub struct Forest {
    /// Ports of the first and the second server.
    pub ports: [AtomicU16; 2],
    /// Keys that may sign receipts.
    pub keys: Vec<VerifierKey>,
    pub operator: String,
    pub enterprise: String,
    pub bin: String,
    pub ticket: String,
    /// Seal numbers of logs, for custody events by any writer.
    pub logs: Mutex<Vec<String>>,
    /// Numbers of unused seals that no writer is using at the moment.
    pub seals: Mutex<Vec<String>>,
    pub stop: AtomicBool,
    /// Number of further requests for which the writers close the connection without reading the response.
    pub deaf: AtomicU32,
    pub acknowledged: AtomicU32,
    /// Number of acknowledged requests, by server.
    pub by: [AtomicU32; 2],
    /// Number of requests that were sent again: there was no response, or it was a 429, a 503 or a 409 "in
    /// progress".
    pub repeated: AtomicU32,
    /// Errors that writers met.
    pub wrong: Mutex<Vec<String>>,
}

impl Forest {
    /// Sends a request until its final response is known.
    pub fn settle(
        &self,
        random: &mut Random,
        path: &str,
        token: &str,
        key: &str,
        body: &Value,
    ) -> Result<Acknowledged, String> {
        let since = Instant::now();
        loop {
            let server = usize::from(random.below(2) == 1);
            let port = self.ports[server].load(Ordering::SeqCst);
            let deaf = self
                .deaf
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok();
            match send(port, path, token, key, body, deaf) {
                Outcome::Answered(200 | 201, bytes) => {
                    let done = self.acknowledge(key, &bytes)?;
                    self.by[server].fetch_add(1, Ordering::SeqCst);
                    return Ok(done);
                }
                Outcome::Answered(503 | 429, _) | Outcome::Lost => {}
                Outcome::Answered(409, bytes) if String::from_utf8_lossy(&bytes).contains("in-progress") => {}
                Outcome::Answered(status, bytes) => {
                    return Err(format!("{key} {path}: {status} {}", String::from_utf8_lossy(&bytes)));
                }
            }
            if since.elapsed() > PATIENCE {
                return Err(format!("{key} {path}: not settled in {PATIENCE:?}"));
            }
            self.repeated.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(10 + random.below(40)));
        }
    }

    fn acknowledge(&self, key: &str, bytes: &[u8]) -> Result<Acknowledged, String> {
        let answer: Value = serde_json::from_slice(bytes).map_err(|error| format!("{key}: {error}"))?;
        let hash = |text: &Value| text.as_str().and_then(Hash::from_hex);
        let given = answer["receipt"]["leaves"].as_array().map(|leaves| leaves.iter().map(hash).collect());
        let listed = || {
            let events = ["logs", "events"].iter().find_map(|name| answer[name].as_array())?;
            events.iter().map(|event| hash(&event["hash"])).collect::<Option<Vec<_>>>()
        };
        let leaves = given.unwrap_or_else(listed).ok_or_else(|| format!("{key}: no hashes in {answer}"))?;
        let note = answer["receipt"]["note"].as_str().unwrap_or_default();
        Promise::open(note, &self.keys, &leaves).map_err(|error| format!("{key}: {error}: {answer}"))?;
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
        Ok(Acknowledged { key: key.to_owned(), leaves, answer })
    }

    /// Waits until this many more requests are acknowledged, at least one of them by each server.
    pub fn more(&self, count: u32) {
        let all = || self.acknowledged.load(Ordering::SeqCst);
        let by = || self.by.each_ref().map(|by| by.load(Ordering::SeqCst));
        let failed = || !self.wrong.lock().expect("no panic").is_empty();
        let (before, of_each) = (all(), by());
        until("answers are acknowledged", || {
            let went_on = by().iter().zip(&of_each).all(|(now, before)| now > before);
            failed() || (went_on && all() >= before + count)
        });
    }

    /// Sends write requests until `stop` is set. Repeats each request until it has a final response. Returns
    /// the acknowledged requests.
    pub fn write(self: &Arc<Self>, name: &str, seed: u64) -> Vec<Acknowledged> {
        let mut random = Random::new(seed);
        let mut all = Vec::new();
        // Uses seals that are left over from earlier rounds. If every round registered new ones, they would
        // be most of the data that `fsck` reads.
        let mut seals = {
            let mut left = self.seals.lock().expect("no panic");
            let keep = left.len().saturating_sub(BATCH);
            left.split_off(keep)
        };
        let mut count = 0;
        while !self.stop.load(Ordering::SeqCst) {
            count += 1;
            let key = format!("{name}-{count:05}");
            if let Err(wrong) = self.post(&mut random, &key, &mut seals, &mut all) {
                self.wrong.lock().expect("no panic").push(wrong);
                break;
            }
        }
        self.seals.lock().expect("no panic").append(&mut seals);
        all
    }

    fn post(
        &self,
        random: &mut Random,
        key: &str,
        seals: &mut Vec<String>,
        all: &mut Vec<Acknowledged>,
    ) -> Result<(), String> {
        // The time is two hours ago, so that it is in the past by every server's clock, including clocks that
        // were set back.
        let now = utc_text(Clock::system().now() - chrono::TimeDelta::hours(2));
        let some = usize::try_from(1 + random.below(3)).expect("small");
        if seals.len() < 4 {
            let body = json!({"holder_bin": self.bin, "quantity": BATCH});
            let done = self.settle(random, "/v1/seal-batches", &self.operator, key, &body)?;
            seals.extend(numbers(&done.answer));
            all.push(done);
            return Ok(());
        }
        let (path, body, used) = match random.below(10) {
            0 => {
                let seal = seals.pop().expect("there are some");
                (format!("/v1/seals/{seal}/void"), json!({"reason": "spoiled"}), vec![])
            }
            1..=4 if self.logs.lock().expect("no panic").len() >= 8 => {
                let logs = self.logs.lock().expect("no panic").clone();
                let mut chosen: Vec<&String> = (0..some)
                    .map(|_| &logs[usize::try_from(random.below(logs.len() as u64)).expect("an index")])
                    .collect();
                chosen.sort();
                chosen.dedup();
                let body = json!({"type": "stored", "logs": chosen, "occurred_at": now, "operation_id": OperationId::new(),
                                  "place": {"name": "Жоғарғы қойма", "region": "KZ-10", "kind": "storage"}});
                ("/v1/custody-events".to_owned(), body, vec![])
            }
            _ => {
                let used = seals.split_off(seals.len() - some);
                let log = |seal: &String| {
                    json!({"seal_number": seal, "kind": "log", "species": "pinus_sylvestris",
                    "wood": "commercial", "length_m": 6, "top_diameter_cm": 24, "volume_m3": 0.33,
                    "measurement_method": "gost_2708_75", "occurred_at": now})
                };
                let body = json!({"felling_ticket_id": self.ticket, "responsible_person": {"name": "Ерлан Оспанов"},
                                  "logs": used.iter().map(log).collect::<Vec<_>>()});
                ("/v1/harvests".to_owned(), body, used)
            }
        };
        let done = self.settle(random, &path, &self.enterprise, key, &body)?;
        if random.below(8) == 0 {
            let again = self.settle(random, &path, &self.enterprise, key, &body)?;
            if again.answer != done.answer {
                return Err(format!("{key}: the replay differs: {} and {}", done.answer, again.answer));
            }
        }
        self.logs.lock().expect("no panic").extend(used);
        all.push(done);
        Ok(())
    }
}

/// The seal numbers of a batch.
fn numbers(batch: &Value) -> Vec<String> {
    let text = |name: &str| batch[name].as_str().unwrap_or_default().to_owned();
    let (first, last) = (text("first_number"), text("last_number"));
    let digits = |number: &str| number.trim_start_matches(|c: char| !c.is_ascii_digit()).to_owned();
    let prefix = first.strip_suffix(&digits(&first)).unwrap_or_default().to_owned();
    let (from, to): (u64, u64) = (digits(&first).parse().unwrap_or(1), digits(&last).parse().unwrap_or(0));
    (from..=to).map(|number| format!("{prefix}{number:0width$}", width = digits(&first).len())).collect()
}
