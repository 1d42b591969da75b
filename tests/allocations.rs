//! Number of memory allocations of the most frequent requests, including the database driver's. Counting
//! them detects lost optimisations without measuring time.

#[allow(dead_code, reason = "this binary takes what it needs")]
#[path = "support/stored_logs.rs"]
mod stored_logs;
#[path = "support/mod.rs"]
mod support;
#[allow(dead_code, reason = "this binary takes what it needs")]
#[path = "support/world.rs"]
mod world;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use ormantrace::http::core::layers::LayerSettings;
use ormantrace::http::router::router;
use tower::ServiceExt;
use world::World;

#[test]
fn hot_requests_stay_within_their_allocation_limits() {
    // A runtime with one thread also runs the batch loaders' tasks on this thread, so their allocations are
    // counted too.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (world, inspector) = runtime.block_on(async {
        let world = World::new().await;
        let (issuer, holder) = (world.forest_owner().await, world.enterprise().await);
        stored_logs::log(&world, &issuer, &holder, "KZ-0001", 10).await;
        let inspector = world.inspector().await;
        (world, inspector)
    });
    let router = runtime.block_on(async { router(world.instance(), &LayerSettings::default()) });
    let ask = |path: &str, token: Option<&str>, tag: Option<&str>| {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(tag) = tag {
            request = request.header("if-none-match", tag);
        }
        let request = request.body(Body::empty()).unwrap();
        runtime.block_on(async {
            let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
            axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let tag = parts.headers.get("etag").map(|tag| tag.to_str().unwrap().to_owned());
            (parts.status.as_u16(), tag)
        })
    };
    let token = Some(inspector.token.as_str());
    let history = "/v1/logs/KZ-0001/history";
    let tag = ask(history, token, None).1;
    let cases = [
        ("verify", "/v1/verify/KZ-0001", None, None, 200, VERIFY),
        ("history", history, token, None, 200, HISTORY),
        ("unchanged history", history, token, tag.as_deref(), 304, UNCHANGED),
    ];
    for (name, path, token, tag, status, most) in cases {
        // The first requests prepare statements and let buffers grow. They are not measured.
        for _ in 0..3 {
            assert_eq!(ask(path, token, tag).0, status);
        }
        let counted = allocation_counter::measure(|| {
            ask(path, token, tag);
        });
        println!("{name}: {} allocations, {} bytes", counted.count_total, counted.bytes_total);
        assert!(counted.count_total <= most, "{name}: {} allocations, limit {most}", counted.count_total);
    }
}

#[test]
fn a_large_harvest_stays_within_its_memory_limit() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (world, enterprise, bodies) = runtime.block_on(async {
        let world = World::new().await;
        let (operator, issuer, enterprise) =
            (world.operator().await, world.forest_owner().await, world.enterprise().await);
        let ticket = World::ticket_of(&enterprise, "0001245", 10_000);
        let ticket = world.post("/v1/felling-tickets", &issuer, ticket).await.expect(201);
        let mut bodies = Vec::new();
        for _ in 0..2 {
            let seals = world.seals(&operator, &enterprise, 5_000).await;
            bodies.push(World::harvest_of(ticket["id"].as_str().unwrap(), &seals).to_string());
        }
        (world, enterprise, bodies)
    });
    let router = runtime.block_on(async { router(world.instance(), &LayerSettings::default()) });
    let post = |body: String| {
        let request = Request::post("/v1/harvests")
            .header("authorization", format!("Bearer {}", enterprise.token))
            .header("content-type", "application/json")
            .body(Body::from(body))
            .unwrap();
        runtime.block_on(async {
            let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
            assert_eq!(parts.status.as_u16(), 201);
            axum::body::to_bytes(body, usize::MAX).await.unwrap().len()
        })
    };
    let mut bodies = bodies.into_iter();
    // The first harvest prepares statements and lets buffers grow. It is not measured.
    post(bodies.next().unwrap());
    let body = bodies.next().unwrap();
    let counted = allocation_counter::measure(|| {
        post(body);
    });
    println!("harvest of 5,000: {} bytes at once", counted.bytes_max);
    assert!(counted.bytes_max <= HARVEST, "{} bytes, the limit is {HARVEST}", counted.bytes_max);
}

#[test]
fn a_long_history_takes_the_memory_of_a_page() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (world, holder) = runtime.block_on(async {
        let world = World::new().await;
        let (issuer, holder) = (world.forest_owner().await, world.enterprise().await);
        for (number, events) in [("KZ-0001", 1_000), ("KZ-0002", 4_000)] {
            stored_logs::log(&world, &issuer, &holder, number, events).await;
        }
        (world, holder)
    });
    let router = runtime.block_on(async { router(world.instance(), &LayerSettings::default()) });
    // Reads the body piece by piece and stores none of it, so that the body does not count as memory of the
    // server. Returns the number of bytes.
    let read = |number: &str| {
        let request = Request::get(format!("/v1/logs/{number}/history"))
            .header("authorization", format!("Bearer {}", holder.token))
            .body(Body::empty())
            .unwrap();
        runtime.block_on(async {
            let mut body = router.clone().oneshot(request).await.unwrap().into_body();
            let mut bytes = 0;
            while let Some(frame) = body.frame().await {
                bytes += frame.unwrap().into_data().unwrap().len();
            }
            bytes
        })
    };
    // Statements are prepared by then.
    read("KZ-0001");
    let most = |number: &str| {
        let mut bytes = 0;
        let counted = allocation_counter::measure(|| bytes = read(number));
        println!("history of {bytes} bytes: {} bytes at once", counted.bytes_max);
        (u64::try_from(bytes).unwrap(), counted.bytes_max)
    };
    let ((short, of_short), (long, of_long)) = (most("KZ-0001"), most("KZ-0002"));
    assert!(long > 3 * short, "{long} and {short} bytes");
    assert!(of_long < of_short + PAGE / 2, "{of_long} bytes for the long one, {of_short} for the short one");
    assert!(of_long <= PAGE, "{of_long} bytes, the limit is {PAGE}");
}

/// The most bytes that the server may have allocated at one time for a history, however long it is: the rows
/// of one page and their JSON.
const PAGE: u64 = 4_000_000;
/// The most bytes that the server may have allocated at one time for a harvest of 5,000 logs, in addition to
/// the request body.
const HARVEST: u64 = 12_000_000;
/// The most allocations of one check of a log's seal: the database driver, the row, the response in three
/// languages, and the headers that the HTTP layers add.
const VERIFY: u64 = 170;
/// The most allocations of one history of ten events.
const HISTORY: u64 = 400;
/// The most allocations of a request for a history with the ETag that the caller already has (response 304).
const UNCHANGED: u64 = 170;
