//! `publish`, `witness` and `key` as processes: how they end, when they refuse, and the drills of
//! docs/OPERATIONS.md.

use crate::support::process::{PATIENCE, Running, TOKEN, data, get, program, run, text, wait};
use ormantrace::base::config::DatabaseSettings;
use ormantrace::db::{self, Mode};
use ormantrace::evidence::chain::bytes::{Entry, Hash};
use ormantrace::evidence::tlog::note::{Note, VerifierKey};
use ormantrace::evidence::tlog::tree::{is_consistent, leaf_hash, root_of};
use ormantrace::evidence::tlog::{Checkpoint, Folder};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sqlx::Executor as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

pub const ORIGIN: &str = "orman.test/register";

/// A command that runs next to the server, and its log lines.
pub struct Beside {
    pub child: Child,
    pub lines: mpsc::Receiver<String>,
    told: Vec<String>,
}

impl Beside {
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let (send, lines) = mpsc::channel();
        let errors = BufReader::new(child.stderr.take().expect("piped"));
        std::thread::spawn(move || errors.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, lines, told: Vec::new() }
    }

    /// Waits for the event with this message.
    pub fn told(&mut self, message: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("never logged {message:?}: {:#?}", self.told));
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            self.told.push(line);
            if event["message"] == message {
                return event;
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a number");
        kill_process(pid, signal).expect("signalled");
    }

    pub fn end(mut self) -> (ExitStatus, String) {
        let status = wait(&mut self.child);
        self.told.extend(self.lines.iter());
        (status, self.told.join("\n"))
    }

    /// Stops the command as an administrator does, with SIGTERM. It must exit with 0.
    pub fn stop(self) {
        self.signal(Signal::TERM);
        let (status, told) = self.end();
        assert_eq!(status.code(), Some(0), "{told}");
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn publish_command(data: &Path, more: &[&str]) -> Command {
    let mut command = program();
    command.args(["--log-format", "json", "publish", "--poll-milliseconds", "10", "--data-dir"]).arg(data);
    command.args(["--origin", ORIGIN]).args(more);
    command
}

pub fn publish(data: &Path, more: &[&str]) -> Beside {
    Beside::start(publish_command(data, more))
}

/// The private database of a data directory. It was started by this test, or by a server that is running.
pub struct Data {
    runtime: tokio::runtime::Runtime,
    database: Option<db::Database>,
}

impl Data {
    fn open(dir: &Path, mode: Mode) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let database = runtime
            .block_on(db::open(
                &DatabaseSettings::private(dir),
                mode,
                ormantrace::evidence::register::backfill::on_migration,
            ))
            .expect("open");
        Self { runtime, database: Some(database) }
    }

    /// Opens the database without a server, so that no sequencer adds leaves.
    pub fn alone(dir: &Path) -> Self {
        Self::open(dir, Mode::Serve)
    }

    /// Runs a statement as the owner of the tables; returns a number.
    fn ask(&self, sql: String) -> i64 {
        let database = self.database.as_ref().expect("open");
        self.runtime.block_on(async {
            let mut owner = database.owner().await.expect("connects");
            let asked = owner.fetch_optional(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.expect("done");
            asked.map_or(0, |row| sqlx::Row::get(&row, 0))
        })
    }

    /// Inserts leaves into the database, as the sequencer does.
    pub fn sequence(&self, from: u64, to: u64) {
        let rows: Vec<String> = (from..to)
            .map(|n| format!("({n}, '\\x{}', gen_random_uuid(), 1, now())", hex::encode(leaf(n).as_bytes())))
            .collect();
        self.ask(format!("INSERT INTO leaf VALUES {}", rows.join(", ")));
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if let Some(database) = self.database.take() {
            self.runtime.block_on(database.close());
        }
    }
}

pub fn leaf(number: u64) -> Entry {
    let at = "2026-10-05T05:00:00Z".parse().expect("a time");
    Entry::new(Hash([1; 32]), u32::try_from(number).expect("small") + 1, at, Hash::ZERO, Hash([7; 32]))
}

pub fn root(size: u64) -> Hash {
    root_of(&(0..size).map(|n| leaf_hash(leaf(n).as_bytes())).collect::<Vec<_>>())
}

pub fn folder(data: &Path) -> Folder {
    Folder::new(data.join("register"))
}

pub fn published(data: &Path) -> Option<(Note, Checkpoint)> {
    let note = Note::parse(&folder(data).published().expect("read")?).expect("a note");
    let checkpoint = Checkpoint::parse(note.text()).expect("a checkpoint");
    Some((note, checkpoint))
}

/// Waits until the published checkpoint satisfies `is_so`.
pub fn until(data: &Path, what: &str, is_so: impl Fn(&Note, &Checkpoint) -> bool) -> (Note, Checkpoint) {
    let since = Instant::now();
    loop {
        if let Some((note, checkpoint)) = published(data)
            && is_so(&note, &checkpoint)
        {
            return (note, checkpoint);
        }
        assert!(since.elapsed() < PATIENCE, "not published: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs `key make` or `key show`; returns the public key.
pub fn key(arguments: &[&str]) -> VerifierKey {
    let output = run(&[&["key"], arguments].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).trim().parse().expect("a public key")
}

#[test]
fn the_published_register_is_served_and_a_lost_database_refused() {
    let data = data();
    let server = Running::start(data.path(), &["--operator-token", TOKEN]);
    assert_eq!(server.get("/checkpoint", None).0, 404);
    let publisher = publish(data.path(), &[]);
    let beside = Data::open(data.path(), Mode::Attach);
    // The server's first event, which registers the operator, gets the first leaf. Once the sequencer has
    // emptied its queue, the test itself adds the further leaves.
    let since = Instant::now();
    while beside.ask("SELECT count(*) FROM leaf_queue".to_owned()) != 0
        || beside.ask("SELECT count(*) FROM leaf".to_owned()) == 0
    {
        assert!(since.elapsed() < PATIENCE, "nothing is sequenced");
        std::thread::sleep(Duration::from_millis(5));
    }
    let own = beside.ask("SELECT count(*) FROM leaf".to_owned()).unsigned_abs();
    beside.sequence(own, 300);
    until(data.path(), "300 leaves", |_, checkpoint| checkpoint.size == 300);
    let (status, checkpoint) = server.get("/checkpoint", None);
    assert!(status == 200 && checkpoint.starts_with(&format!("{ORIGIN}\n300\n")), "{checkpoint}");
    let (status, told) = server.get("/keys.json", None);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((status, &told["standing"]), (200, &Value::from("signed, witnessed by 0 of 0")));
    let shown = key(&["show", data.path().join("keys/register.key").to_str().expect("text")]);
    assert_eq!(told["keys"][0], shown.to_string());
    assert_eq!(server.get("/tile/0/001.p/9", None).0, 404, "never published as a partial tile");
    assert_eq!(server.get("/tile/entries/x000/000", None).0, 404);
    caches_may_keep_what_never_changes_and_nothing_else(server.address);
    let figures = server.get("/metrics", Some(TOKEN)).1;
    assert!(figures.contains("ormantrace_register_published_size 300"), "{figures}");
    let second = publish(data.path(), &[]).end();
    assert_eq!(second.0.code(), Some(1), "{}", second.1);
    assert!(second.1.contains("is published by another process"), "{}", second.1);
    publisher.stop();
    beside.ask(
        "ALTER TABLE leaf DISABLE TRIGGER USER; DELETE FROM leaf WHERE index > 250; ALTER TABLE leaf ENABLE TRIGGER USER"
            .to_owned(),
    );
    let (status, told) = publish(data.path(), &[]).end();
    assert_eq!(status.code(), Some(1), "{told}");
    assert!(told.contains("The database has 251 leaves, and 300 were signed"), "{told}");
    let (status, told) = publish(data.path(), &["--quorum", "1"]).end();
    assert_eq!(status.code(), Some(1), "{told}");
    assert!(told.contains("--quorum is 1, but the number of witnesses is 0"), "{told}");
}

/// Status, headers in lower case, and body of a response, byte for byte.
fn answered(address: SocketAddr, request: &str, more: &str) -> (String, Vec<String>, Vec<u8>) {
    let mut stream = std::net::TcpStream::connect(address).expect("connects");
    write!(stream, "{request} HTTP/1.1\r\nhost: orman.test\r\n{more}connection: close\r\n\r\n")
        .expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("read");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let body = answer.split_off(end + 4);
    let head = text(&answer).to_ascii_lowercase();
    let mut lines = head.lines().map(str::to_owned);
    let status = lines.next().and_then(|line| line.split(' ').nth(1).map(str::to_owned)).expect("a status");
    (status, lines.filter(|line| !line.is_empty()).collect(), body)
}

/// Checks what a cache may store, through every layer of the server: a checkpoint for two seconds and a tile
/// of any width for a year, with the same bytes for every client. A missing tile must not be stored.
fn caches_may_keep_what_never_changes_and_nothing_else(address: SocketAddr) {
    const FOR_GOOD: &str = "cache-control: public, max-age=31536000, immutable";
    let (packed, page) = ("accept-encoding: gzip, br\r\n", "accept: text/html\r\naccept-language: kk\r\n");
    for (path, kept) in [
        ("/checkpoint", "cache-control: public, max-age=2"),
        ("/tile/0/000", FOR_GOOD),
        ("/tile/0/001.p/44", FOR_GOOD),
        ("/tile/entries/000", FOR_GOOD),
    ] {
        let (status, plain, bytes) = answered(address, &format!("GET {path}"), "");
        assert_eq!(status, "200", "{path}");
        assert!(plain.contains(&format!("content-length: {}", bytes.len())), "{path}: {plain:#?}");
        assert_eq!(plain.iter().filter(|line| line.starts_with("cache-control:")).count(), 1, "{path}");
        for more in ["", packed, page] {
            let (status, head, body) = answered(address, &format!("GET {path}"), more);
            assert_eq!((status.as_str(), &body), ("200", &bytes), "{path} {more}");
            assert!(head.iter().any(|line| line == kept), "{path}: {head:#?}");
            // A cache may give one copy to every client, because the response depends on no request header
            // and sets no cookie.
            for other in ["vary:", "content-encoding:", "set-cookie:", "transfer-encoding:"] {
                assert!(!head.iter().any(|line| line.starts_with(other)), "{path}: {head:#?}");
            }
        }
        let (status, head, body) = answered(address, &format!("HEAD {path}"), packed);
        assert_eq!((status.as_str(), body.len()), ("200", 0), "{path}");
        assert!(head.iter().any(|line| line == kept), "{path}: {head:#?}");
    }
    // These tiles may exist later.
    for path in ["/tile/0/001", "/tile/0/001.p/45", "/tile/1/000.p/2", "/tile/no"] {
        let (status, head, _) = answered(address, &format!("GET {path}"), packed);
        assert_eq!(status, "404", "{path}");
        assert!(head.iter().any(|line| line == "cache-control: no-store"), "{path}: {head:#?}");
    }
    let (status, head, _) = answered(address, "GET /keys.json", packed);
    assert_eq!(status, "200");
    assert!(head.iter().any(|line| line == "cache-control: public, max-age=2"), "{head:#?}");
}

/// The drill of docs/OPERATIONS.md, with the commands given there.
#[test]
fn the_drill_of_changing_a_key() {
    let data = data();
    let database = Data::alone(data.path());
    let publisher = publish(data.path(), &[]);
    database.sequence(0, 10);
    let (first, before) = until(data.path(), "10 leaves", |_, checkpoint| checkpoint.size == 10);
    publisher.stop();
    let path = |name: &str| data.path().join(name).to_str().expect("text").to_owned();
    let (old_file, new_file) = (path("keys/register.key"), path("keys/register-2.key"));
    let old = key(&["show", &old_file]);
    let new = key(&["make", "--name", ORIGIN, &new_file]);
    assert_eq!(
        run(&["key", "make", "--name", ORIGIN, &new_file]).status.code(),
        Some(1),
        "an existing key file is never overwritten"
    );
    // A publisher with the new key alone is refused. Then a publisher signs with both keys, and after that
    // another one signs with the new key alone.
    let (status, told) = publish(data.path(), &["--register-key", &new_file]).end();
    assert_eq!(status.code(), Some(1), "{told}");
    assert!(told.contains("give the old key too"), "{told}");
    let both = publish(data.path(), &["--register-key", &format!("{old_file},{new_file}")]);
    let keys = [old.clone(), new.clone()];
    until(data.path(), "by both", |note, _| note.verify(&keys).is_ok_and(|by| by.len() == 2));
    both.stop();
    std::fs::rename(&old_file, path("keys/register-1.key")).expect("put away");
    let alone = publish(data.path(), &["--register-key", &new_file]);
    database.sequence(10, 20);
    let only_new =
        |note: &Note, checkpoint: &Checkpoint| checkpoint.size == 20 && note.verify(&keys[..1]).is_err();
    let (last, after) = until(data.path(), "by the new key alone", only_new);
    alone.stop();
    assert_eq!(last.verify(&keys).expect("signed")[0].key, &new);
    // The old key's signatures stay valid, and the later tree is consistent with the earlier one.
    assert_eq!(Checkpoint::open(&first, std::slice::from_ref(&old)).expect("signed"), before);
    let proof = folder(data.path()).tree(20).consistency(10).expect("a proof");
    assert!(is_consistent(10, before.root, 20, after.root, &proof));
}

#[test]
fn a_separate_witness_cosigns() {
    let data = data();
    let database = Data::alone(data.path());
    let path = |name: &str| data.path().join(name).to_str().expect("text").to_owned();
    let register = key(&["make", "--name", ORIGIN, &path("keys/register.key")]).to_string();
    let name = "witness.test";
    let witness_key = key(&["make", "--witness", "--name", name, &path("witness.key")]);
    let start = |listen: &str| {
        let mut command = program();
        command.args(["--log-format", "json", "witness", "--listen", listen, "--dir", &path("witness")]);
        command.args(["--key", &path("witness.key"), "--register", &register]);
        let mut witness = Beside::start(command);
        let address = witness.told("witnessing")["address"].as_str().expect("an address").to_owned();
        (witness, address)
    };
    let (witness, address) = start("127.0.0.1:0");
    let at = format!("http://{address}={witness_key}");
    // `--begin` is needed because the key exists before the register does, and the database may get leaves
    // before the publisher starts.
    let publisher = publish(data.path(), &["--witness", &at, "--quorum", "1", "--begin"]);
    database.sequence(0, 5);
    let keys = [witness_key.clone()];
    let seen = |size| {
        move |note: &Note, checkpoint: &Checkpoint, keys: &[VerifierKey]| {
            checkpoint.size == size && note.verify(keys).is_ok()
        }
    };
    until(data.path(), "witnessed", |note, checkpoint| seen(5)(note, checkpoint, &keys));
    // After SIGKILL, the witness and the publisher are started again, and both continue from where they were.
    witness.signal(Signal::KILL);
    publisher.signal(Signal::KILL);
    drop((witness.end(), publisher.end()));
    database.sequence(5, 9);
    let (witness, _) = start(&address);
    let publisher = publish(data.path(), &["--witness", &at, "--quorum", "1", "--quick-start"]);
    until(data.path(), "witnessed again", |note, checkpoint| seen(9)(note, checkpoint, &keys));
    assert_eq!(get(address.parse().expect("an address"), "/healthz", None), (200, "ok\n".to_owned()));
    publisher.stop();
    witness.stop();
    // A register's key cannot be a witness's key.
    let output = run(&[
        "witness",
        "--listen",
        "127.0.0.1:0",
        "--dir",
        &path("other"),
        "--key",
        &path("keys/register.key"),
        "--register",
        &register,
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("is not a witness's key"), "{}", text(&output.stderr));
}

/// A proxy that terminates TLS in front of a witness, with a certificate for 127.0.0.1 by an authority
/// that only this test trusts.
fn over_tls(runtime: &tokio::runtime::Runtime, witness: SocketAddr) -> SocketAddr {
    let certificate =
        CertificateDer::from_pem_slice(include_bytes!("tls/witness.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/witness.key")).expect("its key");
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they fit");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("bound");
    let address = listener.local_addr().expect("an address");
    runtime.spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that rejects the certificate ends the connection here.
                let Ok(mut near) = acceptor.accept(near).await else { return };
                let mut far = TcpStream::connect(witness).await.expect("the witness");
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
}

#[test]
fn a_witness_over_https_is_verified_with_a_private_authority() {
    let data = data();
    let database = Data::alone(data.path());
    database.sequence(0, 5);
    let path = |name: &str| data.path().join(name).to_str().expect("text").to_owned();
    let register = key(&["make", "--name", ORIGIN, &path("keys/register.key")]).to_string();
    let witness_key = key(&["make", "--witness", "--name", "witness.test", &path("witness.key")]);
    let mut command = program();
    command.args(["--log-format", "json", "witness", "--listen", "127.0.0.1:0", "--dir", &path("witness")]);
    command.args(["--key", &path("witness.key"), "--register", &register]);
    let mut witness = Beside::start(command);
    let plain = witness.told("witnessing")["address"].as_str().and_then(|text| text.parse().ok());
    let port = over_tls(&database.runtime, plain.expect("an address")).port();
    let authority = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/program/tls/authority.pem");
    let asked = |host: &str| format!("https://{host}:{port}={witness_key}");
    // Three cases: the certificate's authority is unknown; the authority is known, but the certificate is for
    // another host name; both are right.
    let known = ["--witness-ca", authority];
    for (at, authorities, refused) in [
        (asked("127.0.0.1"), &known[..0], Some("UnknownIssuer")),
        (asked("localhost"), &known[..], Some("NotValidForName")),
        (asked("127.0.0.1"), &known[..], None),
    ] {
        let mut more = vec!["--witness", &at, "--quorum", "1", "--begin"];
        more.extend(authorities);
        let mut publisher = publish(data.path(), &more);
        if let Some(refused) = refused {
            let why = publisher.told("a witness does not cosign")["error"].to_string();
            let spoken = why.replace("not valid for name", "NotValidForName");
            assert!(spoken.contains(refused), "{why}");
            until(data.path(), "unwitnessed", |note, checkpoint| {
                checkpoint.size == 5 && note.verify(std::slice::from_ref(&witness_key)).is_err()
            });
        } else {
            until(data.path(), "witnessed", |note, _| {
                note.verify(std::slice::from_ref(&witness_key)).is_ok()
            });
        }
        publisher.stop();
    }
    witness.stop();
    // A file without a certificate is refused as an authority.
    for (file, words) in [(path("witness.key"), "no certificate"), (path("nowhere.pem"), "No such file")] {
        let (status, told) = publish(data.path(), &["--witness-ca", &file]).end();
        assert_eq!(status.code(), Some(1), "{told}");
        assert!(told.contains(&file) && told.contains(words), "{told}");
    }
}
