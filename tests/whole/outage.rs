//! The database fails under load and comes back: no request hangs, no response is wrong, and every
//! acknowledged event is stored exactly once.

use crate::support::pg::TestDb;
use crate::support::process::{PATIENCE, Running, data};
use crate::wire::{Answer, get, request, send};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const WRITERS: usize = 6;
const READERS: usize = 3;
const HARVESTER: &str = "demo-harvester-key-not-for-production-0000001";
const INSPECTOR: &str = "demo-inspector-key-not-for-production-0000001";

/// The real address of the database.
#[derive(Clone)]
enum Target {
    Socket(PathBuf),
    Tcp(String),
}

/// A proxy to the database. The test can cut it: then its connections break, and new ones are refused.
struct Way {
    port: u16,
    open: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Way {
    fn to(target: Target) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = listener.local_addr().expect("an address").port();
        let (open, streams) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(Vec::new())));
        let way = Self { port, open: Arc::clone(&open), streams: Arc::clone(&streams) };
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if open.load(Ordering::SeqCst) {
                    // If the proxy cannot connect to the database, the client's connection stays open without
                    // a response until `cut`.
                    let _ = join(&client, &target);
                    streams.lock().expect("no panic").push(client);
                }
            }
        });
        way
    }

    fn cut(&self) {
        self.open.store(false, Ordering::SeqCst);
        for stream in self.streams.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn restore(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}

/// Copies bytes in both directions until one side ends, and then closes the other side.
fn join(client: &TcpStream, target: &Target) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (there, back): (Box<dyn Read + Send>, Box<dyn Write + Send>);
    let end: Box<dyn FnOnce() + Send>;
    match target {
        Target::Socket(path) => {
            let server = UnixStream::connect(path)?;
            (there, back) = (Box::new(server.try_clone()?), Box::new(server.try_clone()?));
            end = Box::new(move || drop(server.shutdown(Shutdown::Both)));
        }
        Target::Tcp(address) => {
            let server = TcpStream::connect(address)?;
            (there, back) = (Box::new(server.try_clone()?), Box::new(server.try_clone()?));
            end = Box::new(move || drop(server.shutdown(Shutdown::Both)));
        }
    }
    let (mut from_client, mut to_client, client) =
        (client.try_clone()?, client.try_clone()?, client.try_clone()?);
    let (mut there, mut back) = (there, back);
    std::thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut back);
        end();
    });
    std::thread::spawn(move || {
        let _ = io::copy(&mut there, &mut to_client);
        let _ = client.shutdown(Shutdown::Both);
    });
    Ok(())
}

/// Returns a proxy to a test's database, and the database URL that leads through it.
fn way_to(db: &TestDb) -> (Way, String) {
    let url = db.url();
    let options: PgConnectOptions = url.parse().expect("an address");
    let target = match options.get_socket() {
        Some(folder) => Target::Socket(folder.join(format!(".s.PGSQL.{}", options.get_port()))),
        None if options.get_host().starts_with('/') => {
            Target::Socket(Path::new(options.get_host()).join(format!(".s.PGSQL.{}", options.get_port())))
        }
        None => Target::Tcp(format!("{}:{}", options.get_host(), options.get_port())),
    };
    let way = Way::to(target);
    let (before, rest) = url.rsplit_once('@').expect("a user");
    let (_, rest) = rest.split_once('/').expect("a database");
    let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
    let query: Vec<&str> =
        query.split('&').filter(|part| !part.is_empty() && !part.starts_with("host=")).collect();
    let url = format!("{before}@127.0.0.1:{}/{name}?{}", way.port, query.join("&"));
    (way, url)
}

/// Counts of the load.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    /// Successful rounds of each worker.
    good: [AtomicUsize; WRITERS + READERS],
    /// Number of responses of each worker with 503, or with 409 `in-progress`.
    unavailable: [AtomicUsize; WRITERS + READERS],
}

impl Seen {
    fn counts(of: &[AtomicUsize]) -> Vec<usize> {
        of.iter().map(|count| count.load(Ordering::SeqCst)).collect()
    }
}

/// Fails unless the response is a 503 of the documented form.
#[track_caller]
fn not_now(answer: &Answer) {
    let kind = answer.problem(503);
    assert!(["unavailable", "outcome-unknown", "overloaded"].contains(&kind.as_str()), "{answer:?}");
    let after: u32 = answer.header("retry-after").and_then(|text| text.parse().ok()).expect("Retry-After");
    assert!((1..=60).contains(&after), "{answer:?}");
}

/// Records again and again that one log is stored. Each request is sent again with its idempotency key until
/// it has been executed.
fn write(address: SocketAddr, worker: usize, seen: &Seen) -> usize {
    let log = format!("DEMO-{:06}", worker + 1);
    let now = ormantrace::base::units::utc_text(ormantrace::base::clock::Clock::system().now());
    let mut done = 0;
    while !seen.stop.load(Ordering::SeqCst) {
        let body = json!({"type": "stored", "logs": [log], "occurred_at": now});
        let key = format!("outage-{worker}-{done}");
        let posting = request("POST /v1/custody-events", Some(HARVESTER), Some((&key, &body)));
        loop {
            let answer = send(address, &posting);
            if answer.status == 201 {
                assert_eq!(answer.json()["events"].as_array().map(Vec::len), Some(1), "{answer:?}");
                break;
            }
            // The first request with this key may still be running, or may be in a rollback because its
            // connection broke.
            if answer.status == 409 {
                assert_eq!(answer.problem(409), "in-progress", "{answer:?}");
            } else {
                not_now(&answer);
            }
            seen.unavailable[worker].fetch_add(1, Ordering::SeqCst);
        }
        done += 1;
        seen.good[worker].fetch_add(1, Ordering::SeqCst);
    }
    done
}

