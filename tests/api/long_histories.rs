//! Histories and exports of more than 100 events: page by page, up to the head that was read first, and never
//! shorter than that.

use crate::proofs::{publish, trust};
use crate::stored_logs::{self, Timber};
use crate::support::long_ticket;
use crate::wired::{Wired, soon};
use crate::world::{Org, World};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use ormantrace::base::token::Token;
use ormantrace::commands::erase::{self, ErasureTarget};

use ormantrace::evidence::chain::Tx;
use ormantrace::evidence::tlog::Checkpoint;
use ormantrace::net::server::{Server, ServerSettings};
use ormantrace::services::verifier::verify;
use ormantrace::timber::custody::history::LogEvent;
use ormantrace::timber::custody::log::read::LogLookup;
use ormantrace::timber::party::bin::Bin;
use ormantrace::timber::party::key::TokenHash;
use ormantrace::timber::party::reader::Reader;
use ormantrace::timber::seal::Code;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceExt;

/// Events of a long chain: three pages, the last of which is short.
const EVENTS: u32 = 1_203;

/// A response of which only the first piece of the body has been read.
struct Begun {
    headers: HeaderMap,
    first: Bytes,
    body: Body,
}

impl Begun {
    /// Reads the rest of the body. Returns all bytes of the body; `None` if it ended with an error.
    async fn rest(self) -> Option<Vec<u8>> {
        let rest = soon(self.body.collect()).await.ok()?.to_bytes();
        Some([&self.first[..], &rest].concat())
    }
}

async fn begin(router: &Router, path: &str, org: &Org) -> Begun {
    let request = Request::get(path).header("authorization", format!("Bearer {}", org.token));
    let response = soon(router.clone().oneshot(request.body(Body::empty()).unwrap())).await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    let (parts, mut body) = response.into_parts();
    let first = soon(body.frame()).await.unwrap().unwrap().into_data().unwrap();
    Begun { headers: parts.headers, first, body }
}

/// The complete history as one value in memory, without pages.
async fn whole(world: &World, log: &Timber, org: &Org, bare: bool) -> Vec<u8> {
    let token = TokenHash::new(&Token::from_text(&org.token).unwrap(), world.clock.now());
    let lookup = LogLookup::new(&Code::parse(&log.seal).unwrap(), token);
    let (caller, row) = world.app.reads.log(lookup).await.unwrap().unwrap();
    let reader = Reader::from(&caller);
    let mut history = world.app.reads.history(&row, row.access(reader).unwrap(), reader).await.unwrap();
    if bare {
        history.events = history.events.into_iter().map(LogEvent::without_evidence).collect();
    }
    serde_json::to_vec(&history).unwrap()
}

/// Makes an organisation a past party of a log, which sees the log's events up to seq `until`.
async fn past_party(world: &World, log: &Timber, org: &Org, until: u32) {
    sqlx::query("INSERT INTO past_party (log_id, organization_id, until_seq) VALUES ($1, $2, $3)")
        .bind(log.id)
        .bind(org.id)
        .bind(i32::try_from(until).unwrap())
        .execute(&world.app.pool)
        .await
        .unwrap();
}

/// Appends extensions to a ticket's chain.
async fn extend(world: &World, ticket: &str, issuer: &Org, events: u32) {
    let mut tx = Tx::begin(&world.app.pool).await.unwrap();
    long_ticket::extend(&mut tx, ticket.parse().unwrap(), issuer.id, events, world.clock.now()).await;
    tx.commit().await.unwrap();
}

fn events(file: &Value) -> &Vec<Value> {
    file["events"].as_array().unwrap()
}

