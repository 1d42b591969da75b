//! A client that hangs up in the middle of a write, over a real port: the write is done once or not at all,
//! and a request with the same idempotency key shows which.

use crate::world::{Felled, World};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use ormantrace::net::server::{Server, ServerSettings};
use serde_json::json;
use sqlx::Connection;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Timeout of each awaited step. It is far longer than any step takes, so that a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends a message when the handler of a request is dropped before it has answered.
struct Watch(Option<mpsc::UnboundedSender<()>>);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            let _ = tell.send(());
        }
    }
}

/// Serves the world's router on a port. Each message means that a handler was dropped because its client hung
/// up.
async fn listen(world: &World) -> (SocketAddr, mpsc::UnboundedReceiver<()>) {
    let (tell, left) = mpsc::unbounded_channel();
    let router = world.router.clone().layer(from_fn(move |request: Request, next: Next| {
        let watch = Watch(Some(tell.clone()));
        async move {
            // The block must own all of `watch`. If it captured only the field, the rest would be dropped at
            // once.
            let mut watch = watch;
            let answer = next.run(request).await;
            watch.0 = None;
            answer
        }
    }));
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), ServerSettings::default()).await.unwrap();
    let address = server.local_addr();
    tokio::spawn(server.serve(router, std::future::pending()));
    (address, left)
}

/// The bytes of a request that records that the felled logs were stored.
fn posting(felled: &Felled, key: &str) -> Vec<u8> {
    let body = json!({"type": "stored", "logs": felled.logs, "occurred_at": "2026-10-05T10:00:00+05:00"})
        .to_string();
    format!(
        "POST /v1/custody-events HTTP/1.1\r\nhost: orman\r\nauthorization: Bearer {}\r\nidempotency-key: {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        felled.enterprise.token,
        body.len()
    )
    .into_bytes()
}

async fn events(world: &World) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM event WHERE type = 'stored'")
        .fetch_one(&world.app.pool)
        .await
        .unwrap()
}

async fn until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !reached().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Sends the same request in process, with the same key: its status, and whether the response is a replay.
async fn again(world: &World, felled: &Felled, key: &str) -> (u16, bool) {
    let raw = String::from_utf8(posting(felled, key)).unwrap();
    let body = raw.split_once("\r\n\r\n").unwrap().1.to_owned();
    let request = Request::post("/v1/custody-events")
        .header("authorization", format!("Bearer {}", felled.enterprise.token))
        .header("content-type", "application/json")
        .header("idempotency-key", key)
        .body(axum::body::Body::from(body))
        .unwrap();
    let answer = world.send(request).await;
    (answer.status.as_u16(), answer.headers.contains_key("idempotency-replayed"))
}

#[tokio::test]
async fn a_write_whose_client_hangs_up_is_done_once_and_its_key_says_so() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    let (address, mut left) = listen(&world).await;
    // Another transaction locks the logs of the batch, so the write waits in the middle of its transaction.
    let mut owner = world.owner().await;
    let mut holding = owner.begin().await.unwrap();
    sqlx::query("SELECT id FROM log FOR UPDATE").execute(&mut *holding).await.unwrap();

    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(&posting(&felled, "rain-of-october-1")).await.unwrap();
    until("the write waits for the log", async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&world.app.pool)
        .await
        .unwrap();
        waiting > 0
    })
    .await;
    drop(client);
    tokio::time::timeout(PATIENCE, left.recv()).await.expect("the server notices").unwrap();
    // The first request still runs, although its client has closed the connection.
    assert_eq!(again(&world, &felled, "rain-of-october-1").await, (409, false));
    assert_eq!(events(&world).await, 0);

    holding.rollback().await.unwrap();
    until("the write is done without its client", async || events(&world).await == 3).await;
    until("and its answer is there", async || again(&world, &felled, "rain-of-october-1").await.0 == 201)
        .await;
    assert_eq!(again(&world, &felled, "rain-of-october-1").await, (201, true));
    assert_eq!(events(&world).await, 3);
}

#[tokio::test]
async fn a_client_that_hangs_up_before_its_body_is_whole_has_done_nothing() {
    let world = World::new().await;
    let felled = world.felled(3).await;
    let (address, mut left) = listen(&world).await;
    let whole = posting(&felled, "rain-of-october-2");
    let head = whole.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    // The client hangs up after the header, in the middle of the body, or one byte before its end; with and
    // without a reset.
    for cut in [head, head + 40, whole.len() - 1] {
        for reset in [false, true] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(&whole[..cut]).await.unwrap();
            if reset {
                client.set_zero_linger().unwrap();
            } else {
                let mut said = Vec::new();
                client.shutdown().await.unwrap();
                let _ = tokio::time::timeout(PATIENCE, client.read_to_end(&mut said)).await.expect("no hang");
                assert!(!said.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&said));
            }
            drop(client);
        }
    }
    // A client that hangs up before its handler begins leaves no message, so messages are not counted here.
    left.close();
    assert_eq!(events(&world).await, 0);
    // The idempotency key is free, so this request executes the write, for the first time.
    until("the key is free", async || again(&world, &felled, "rain-of-october-2").await.0 == 201).await;
    assert_eq!(again(&world, &felled, "rain-of-october-2").await, (201, true));
    assert_eq!(events(&world).await, 3);
}
