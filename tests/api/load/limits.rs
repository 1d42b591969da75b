//! Limits that keep one client from taking what the others need. In each test, one client demands too much,
//! and a well-behaved client must be served.

use crate::stored_logs::{encoded, log};
use crate::world::{Answer, Org, World, bin};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use ormantrace::base::token::Token;
use ormantrace::http::core::address::Network;
use ormantrace::http::core::body::BodySettings;
use ormantrace::http::core::layers::{ConcurrencyLimits, LayerSettings};
use ormantrace::http::core::limit::{LimitSettings, Rate};
use ormantrace::http::router::router;
use ormantrace::net::pace::Pace;
use ormantrace::net::server::{Server, ServerSettings};
use serde_json::{Value, json};
use sqlx::Connection;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::ServiceExt;

/// Timeout of each awaited step. It is far longer than any step takes, so that a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(30);

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("hangs")
}

/// Serves a router on a port.
async fn listen(router: Router) -> SocketAddr {
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), ServerSettings::default()).await.unwrap();
    let address = server.local_addr();
    tokio::spawn(server.serve(router, std::future::pending()));
    address
}

async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.into_body().collect().await.unwrap().to_bytes().to_vec();
    Answer { status, headers, bytes }
}

async fn post(router: &Router, path: &str, token: &str, body: &Value) -> Answer {
    let request = Request::post(path)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    send(router, request).await
}

/// Begins a POST with a body that arrives byte by byte. Returns the status of the server's first response:
/// 100 when the handler begins to read the body, or that of a refusal.
async fn drip(address: SocketAddr, org: &Org) -> (u16, tokio::task::JoinHandle<()>) {
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/custody-events HTTP/1.1\r\nhost: orman\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 100000\r\nexpect: 100-continue\r\n\r\n",
        org.token
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    soon(client.read_exact(&mut status)).await.unwrap();
    let status = std::str::from_utf8(&status[9..]).unwrap().parse().unwrap();
    let dripping = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(60));
        while client.write_all(b" ").await.is_ok() {
            pace.tick().await;
        }
    });
    (status, dripping)
}

#[tokio::test]
async fn bodies_that_drip_take_no_place_from_another_organisation() {
    let world = World::new().await;
    let (greedy, owner) = (world.enterprise().await, world.forest_owner().await);
    let limits = ConcurrencyLimits { write: 4, body_bytes: 8 * 98 * 1_024, ..ConcurrencyLimits::default() };
    // The window of the pace is so long that the server cuts none of the slow bodies while the test runs.
    let pace = Pace { window: 4 * PATIENCE, ..Pace::default() };
    let body = BodySettings { pace, ..BodySettings::default() };
    let layers = LayerSettings { limits, body, ..LayerSettings::default() };
    let router = router(world.instance(), &layers);
    let address = listen(router.clone()).await;
    let mut dripping = Vec::new();
    for n in 0..8 {
        let (status, one) = drip(address, &greedy).await;
        assert_eq!(status, 100, "the body of request {n} is read");
        dripping.push(one);
    }
    // The organisation's share of the memory for bodies is used up, so its next body is not read.
    let (status, one) = drip(address, &greedy).await;
    assert_eq!(status, 503);
    dripping.push(one);
    for n in 0..10 {
        let ticket = World::ticket_of(&greedy, &format!("{n:07}"), 100);
        post(&router, "/v1/felling-tickets", &owner.token, &ticket).await.expect(201);
    }
    // Any further request of the organisation is refused, as long as its own slow bodies use up its share.
    post(&router, "/v1/verify", &greedy.token, &json!({"codes": ["KZ-0001"]})).await.expect(503);
    dripping.iter().for_each(tokio::task::JoinHandle::abort);
    soon(async {
        let codes = json!({"codes": ["KZ-0001"]});
        while post(&router, "/v1/verify", &greedy.token, &codes).await.status != 200 {}
    })
    .await;
}