#[tokio::test]
async fn a_long_history_is_that_of_the_head_which_was_read_first() {
    let world = World::new().await;
    let (issuer, holder, seller) =
        (world.forest_owner().await, world.enterprise().await, world.sawmill().await);
    let inspector = world.inspector().await;
    let log = stored_logs::log(&world, &issuer, &holder, "KZ-0001", EVENTS).await;
    past_party(&world, &log, &seller, 700).await;
    let path = format!("/v1/logs/{}/history", log.seal);
    // The readers are a present party, a past party and an inspector, each with and without evidence. The
    // issuer sees only the harvest, so its history is short.
    for (org, seen) in [(&holder, EVENTS), (&seller, 700), (&inspector, EVENTS), (&issuer, 1)] {
        for bare in [false, true] {
            let path = if bare { format!("{path}?evidence=none") } else { path.clone() };
            let expected = whole(&world, &log, org, bare).await;
            let streamed = begin(&world.router, &path, org).await;
            assert_eq!(streamed.headers.contains_key("content-length"), seen <= 100, "{path}");
            assert_eq!(streamed.headers["content-type"], "application/json");
            let etag = streamed.headers["etag"].to_str().unwrap().to_owned();
            let bytes = streamed.rest().await.unwrap();
            assert!(bytes == expected, "{path} of {}: not the bytes of the history in one piece", org.bin);
            let history: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(events(&history).len(), usize::try_from(seen).unwrap());
            assert_eq!(history["log"]["head"]["seq"], seen);

            // The ETag is known before the body is built, so a 304 and a response to HEAD need no body.
            let request = |method| {
                Request::builder()
                    .method(method)
                    .uri(&path)
                    .header("authorization", format!("Bearer {}", org.token))
                    .header("accept-encoding", "gzip")
            };
            let known = request(Method::GET).header("if-none-match", &etag).body(Body::empty()).unwrap();
            let known = world.send(known).await;
            assert_eq!((known.status.as_u16(), known.bytes.len()), (304, 0));
            let head = world.send(request(Method::HEAD).body(Body::empty()).unwrap()).await;
            assert_eq!((head.status.as_u16(), head.bytes.len()), (200, 0));
            assert_eq!(head.headers["etag"], etag.as_str());
            let packed = world.send(request(Method::GET).body(Body::empty()).unwrap()).await;
            if seen > 1 {
                assert_eq!(packed.headers["content-encoding"], "gzip");
                let mut unpacked = Vec::new();
                let mut reader = flate2::read::GzDecoder::new(&packed.bytes[..]);
                std::io::Read::read_to_end(&mut reader, &mut unpacked).unwrap();
                assert!(unpacked == expected, "{path}");
            }
        }
        let view = world.get(&format!("/v1/logs/{}", log.seal), org).await.expect(200);
        assert_eq!(view["head"]["seq"], seen);
    }
}

#[tokio::test]
async fn a_past_party_sees_the_state_after_its_own_events_on_every_page() {
    let world = World::new().await;
    let (issuer, holder, seller) =
        (world.forest_owner().await, world.enterprise().await, world.sawmill().await);
    let inspector = world.inspector().await;
    let log = stored_logs::log(&world, &issuer, &holder, "KZ-0001", 700).await;
    past_party(&world, &log, &seller, 702).await;
    sqlx::query(
        "INSERT INTO ticket_line (id, ticket_id, position, species, wood, permitted_m3, marked_m3, by_table_logs,
             by_table_m3, table_m3)
         SELECT line_id, ticket_id, 1, species, wood, 100, volume_m3, 1, volume_m3, table_volume_m3
         FROM log WHERE id = $1",
    )
    .bind(log.id)
    .execute(&world.app.pool)
    .await
    .unwrap();
    let logs = [log.seal.clone()];
    // The holder offers the log and undoes the offer. This restores the state before the offer, which can be
    // computed only from all earlier events. Then the holder records `stored`, which the seller does not see,
    // and the inspector corrects the timber, which the issuer sees.
    let to = json!({"to_bin": seller.bin});
    world.event(&holder, "transferred", &logs, to).await.expect(201);
    let undo = json!({"corrects": 701, "reason": "Басқа бөрене болды", "reverse": true});
    let undone = world.event(&holder, "corrected", &logs, undo).await;
    let undone = if undone.status == 201 {
        true
    } else {
        world.event(&holder, "withdrawn", &logs, json!({})).await.status == 201
    };
    assert!(undone);
    world.event(&holder, "stored", &logs, json!({})).await.expect(201);
    let right = json!({"corrects": 1, "reason": "Қайта өлшенді", "set": {"grade": 3}});
    world.event(&inspector, "corrected", &logs, right).await.expect(201);
    for (org, seen) in [(&seller, 702), (&issuer, 704), (&holder, 704)] {
        let streamed = begin(&world.router, &format!("/v1/logs/{}/history", log.seal), org).await;
        let bytes = streamed.rest().await.unwrap();
        assert!(bytes == whole(&world, &log, org, false).await, "{}", org.bin);
        let history: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(events(&history).len(), seen, "{}", org.bin);
    }
}