fn read(address: SocketAddr, worker: usize, seen: &Seen) {
    let (path, sure) = [
        ("/v1/verify/DEMO-000076", "\"verdict\":\"closed\""),
        ("/v1/logs/DEMO-000076/history", "\"type\":\"harvested\""),
        ("/v1/me", "\"roles\":[\"inspector\"]"),
    ][worker - WRITERS];
    while !seen.stop.load(Ordering::SeqCst) {
        let answer = get(address, path, Some(INSPECTOR));
        if answer.status == 200 {
            let body = String::from_utf8_lossy(&answer.body);
            assert!(body.contains(sure), "{path}: {body}");
            seen.good[worker].fetch_add(1, Ordering::SeqCst);
        } else {
            not_now(&answer);
            seen.unavailable[worker].fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[track_caller]
fn until(what: &str, reached: impl Fn() -> bool) {
    let since = Instant::now();
    while !reached() {
        assert!(since.elapsed() < PATIENCE, "timed out waiting until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Puts the server under load, runs `fault`, which breaks something and repairs it, and checks that all
/// work continues.
fn endure(server: &Running, fault: impl FnOnce(&Seen)) {
    let (address, seen) = (server.address, Seen::default());
    let events = || {
        let count = |worker: usize| {
            let history = get(address, &format!("/v1/logs/DEMO-{:06}/history", worker + 1), Some(INSPECTOR));
            assert_eq!(history.status, 200, "{history:?}");
            let history = history.json();
            let events = history["events"].as_array().expect("events");
            for (event, seq) in events.iter().zip(1..) {
                assert_eq!(event["seq"], seq);
            }
            events.len()
        };
        (0..WRITERS).map(count).collect::<Vec<_>>()
    };
    let before = events();
    let done = std::thread::scope(|scope| {
        let seen = &seen;
        let writers: Vec<_> =
            (0..WRITERS).map(|worker| scope.spawn(move || write(address, worker, seen))).collect();
        for worker in WRITERS..WRITERS + READERS {
            scope.spawn(move || read(address, worker, seen));
        }
        // The workers end even if this panics.
        struct Stop<'a>(&'a Seen);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.stop.store(true, Ordering::SeqCst);
            }
        }
        let stop = Stop(seen);
        until("every worker succeeds", || Seen::counts(&seen.good).iter().all(|count| *count >= 2));
        fault(seen);
        until("the server is ready again", || get(address, "/readyz", None).status == 200);
        let then = Seen::counts(&seen.good);
        until("every worker succeeds again", || {
            Seen::counts(&seen.good).iter().zip(&then).all(|(now, then)| now >= &(then + 2))
        });
        drop(stop);
        writers.into_iter().map(|writer| writer.join().expect("no panic")).collect::<Vec<_>>()
    });
    let expected: Vec<usize> = before.iter().zip(&done).map(|(before, done)| before + done).collect();
    assert_eq!(events(), expected, "each acknowledged write is stored once");
}

#[test]
fn a_database_outage_under_load_gives_503_until_it_ends() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let db = runtime.block_on(TestDb::new());
    let (way, url) = way_to(&db);
    let data = data();
    let server = Running::start_as("demo", data.path(), &["--database-url", &url]);
    endure(&server, |seen| {
        way.cut();
        let before = Seen::counts(&seen.unavailable);
        until("every worker gets a 503", || {
            Seen::counts(&seen.unavailable).iter().zip(&before).all(|(now, before)| now > before)
        });
        until("the server is not ready", || get(server.address, "/readyz", None).status == 503);
        not_now(&get(server.address, "/readyz", None));
        assert_eq!(get(server.address, "/healthz", None).status, 200);
        assert_eq!(get(server.address, "/v1/species", None).status, 200, "this needs no database");
        // A page reports the outage in the reader's language.
        let page = request("GET /verify/DEMO-000041?lang=ru", None, None);
        let page =
            String::from_utf8(page).expect("text").replace("connection:", "accept: text/html\r\nconnection:");
        let page = send(server.address, page.as_bytes());
        assert_eq!((page.status, page.header("content-type")), (503, Some("text/html; charset=utf-8")));
        way.restore();
    });
    drop(server);
    drop(way);
    runtime.block_on(async { drop(db) });
}

#[test]
fn a_private_database_that_is_killed_under_load_is_started_again() {
    let data = data();
    let server = Running::start_as("demo", data.path(), &[]);
    let postmaster = || -> Option<i32> {
        let text = std::fs::read_to_string(data.path().join("postgres/postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    };
    endure(&server, |_| {
        let killed = postmaster().expect("a server");
        kill_process(Pid::from_raw(killed).expect("a number"), Signal::KILL).expect("killed");
        until("another server is running", || postmaster().is_some_and(|pid| pid != killed));
    });
}
