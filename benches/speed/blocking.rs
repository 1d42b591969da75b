//! One HTTP request at a time, for preparations that are not measured.

use serde_json::Value;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

type Failure = Box<dyn Error + Send + Sync>;

/// Calls `method path` of the server, with a token and a body if given; returns the status and the body
/// of the response.
///
/// # Errors
/// No connection, no response within two minutes, or a malformed one.
pub fn call(
    server: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&[u8]>,
) -> Result<(u16, Vec<u8>), Failure> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_mins(2)))?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n");
    if let Some(token) = token {
        request.push_str(&format!("Authorization: Bearer {token}\r\n"));
    }
    if let Some(body) = body {
        request.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes())?;
    stream.write_all(body.unwrap_or_default())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("no end of headers")?;
    let status = std::str::from_utf8(answer.get(9..12).ok_or("no status")?)?.parse()?;
    Ok((status, answer.split_off(head + 4)))
}

/// Posts JSON and returns the JSON of the response.
///
/// # Errors
/// As [`call`]; any status except 2xx, with the response.
pub fn post(server: SocketAddr, token: &str, path: &str, body: &Value) -> Result<Value, Failure> {
    let sent = serde_json::to_vec(body)?;
    let (status, answer) = call(server, "POST", path, Some(token), Some(&sent))?;
    if (200..300).contains(&status) {
        return Ok(serde_json::from_slice(&answer)?);
    }
    Err(format!("POST {path}: {status} {}", String::from_utf8_lossy(&answer)).into())
}