#[tokio::test]
async fn what_is_recorded_meanwhile_is_not_in_it_and_what_is_erased_appears_as_erased() {
    let world = World::new().await;
    let (operator, inspector, issuer) =
        (world.operator().await, world.inspector().await, world.forest_owner().await);
    let iin = crate::world::bin(7);
    let trader =
        json!({"bin": iin, "name": "ЖК «Сүлейменова Айгүл»", "roles": ["enterprise"], "kind": "sole_trader"});
    let trader = world.post("/v1/organizations", &operator, trader).await.expect(201);
    let id = trader["id"].as_str().unwrap().parse().unwrap();
    let trader = Org { id, bin: iin.clone(), token: world.key(id).await.1.expose().to_owned() };
    let log = stored_logs::log(&world, &issuer, &trader, "KZ-0001", EVENTS).await;
    publish(&world).await;
    let history = format!("/v1/logs/{}/history", log.seal);
    let export = format!("/v1/logs/{}/export", log.seal);
    // Its names are cached by then.
    world.get(&history, &inspector).await.expect(200);
    let streamed = begin(&world.router, &history, &inspector).await;
    let exported = begin(&world.router, &export, &inspector).await;

    world.event(&trader, "stored", std::slice::from_ref(&log.seal), json!({})).await.expect(201);
    let mut owner = world.owner().await;
    erase::delete(&mut owner, &ErasureTarget::Iin(Bin::parse(&iin).unwrap()), &world.clock).await.unwrap();
    sqlx::query("DELETE FROM personal WHERE id IN (SELECT personal_id FROM event WHERE subject_id = $1)")
        .bind(log.id)
        .execute(&mut owner)
        .await
        .unwrap();
    let later = publish(&world).await;

    let streamed: Value = serde_json::from_slice(&streamed.rest().await.unwrap()).unwrap();
    assert_eq!(events(&streamed).len(), 1_203, "the event that was recorded meanwhile is not in it");
    let erased = |event: &Value| event["parts"]["personal"]["erased"] == true;
    let named = |event: &Value| event["organization"]["name"] == "ЖК «Сүлейменова Айгүл»";
    for (seq, is_erased) in [(1, false), (401, false), (801, true), (1_201, true)] {
        let event = &events(&streamed)[seq - 1];
        assert_eq!((erased(event), named(event)), (is_erased, !is_erased), "event {seq}");
    }
    assert!(named(&events(&streamed)[499]) && !named(&events(&streamed)[500]), "the pages are of 500 events");

    // The file has the checkpoint that was published when the response began, not the newer one, and it
    // verifies.
    let exported = exported.rest().await.unwrap();
    let file: Value = serde_json::from_slice(&exported).unwrap();
    assert_eq!(events(&file).len(), 1_203);
    assert!(erased(&events(&file)[800]) && !erased(&events(&file)[400]));
    let text = file["checkpoint"].as_str().unwrap().split("\n\n").next().unwrap();
    let size = Checkpoint::parse(&format!("{text}\n")).unwrap().size;
    assert!(size < Checkpoint::parse(later.text()).unwrap().size);
    assert!(events(&file).iter().all(|event| event["pending"].is_null()));
    let report = verify(&exported, &trust()).report;
    assert!(report.holds() && report.trusted, "{report}");
}

#[tokio::test]
async fn long_exports_of_every_subject_are_valid() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    extend(&world, &felled.ticket, &felled.forest_owner, EVENTS - 1).await;
    let batch = world.get(&format!("/v1/seals/{}", felled.seals[0]), &felled.operator).await.expect(200);
    let batch = batch["batch_id"].as_str().unwrap().to_owned();
    // One seal goes to and fro.
    let seal = &felled.seals[1];
    let (mut from, mut to) = (&felled.enterprise, &felled.sawmill);
    for _ in 0..110 {
        let body = json!({"numbers": [seal], "to_bin": to.bin});
        world.post("/v1/seals/transfer", from, body).await.expect(200);
        (from, to) = (to, from);
    }
    for _ in 0..110 {
        world.key(felled.enterprise.id).await;
    }
    publish(&world).await;
    let ticket = format!("/v1/felling-tickets/{}", felled.ticket);
    let exports = [
        (&ticket, &felled.enterprise, 1_203),
        (&format!("/v1/seal-batches/{batch}"), &felled.operator, 111),
        (&format!("/v1/seal-batches/{batch}"), &felled.enterprise, 111),
        (&format!("/v1/organizations/{}", felled.enterprise.id), &felled.enterprise, 112),
    ];
    for (path, org, count) in exports {
        let streamed = begin(&world.router, &format!("{path}/export"), org).await;
        assert!(!streamed.headers.contains_key("content-length"), "{path}");
        let bytes = streamed.rest().await.unwrap();
        let report = verify(&bytes, &trust()).report;
        assert!(report.holds() && report.trusted, "{path}: {report}");
        let file: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(events(&file).len(), count, "{path}");
    }
    for (path, org, count) in
        [(ticket.as_str(), &felled.enterprise, 1_203), (&format!("/v1/seals/{seal}"), &felled.operator, 111)]
    {
        for query in ["", "?evidence=none"] {
            let streamed = begin(&world.router, &format!("{path}/history{query}"), org).await;
            assert!(!streamed.headers.contains_key("content-length"), "{path}");
            let history: Value = serde_json::from_slice(&streamed.rest().await.unwrap()).unwrap();
            assert_eq!(events(&history).len(), count, "{path}");
            let mut seqs = events(&history).iter().map(|event| event["seq"].as_u64().unwrap());
            assert!(seqs.clone().is_sorted() && seqs.next() == Some(1), "{path}");
            let mut hash = json!("0".repeat(64));
            for event in events(&history).iter().filter(|_| path == ticket) {
                assert_eq!(event["prev_hash"], hash, "{path}: {}", event["seq"]);
                hash = event["hash"].clone();
            }
        }
    }
}

