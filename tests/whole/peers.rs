//! Clients that are slow, odd or demand too much, and how other clients are served meanwhile: the built
//! program with its settings, over its real port.

use crate::support::process::{PATIENCE, Running, TOKEN, data};
use crate::wire::{Answer, connect, get, request, rest};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Pause between two bytes of a slow sender. It is far below every idle timeout.
const DRIP: Duration = Duration::from_millis(20);

/// Sends `start` and then one byte after another until the server closes; returns the response.
fn drip(address: SocketAddr, start: &[u8]) -> Vec<u8> {
    let stream = connect(address);
    let mut write = stream.try_clone().expect("cloned");
    write.write_all(start).expect("sent");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let since = Instant::now();
            // The first write after the server has closed the connection may still succeed; a later one
            // fails.
            while write.write_all(b"a").is_ok() {
                assert!(since.elapsed() < PATIENCE, "the server never closes");
                std::thread::sleep(DRIP);
            }
        });
        rest(stream)
    })
}

/// Sends these bytes and nothing more; returns the response.
fn stall(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    stream.write_all(bytes).expect("sent");
    rest(stream)
}

fn head(more: &str) -> Vec<u8> {
    format!(
        "POST /v1/organizations HTTP/1.1\r\nhost: orman.test\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: application/json\r\n{more}\r\n"
    )
    .into_bytes()
}

#[track_caller]
fn answer(said: &[u8]) -> Answer {
    Answer::parse(said).unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(said)))
}

#[test]
fn slow_peers_are_disconnected_and_others_are_served() {
    let data = data();
    let settings = ["--operator-token", TOKEN, "--header-seconds", "1", "--body-seconds", "1"];
    let server = Running::start(data.path(), &settings);
    let (address, over) = (server.address, AtomicBool::new(false));
    std::thread::scope(|scope| {
        let over = &over;
        let others = scope.spawn(move || {
            let mut served = 0;
            while !over.load(Ordering::SeqCst) {
                let answer = get(address, "/v1/me", Some(TOKEN));
                assert_eq!(answer.status, 200, "{answer:?}");
                served += 1;
            }
            served
        });
        // Starts eight clients of each kind at once, as an attacker would.
        let mut peers = Vec::new();
        for _ in 0..8 {
            peers.push(scope.spawn(move || assert_eq!(stall(address, b""), b"", "nothing sent")));
            peers.push(scope.spawn(move || {
                assert_eq!(stall(address, b"GET /v1/me HTTP/1.1\r\nhost: orman"), b"", "half a header");
            }));
            peers.push(scope.spawn(move || {
                assert_eq!(drip(address, b"GET /v1/me HTTP/1.1\r\nx-drip: "), b"", "a dripped header");
            }));
            peers.push(scope.spawn(move || {
                let told = answer(&stall(address, &head("content-length: 1000\r\n")));
                assert_eq!(told.problem(408), "request-timeout");
            }));
            peers.push(scope.spawn(move || {
                let mut start = head("content-length: 100000\r\n");
                start.extend(b"{\"name\":\"");
                assert_eq!(answer(&drip(address, &start)).problem(408), "request-timeout");
            }));
            peers.push(scope.spawn(move || {
                // A chunk that never ends.
                let start = [head("transfer-encoding: chunked\r\n"), b"ffff\r\n{".to_vec()].concat();
                assert_eq!(answer(&drip(address, &start)).problem(408), "request-timeout");
            }));
        }
        for peer in peers {
            peer.join().expect("no panic");
        }
        over.store(true, Ordering::SeqCst);
        assert!(others.join().expect("no panic") > 0);
    });
    let (status, figures) = server.get("/metrics", Some(TOKEN));
    assert_eq!(status, 200);
    assert!(!figures.contains("status=\"500\""), "{figures}");
}

#[test]
fn odd_but_lawful_requests_are_served_and_greedy_ones_refused() {
    let data = data();
    let server = Running::start(data.path(), &["--operator-token", TOKEN]);
    let address = server.address;

    // Three requests in one write get three responses, in the same order.
    let one = |path: &str, end: &str| format!("GET {path} HTTP/1.1\r\nhost: orman.test\r\n{end}\r\n");
    let piped = one("/healthz", "") + &one("/v1/me", "") + &one("/v1/regions", "connection: close\r\n");
    let said = String::from_utf8(stall(address, piped.as_bytes())).expect("text");
    let statuses: Vec<&str> = said.match_indices("HTTP/1.1 ").map(|(at, _)| &said[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "401", "200"], "{said}");
    assert!(said.ends_with('}') && said.contains("KZ-10"), "{said}");

    // A client that sends `Expect: 100-continue` gets 100 Continue, or 401 if its token is not valid.
    let body = br#"{"bin": "not digits", "name": "", "roles": []}"#;
    let expects = |token: &str| {
        String::from_utf8(head(&format!(
            "content-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n",
            body.len()
        )))
        .expect("text")
        .replace(TOKEN, token)
    };
    let mut stream = connect(address);
    stream.write_all(expects(TOKEN).as_bytes()).expect("sent");
    let mut first = [0; 25];
    std::io::Read::read_exact(&mut stream, &mut first).expect("100 Continue");
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body).expect("sent");
    assert_eq!(answer(&rest(stream)).problem(422), "unprocessable");
    let refused = stall(address, expects("felled-in-the-winter-of-2026-at-Semei").as_bytes());
    assert_eq!(answer(&refused).problem(401), "unauthorized");

    // Requests over the limits.
    let long = format!("GET /v1/me HTTP/1.1\r\nhost: orman.test\r\nx-long: {}\r\n\r\n", "a".repeat(40_000));
    let many = format!("GET /v1/me HTTP/1.1\r\nhost: orman.test\r\n{}\r\n", "a: b\r\n".repeat(2_000));
    let far = format!("GET /{} HTTP/1.1\r\nhost: orman.test\r\n\r\n", "a".repeat(100_000));
    for bytes in [long, many, far] {
        let mut stream = connect(address);
        // The server may close before all bytes are sent.
        let _ = stream.write_all(bytes.as_bytes());
        let said = rest(stream);
        if let Some(answer) = Answer::parse(&said) {
            assert!([414, 431].contains(&answer.status), "{answer:?}");
        }
    }
    let huge = [head("content-length: 300000\r\nconnection: close\r\n"), vec![b' '; 300_000]].concat();
    assert_eq!(answer(&stall(address, &huge)).problem(413), "too-large");
    assert_eq!(crate::wire::send(address, &request("GET /v1/me", Some(TOKEN), None)).status, 200);
}
