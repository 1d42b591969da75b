//! HTTP requests that a test writes byte by byte, each on a new connection.

use crate::support::process::PATIENCE;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A complete response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// Parses the response at the beginning of these bytes; `None` if they do not begin with a response.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
        let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        Some(Self { status, head, body: bytes[end..].to_vec() })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails unless this is a problem document with this status; returns the last segment of its type.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!((self.status, &problem["status"]), (status, &status.into()), "{problem}");
        problem["type"].as_str().and_then(|kind| kind.rsplit('/').next()).expect("a type").to_owned()
    }
}

/// A connection with read and write timeouts.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.set_write_timeout(Some(PATIENCE)).expect("set");
    stream
}

/// Reads until the server closes the connection. A reset counts as closing; a read timeout fails the test.
#[track_caller]
pub fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            panic!("the server hangs, after {:?}", String::from_utf8_lossy(&said))
        }
        _ => said,
    }
}

/// A request with the token and, if given, a JSON body and its idempotency key.
pub fn request(line: &str, token: Option<&str>, posted: Option<(&str, &Value)>) -> Vec<u8> {
    let mut head = format!("{line} HTTP/1.1\r\nhost: orman.test\r\nconnection: close\r\n");
    if let Some(token) = token {
        head += &format!("authorization: Bearer {token}\r\n");
    }
    let mut body = String::new();
    if let Some((key, value)) = posted {
        body = value.to_string();
        let length = body.len();
        head += &format!(
            "content-type: application/json\r\ncontent-length: {length}\r\nidempotency-key: {key}\r\n"
        );
    }
    (head + "\r\n" + &body).into_bytes()
}

/// Sends all bytes and reads the response.
#[track_caller]
pub fn send(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = connect(address);
    stream.write_all(bytes).expect("sent");
    let said = rest(stream);
    Answer::parse(&said).unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&said)))
}

#[track_caller]
pub fn get(address: SocketAddr, path: &str, token: Option<&str>) -> Answer {
    send(address, &request(&format!("GET {path}"), token, None))
}

/// Writes every byte of a text as a percent escape.
pub fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        let _ = write!(escaped, "%{byte:02X}");
        escaped
    })
}