#[tokio::test]
async fn a_page_that_cannot_be_read_cuts_the_body() {
    let world = World::new().await;
    let (issuer, holder) = (world.forest_owner().await, world.enterprise().await);
    let log = stored_logs::log(&world, &issuer, &holder, "KZ-0001", EVENTS).await;
    let ticket = world.ticket(&issuer, &holder, "0001245").await["id"].as_str().unwrap().to_owned();
    extend(&world, &ticket, &issuer, EVENTS).await;
    publish(&world).await;
    let server = Wired::to(&world);
    let paths = [format!("/v1/logs/{}/history", log.seal), format!("/v1/felling-tickets/{ticket}/history")];
    for path in &paths {
        let streamed = begin(&server.router, path, &holder).await;
        server.wire.down(true);
        assert_eq!(streamed.rest().await, None, "{path}");
        server.wire.down(false);
    }
    // If an event of a later page is missing, the server breaks off the body, so that a reader never takes it
    // for a shorter history.
    let streamed = begin(&server.router, &paths[0], &holder).await;
    let mut owner = world.owner().await;
    sqlx::query("ALTER TABLE event DISABLE TRIGGER USER").execute(&mut owner).await.unwrap();
    sqlx::query("DELETE FROM event WHERE subject_id = $1 AND seq > 1100")
        .bind(log.id)
        .execute(&mut owner)
        .await
        .unwrap();
    assert_eq!(streamed.rest().await, None);

    // Over a TCP connection, a body that is cut off has no last chunk. The test uses a new server here,
    // because the database connections of the old one were broken above.
    let server = Wired::to(&world);
    let path = &paths[1];
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let listener = Server::bind("127.0.0.1:0".parse().unwrap(), ServerSettings::default()).await.unwrap();
    let address = listener.local_addr();
    let serving = tokio::spawn(listener.serve(server.router.clone(), async move {
        let _ = stopped.await;
    }));
    for breaks in [false, true] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: orman.test\r\nauthorization: Bearer {}\r\n\r\n",
            holder.token
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut received = vec![0; 64 * 1024];
        soon(stream.read_exact(&mut received)).await.unwrap();
        assert!(received.starts_with(b"HTTP/1.1 200 OK"));
        assert!(String::from_utf8_lossy(&received[..1_024]).contains("transfer-encoding: chunked"));
        if breaks {
            server.wire.down(true);
        }
        let mut rest = vec![0; 64 * 1024];
        let cut = loop {
            match soon(stream.read(&mut rest)).await {
                Ok(0) | Err(_) => break true,
                Ok(bytes) => received.extend_from_slice(&rest[..bytes]),
            }
            if received.ends_with(b"\r\n0\r\n\r\n") {
                break false;
            }
        };
        assert_eq!(cut, breaks, "the end of the body is received only if all pages were read");
    }
    drop(stop);
    soon(serving).await.unwrap();
}

#[tokio::test]
async fn no_connection_is_held_for_a_reader_that_has_stopped() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    extend(&world, &felled.ticket, &felled.forest_owner, EVENTS).await;
    publish(&world).await;
    let path = format!("/v1/felling-tickets/{}", felled.ticket);
    let mut stopped = Vec::new();
    for org in [&felled.enterprise, &felled.inspector] {
        for part in ["history", "export"] {
            stopped.push(begin(&world.router, &format!("{path}/{part}"), org).await);
        }
    }
    let idle = async {
        // A task of the pool returns each connection, so it may take a moment.
        while world.app.pool.num_idle() < usize::try_from(world.app.pool.size()).unwrap() {
            tokio::task::yield_now().await;
        }
    };
    soon(idle).await;
    for streamed in stopped {
        let bytes = streamed.rest().await.unwrap();
        let file: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(events(&file).len(), usize::try_from(EVENTS).unwrap() + 1);
    }
}