/// A body that is refused needs a connection for its checks. These connections count towards the half that one
/// organisation may have.
#[tokio::test]
async fn refused_bodies_take_at_most_half_of_the_connections() {
    let world = World::new().await;
    let felled = world.felled(8).await;
    // Every statement on the ticket, the seals or the logs waits for this transaction.
    let mut owner = world.owner().await;
    let mut lock = owner.begin().await.unwrap();
    sqlx::query("LOCK TABLE felling_ticket, seal, log IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let mut harvest = World::harvest_of(&felled.ticket, &felled.seals[..2]);
    harvest["logs"][1]["species"] = json!("pinus_sylvestrys");
    let event = json!({"type": "stored", "logs": felled.logs, "occurred_at": "yesterday"});
    let transfer = json!({"to_bin": felled.sawmill.bin, "numbers": [felled.seals[0]], "reason": 7});
    let change = format!("/v1/felling-tickets/{}/extend", felled.ticket);
    let void = format!("/v1/seals/{}/void", felled.seals[1]);
    let dates = json!({"felling_until": "2027-01-31", "removal_until": "31.01.2027", "reason": "Қар"});
    for (who, path, body) in [
        (&felled.enterprise, "/v1/harvests", &harvest),
        (&felled.enterprise, "/v1/custody-events", &event),
        (&felled.enterprise, "/v1/seals/transfer", &transfer),
        (&felled.enterprise, void.as_str(), &json!({"reason": "whatever"})),
        (&felled.forest_owner, change.as_str(), &dates),
    ] {
        // Each case has a server of its own: a statement that waits for the lock keeps its connection.
        let app = world.instance();
        assert_eq!(app.pool.options().get_max_connections(), 4);
        let router = router(app, &LayerSettings::default());
        let posts: Vec<_> = (0..8)
            .map(|_| {
                let (router, token, path, body) =
                    (router.clone(), who.token.clone(), path.to_owned(), body.clone());
                tokio::spawn(async move { post(&router, &path, &token, &body).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        // Another organisation reads tables that are not locked.
        let request =
            Request::get("/v1/me").header("authorization", format!("Bearer {}", felled.carrier.token));
        let answer = soon(send(&router, request.body(Body::empty()).unwrap())).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        posts.iter().for_each(tokio::task::JoinHandle::abort);
        for one in posts {
            let _ = one.await;
        }
    }
    lock.rollback().await.unwrap();
}

/// Pages of a list that are not read take memory until they are sent, and an organisation has a quarter of it.
#[tokio::test]
async fn unread_pages_take_at_most_a_quarter_of_the_memory() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let seals = world.seals(&felled.operator, &felled.enterprise, 100).await;
    world.seals(&felled.operator, &felled.sawmill, 100).await;
    let limits = ConcurrencyLimits {
        response_bytes: 256 * 1_024,
        wait: Duration::from_millis(200),
        ..ConcurrencyLimits::default()
    };
    let router = router(world.instance(), &LayerSettings { limits, ..LayerSettings::default() });
    let ask = async |org: &Org, path: &str| {
        let request = Request::get(path).header("authorization", format!("Bearer {}", org.token));
        router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    };
    let (path, mut unread) = ("/v1/seals?limit=100", Vec::new());
    let refused = loop {
        let response = ask(&felled.enterprise, path).await;
        if response.status() != 200 {
            break response;
        }
        assert!(unread.len() < 20, "every page is kept in memory");
        unread.push(response);
    };
    assert_eq!(refused.status(), 503);
    let size = |response: &axum::response::Response| {
        axum::body::HttpBody::size_hint(response.body()).exact().expect("a length")
    };
    let held: u64 = unread.iter().map(size).sum();
    assert!(!unread.is_empty() && held <= 64 * 1_024, "{held} bytes are held");
    // A short response needs no memory, and another organisation has its own quarter.
    assert_eq!(ask(&felled.enterprise, "/v1/me").await.status(), 200);
    assert_eq!(ask(&felled.sawmill, path).await.status(), 200);
    // The response to a write that is refused is as long as the list of its errors. It is not refused itself.
    let logs: Vec<Value> = (0..400).map(|_| json!({"seal_number": seals[0], "kind": "none"})).collect();
    let mut body = World::harvest_of(&felled.ticket, &seals[..1]);
    body["logs"] = json!(logs);
    let answer = post(&router, "/v1/harvests", &felled.enterprise.token, &body).await;
    answer.expect(422);
    assert!(answer.bytes.len() > 16 * 1_024, "{}", answer.bytes.len());
    // A page that is read, and one that is dropped, free their memory.
    let one = unread.pop().unwrap();
    assert!(!one.into_body().collect().await.unwrap().to_bytes().is_empty());
    assert_eq!(ask(&felled.enterprise, path).await.status(), 200);
    unread.clear();
    assert_eq!(ask(&felled.enterprise, path).await.status(), 200);
    // Without a token, the address is the owner.
    let public = async || {
        router.clone().oneshot(Request::get("/openapi.json").body(Body::empty()).unwrap()).await.unwrap()
    };
    let first = public().await;
    assert_eq!((first.status().as_u16(), public().await.status().as_u16()), (200, 503));
    drop(first);
    assert_eq!(public().await.status(), 200);
}

#[tokio::test]
async fn writes_that_last_take_at_most_half_of_the_places() {
    let world = World::new().await;
    let felled = world.felled(4).await;
    let limits = ConcurrencyLimits { write: 4, ..ConcurrencyLimits::default() };
    let layers = LayerSettings { limits, ..LayerSettings::default() };
    let router = router(world.instance(), &layers);
    // Another transaction locks the logs, so the following writes have to wait.
    let mut locker = world.owner().await;
    let mut holding = locker.begin().await.unwrap();
    sqlx::query("SELECT id FROM log FOR UPDATE").execute(&mut *holding).await.unwrap();
    let lasting: Vec<_> = felled
        .logs
        .iter()
        .map(|log| {
            let (router, token) = (router.clone(), felled.enterprise.token.clone());
            let body = json!({"type": "stored", "logs": [log], "occurred_at": "2026-10-05T10:00:00+05:00"});
            tokio::spawn(async move { post(&router, "/v1/custody-events", &token, &body).await.status })
        })
        .collect();
    soon(async {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&world.app.pool).await.unwrap() == 0 {}
    })
    .await;
    for n in 0..10 {
        let ticket = World::ticket_of(&felled.enterprise, &format!("1{n:06}"), 100);
        post(&router, "/v1/felling-tickets", &felled.forest_owner.token, &ticket).await.expect(201);
    }
    let mut statuses = Vec::new();
    // One organisation may hold half of the four concurrency permits for writes. Two of its four writes
    // exceed that, and are refused after a second. The other two end when the lock is released.
    tokio::time::timeout(PATIENCE, async {
        while lasting.iter().filter(|one| one.is_finished()).count() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("two are refused");
    holding.rollback().await.unwrap();
    for one in lasting {
        statuses.push(soon(one).await.unwrap().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 201, 503, 503]);
}

/// A key that has only checked seals and read histories has the places of its organisation, and not the
/// eighth that a key has until its organisation is known.
#[tokio::test]
async fn a_key_that_only_reads_has_half_of_the_places() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let wait = Duration::from_secs(2);
    let limits = ConcurrencyLimits { public: 8, read: 8, wait, ..ConcurrencyLimits::default() };
    let router = router(world.instance(), &LayerSettings { limits, ..LayerSettings::default() });
    let (log, inspector) = (&felled.logs[0], &felled.inspector);
    for path in [format!("/v1/verify/{log}"), format!("/v1/logs/{log}/history")] {
        let get = || {
            let request = Request::get(&path)
                .header("authorization", format!("Bearer {}", inspector.token))
                .body(Body::empty())
                .unwrap();
            let router = router.clone();
            tokio::spawn(async move { send(&router, request).await.status.as_u16() })
        };
        assert_eq!(soon(get()).await.unwrap(), 200);
        // While another transaction locks the table, every read keeps its place.
        let mut locker = world.owner().await;
        let mut holding = locker.begin().await.unwrap();
        sqlx::query("LOCK TABLE log IN ACCESS EXCLUSIVE MODE").execute(&mut *holding).await.unwrap();
        let reads: Vec<_> = (0..5).map(|_| get()).collect();
        soon(async {
            while !reads.iter().any(tokio::task::JoinHandle::is_finished) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        holding.rollback().await.unwrap();
        let mut statuses = Vec::new();
        for read in reads {
            statuses.push(soon(read).await.unwrap());
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 200, 200, 200, 503], "{path}");
    }
}

/// Public checks from addresses that a proxy names.
struct Public(Router);

impl Public {
    fn of(world: &World, limits: LimitSettings) -> Self {
        let trusted_proxies = vec![Network::parse("0.0.0.0/0").unwrap()];
        let layers = LayerSettings { trusted_proxies, ..LayerSettings::default() };
        Self(router(world.limited(limits), &layers))
    }

    async fn get(&self, address: &str, path: &str) -> Answer {
        let request = Request::get(path)
            .header("accept", "application/json")
            .header("x-forwarded-for", address)
            .body(Body::empty());
        send(&self.0, request.unwrap()).await
    }

    async fn check(&self, address: &str, code: &str) -> Answer {
        self.get(address, &format!("/v1/verify/{}", encoded(code))).await
    }
}

/// So high that it is never reached.
const OFTEN: Rate = Rate { count: 1_000_000, per: Duration::from_secs(1) };

#[tokio::test]
async fn a_genuine_code_is_answered_where_another_one_guesses() {
    let world = World::new().await;
    let (operator, issuer, holder) =
        (world.operator().await, world.forest_owner().await, world.enterprise().await);
    let timber = log(&world, &issuer, &holder, "KZ-0001", 2).await;
    let made = world.seals(&operator, &holder, 1).await;
    let made: String = sqlx::query_scalar("SELECT identification FROM seal WHERE number = $1")
        .bind(&made[0])
        .fetch_one(&world.app.pool)
        .await
        .unwrap();
    let misses = Rate { count: 30, per: Duration::from_hours(1) };
    let public = Public::of(&world, LimitSettings { hits: OFTEN, misses, ..LimitSettings::default() });
    let (shared, other) = ("198.51.100.7:5151", "198.51.100.8");
    for n in 0..30 {
        assert_eq!(public.check(shared, &format!("KZ-9{n:03}")).await.expect(200)["verdict"], "unknown");
    }
    // The address has made the 30 checks of unknown codes that the limit permits. Its further checks are now
    // refused if the code is a seal number (existing or not), can be guessed, or is forged.
    let (head, signature) = timber.code.as_str().split_at(timber.code.as_str().len() - 88);
    let swapped = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{head}{swapped}{}", &signature[1..]);
    for code in ["KZ-0001", "KZ-9999", timber.code.identification_str(), &forged, "no code"] {
        public.check(shared, code).await.expect(429);
        assert_ne!(public.check(other, code).await.status.as_u16(), 429, "another address: {code}");
    }
    assert_eq!(public.check(shared, timber.code.as_str()).await.expect(200)["verdict"], "valid");
    assert_eq!(public.check(shared, &made).await.expect(200)["verdict"], "unused");
    let link = format!("/01/{}/21/{}", timber.code.gtin(), &made[18..]);
    assert_eq!(public.get(shared, &link).await.expect(200)["verdict"], "unused");
    // Checks of genuine codes are still accepted, because they have a limit of their own: 60 a minute. Three
    // of these 60 were made above.
    let more = {
        let mut more = 0;
        while public.check(shared, timber.code.as_str()).await.status == 200 {
            more += 1;
        }
        more
    };
    assert!((57..=80).contains(&more), "{more}");
}

#[tokio::test]
async fn a_key_and_an_address_have_so_many_hits_a_day() {
    let world = World::new().await;
    let enterprise = world.enterprise().await;
    let (_, second): (_, Token) = world.key(enterprise.id).await;
    let limits = LimitSettings {
        hits: OFTEN,
        misses: OFTEN,
        hits_per_day: 5,
        hits_per_key_and_day: 1_500,
        ..LimitSettings::default()
    };
    let public = Public::of(&world, limits);
    let check = async |token: &str, count: usize| {
        post(&public.0, "/v1/verify", token, &json!({"codes": vec!["KZ-0001"; count]})).await
    };
    check(&enterprise.token, 1_000).await.expect(200);
    let refused = check(&enterprise.token, 1_000).await;
    assert_eq!(
        refused.expect(429)["type"].as_str().map(|kind| kind.ends_with("/too-many-requests")),
        Some(true)
    );
    assert!(refused.headers.contains_key("retry-after"));
    check(&enterprise.token, 499).await.expect(200);
    let single = |token: &str| {
        let request = Request::get("/v1/verify/KZ-0001").header("authorization", format!("Bearer {token}"));
        request.body(Body::empty()).unwrap()
    };
    send(&public.0, single(&enterprise.token)).await.expect(200);
    send(&public.0, single(&enterprise.token)).await.expect(429);
    // The organisation's other key is served, and an invalid token still gets 401.
    check(second.expose(), 1_000).await.expect(200);
    send(&public.0, single(&"x".repeat(40))).await.expect(401);

    for _ in 0..5 {
        public.check("198.51.100.7", "KZ-0001").await.expect(200);
    }
    public.check("198.51.100.7", "KZ-0001").await.expect(429);
    public.check("198.51.100.8", "KZ-0001").await.expect(200);
}

#[tokio::test]
async fn a_key_names_so_many_unknown_organisations_a_day() {
    let mut world = World::new().await;
    let felled = world.felled(2).await;
    let limits = LimitSettings { unknown_bins_per_key_and_day: 3, ..LimitSettings::default() };
    world.router = router(world.limited(limits), &LayerSettings::default());
    let to = async |org: &Org, log: &String, bin: &str| {
        world.event(org, "transferred", std::slice::from_ref(log), json!({"to_bin": bin})).await
    };
    for n in 0..3 {
        let answer = to(&felled.enterprise, &felled.logs[0], &bin(70 + n)).await;
        answer.expect(422);
        assert!(answer.codes().contains(&"unknown-organization".to_owned()), "{answer:?}");
    }
    to(&felled.enterprise, &felled.logs[0], &bin(80)).await.expect(429);
    to(&felled.enterprise, &felled.logs[0], &felled.sawmill.bin).await.expect(429);
    // The limit of unknown BINs does not apply to a request that names no other organisation. Each key of an
    // organisation has a limit of its own.
    world.event(&felled.enterprise, "stored", &felled.logs, json!({})).await.expect(201);
    let (_, second) = world.key(felled.enterprise.id).await;
    let second = Org { token: second.expose().to_owned(), ..felled.enterprise.clone() };
    world.later(1);
    to(&second, &felled.logs[0], &felled.sawmill.bin).await.expect(201);
}
