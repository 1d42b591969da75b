//! Signing in and out, the life of a session, and forms from other sites.

use super::{Visitor, location, session_cookie};
use crate::world::World;
use axum::body::Body;
use axum::http::Method;
use ormantrace::http::core::layers::LayerSettings;
use ormantrace::http::core::limit::LimitSettings;
use ormantrace::http::router::router;
use serde_json::{Value, json};

#[tokio::test]
async fn a_page_leads_to_the_sign_in_and_the_sign_in_back_to_it() {
    let world = World::new().await;
    let inspector = world.inspector().await;
    let nobody = Visitor::default();
    assert_eq!(location(&nobody.get(&world, "/desk").await), "/desk/sign-in");
    let answer = nobody.get(&world, "/desk/logs?status=sold").await;
    assert_eq!(
        (answer.status.as_u16(), location(&answer)),
        (303, "/desk/sign-in?next=%2Fdesk%2Flogs%3Fstatus%3Dsold")
    );
    let form = Visitor::page(&nobody.get(&world, location(&answer)).await);
    assert_eq!(super::hidden(&form, "next"), "/desk/logs?status=sold");
    let key = [("key", inspector.token.as_str()), ("next", "/desk/logs?status=sold")];
    let answer = nobody.post(&world, "/desk/sign-in", &key).await;
    assert_eq!(location(&answer), "/desk/logs?status=sold");
    let signed_in = Visitor { cookie: Some(session_cookie(&answer)) };
    assert!(Visitor::page(&signed_in.get(&world, "/desk").await).contains("Абай облыстық орман инспекциясы"));
    // With a session, the sign-in leads on.
    assert_eq!(location(&signed_in.get(&world, "/desk/sign-in?next=//evil.kz").await), "/desk");
    // A sign-in leads to no other site.
    for next in ["https://evil.kz/desk", "//evil.kz", "/desk//evil.kz", "/desk/\\evil.kz", "/verify"] {
        let answer = nobody.post(&world, "/desk/sign-in", &[("key", &inspector.token), ("next", next)]).await;
        assert_eq!((answer.status.as_u16(), location(&answer)), (303, "/desk"), "{next}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_said_at_its_field_and_never_shown_again() {
    let world = World::new().await;
    let nobody = Visitor::default();
    for (key, words) in [
        ("", "Enter the key."),
        ("\u{200b} ", "Enter the key."),
        ("short", "This key is not valid"),
        ("omt_0123456789012345678901234567890123456789abc", "This key is not valid"),
    ] {
        let answer = nobody.post(&world, "/desk/sign-in", &[("key", key)]).await;
        let page = answer.text();
        assert_eq!(answer.status, 422, "{key}");
        assert_eq!(page.matches(words).count(), 2, "in the summary and at the field: {page}");
        assert!(page.contains("<title>Error: Sign in to the desk"), "{page}");
        assert!(page.contains("href=\"#key\"") && page.contains("aria-invalid=\"true\""), "{page}");
        assert!(key.len() < 6 || !page.contains(key), "{page}");
        assert!(answer.headers.get("set-cookie").is_none());
    }
    // An invisible character that was copied along does no harm.
    let inspector = world.inspector().await;
    let key = format!("\u{feff}{}\u{200b} ", inspector.token);
    assert_eq!(nobody.post(&world, "/desk/sign-in", &[("key", &key)]).await.status, 303);
}

#[tokio::test]
async fn wrong_keys_are_limited_by_address_and_right_ones_are_not() {
    let mut world = World::new().await;
    let inspector = world.inspector().await;
    let limits = LimitSettings { failed_sign_ins_per_block_and_hour: 3, ..LimitSettings::default() };
    world.router = router(world.limited(limits), &LayerSettings::default());
    let nobody = Visitor::default();
    for _ in 0..5 {
        assert_eq!(nobody.post(&world, "/desk/sign-in", &[("key", &inspector.token)]).await.status, 303);
    }
    for _ in 0..3 {
        assert_eq!(nobody.post(&world, "/desk/sign-in", &[("key", &"x".repeat(40))]).await.status, 422);
    }
    let answer = nobody.post(&world, "/desk/sign-in", &[("key", &inspector.token)]).await;
    assert_eq!(answer.status, 429);
    assert!(answer.text().contains("Try again in 60 minutes"), "{}", answer.text());
}

#[tokio::test]
async fn a_session_ends_with_its_key_and_by_its_time() {
    let world = World::new().await;
    let (operator, inspector, enterprise) =
        (world.operator().await, world.inspector().await, world.enterprise().await);
    let is_in = async |visitor: &Visitor| visitor.get(&world, "/desk/sessions").await.status == 200;

    // Not used for 8 hours: an inspector is out, an enterprise is in.
    let (road, office) = (Visitor::of(&world, &inspector).await, Visitor::of(&world, &enterprise).await);
    world.later(7 * 60 + 59);
    assert!(is_in(&road).await && is_in(&office).await);
    world.later(8 * 60);
    assert!(!is_in(&road).await && is_in(&office).await);
    world.later(12 * 60);
    assert!(!is_in(&office).await);
    // Used all the time: 24 hours at most.
    let road = Visitor::of(&world, &inspector).await;
    for _ in 0..5 {
        world.later(4 * 60 + 30);
        assert!(is_in(&road).await);
    }
    world.later(2 * 60);
    assert!(!is_in(&road).await);

    // A revoked key: at once, in every browser.
    let (first, second) = (Visitor::of(&world, &enterprise).await, Visitor::of(&world, &enterprise).await);
    assert!(is_in(&first).await && is_in(&second).await);
    let me = world.get("/v1/me", &enterprise).await.expect(200);
    let key = format!("/v1/keys/{}", me["key"]["id"].as_str().unwrap());
    world.call(Method::DELETE, &key, Some(&operator.token), Value::Null).await.expect(204);
    assert!(!is_in(&first).await && !is_in(&second).await);
    assert_eq!(
        Visitor::default().post(&world, "/desk/sign-in", &[("key", &enterprise.token)]).await.status,
        422
    );

    // An expired key.
    let until = ormantrace::base::units::utc_text(world.clock.now() + chrono::TimeDelta::hours(1));
    let keys = format!("/v1/organizations/{}/keys", inspector.id);
    let made =
        world.post(&keys, &inspector, json!({"label": "Бекет", "expires_at": until})).await.expect(201);
    let token = made["token"].as_str().unwrap().to_owned();
    let guest = Visitor::of(&world, &crate::world::Org { token, ..inspector.clone() }).await;
    assert!(is_in(&guest).await);
    world.later(60);
    assert!(!is_in(&guest).await);
}

#[tokio::test]
async fn my_sessions_are_listed_and_ended_one_by_one_or_all() {
    let world = World::new().await;
    let (inspector, enterprise) = (world.inspector().await, world.enterprise().await);
    let (first, second, third) = (
        Visitor::of(&world, &inspector).await,
        Visitor::of(&world, &inspector).await,
        Visitor::of(&world, &inspector).await,
    );
    let other = Visitor::of(&world, &enterprise).await;
    let page = Visitor::page(&first.get(&world, "/desk/sessions").await);
    let ids: Vec<&str> = page
        .match_indices("name=\"session\" value=\"")
        .map(|(at, name)| &page[at + name.len()..at + name.len() + 36])
        .collect();
    assert_eq!(ids.len(), 3, "{page}");
    assert_eq!(page.matches("this browser").count(), 1);
    // The sessions of another key are not in the list, and cannot be ended.
    let theirs = Visitor::page(&other.get(&world, "/desk/sessions").await);
    assert!(!ids.iter().any(|id| theirs.contains(id)));
    for id in &ids {
        assert_eq!(other.post(&world, "/desk/sessions", &[("session", id)]).await.status, 303);
    }
    for visitor in [&first, &second, &third] {
        Visitor::page(&visitor.get(&world, "/desk").await);
    }
    // One that is not this browser's; a second click changes nothing.
    let this = page.find("this browser").unwrap();
    let own = ids.iter().copied().find(|id| page[this..].find(id) < page[this..].find("</tr>")).unwrap();
    let one = ids.iter().copied().find(|id| *id != own).unwrap();
    for _ in 0..2 {
        let ended = first.post(&world, "/desk/sessions", &[("session", one)]).await;
        assert_eq!((ended.status.as_u16(), location(&ended)), (303, "/desk/sessions"));
    }
    let open = [&second, &third];
    let mut still = 0;
    for visitor in open {
        still += u32::from(visitor.get(&world, "/desk").await.status == 200);
    }
    assert_eq!(still, 1);
    // Signing out ends this one, and takes its cookie away.
    let out = first.post(&world, "/desk/sign-out", &[]).await;
    assert_eq!((out.status.as_u16(), location(&out)), (303, "/desk/sign-in"));
    assert!(
        out.headers["set-cookie"].to_str().unwrap().starts_with("__Host-ormantrace=; Path=/; Max-Age=0;")
    );
    assert_eq!(location(&first.get(&world, "/desk").await), "/desk/sign-in");
    // All of them.
    let (fourth, fifth) = (Visitor::of(&world, &inspector).await, Visitor::of(&world, &inspector).await);
    assert_eq!(location(&fourth.post(&world, "/desk/sessions", &[("all", "1")]).await), "/desk/sign-in");
    for visitor in [&second, &third, &fourth, &fifth] {
        assert_eq!(visitor.get(&world, "/desk").await.status, 303);
    }
    Visitor::page(&other.get(&world, "/desk").await);
}

#[tokio::test]
async fn the_database_has_no_secret_and_a_forged_cookie_opens_nothing() {
    let world = World::new().await;
    let inspector = world.inspector().await;
    let visitor = Visitor::of(&world, &inspector).await;
    let secret = visitor.cookie.clone().unwrap();
    let secret = secret.split_once('=').unwrap().1;
    assert_eq!(secret.len(), 43);
    let mut owner = world.owner().await;
    let rows: Vec<(String, Vec<u8>)> =
        sqlx::query_as("SELECT row_to_json(session)::text, secret_hash FROM session")
            .fetch_all(&mut owner)
            .await
            .unwrap();
    assert_eq!(rows.len(), 1);
    assert!(!rows[0].0.contains(secret) && !rows[0].0.contains(&inspector.token));
    let as_cookie = |text: &str| Visitor { cookie: Some(format!("__Host-ormantrace={text}")) };
    let hash = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, &rows[0].1);
    for forged in ["", "x", &"A".repeat(43), &hash, &inspector.token, &format!("{secret}A"), &secret[..42]] {
        assert_eq!(as_cookie(forged).get(&world, "/desk").await.status, 303, "{forged}");
    }
    // The key in a header does not open the desk, and the cookie does not open the API.
    let answer = world.get("/desk", &inspector).await;
    assert_eq!(answer.status, 303);
    let answer = visitor.get(&world, "/v1/me").await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn a_form_of_another_site_is_refused() {
    let mut world = World::new().await;
    let (inspector, visitor) = {
        let inspector = world.inspector().await;
        (inspector.clone(), Visitor::of(&world, &inspector).await)
    };
    let send = async |path: &str, headers: &[(&str, &str)], body: &str| {
        let mut request = visitor
            .request("POST", path)
            .header("host", "127.0.0.1:8080")
            .header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        world.send(request.body(Body::from(body.to_owned())).unwrap()).await
    };
    let key = format!("key={}", inspector.token);
    for path in [
        "/desk/sign-in",
        "/desk/sign-out",
        "/desk/sessions",
        "/desk/codes",
        "/desk/logs/KZ999999999/checks/new",
        "/desk/logs/KZ999999999/holds/new",
        "/desk/logs/KZ999999999/releases/new",
    ] {
        for foreign in [
            &[("origin", "https://evil.kz"), ("sec-fetch-site", "cross-site")][..],
            &[("origin", "https://evil.kz")],
            &[("origin", "null")],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "http://127.0.0.1:8081")],
        ] {
            let answer = send(path, foreign, &key).await;
            assert_eq!(answer.status, 403, "{path} {foreign:?}");
            assert!(answer.headers.get("set-cookie").is_none(), "{path}");
            assert!(answer.text().contains("Not for your organisation"), "{}", answer.text());
        }
    }
    Visitor::page(&visitor.get(&world, "/desk").await);
    // The desk's own page, a program without these headers, and the page behind a proxy that rewrites `Host`.
    for own in [
        &[("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "same-origin")][..],
        &[("origin", "http://127.0.0.1:8080")],
        &[],
    ] {
        assert_eq!(send("/desk/sign-in", own, &key).await.status, 303, "{own:?}");
    }
    let settings =
        LayerSettings { public_url: Some("https://Orman.Example:443".into()), ..LayerSettings::default() };
    world.router = router(world.app.clone(), &settings);
    let request = visitor
        .request("POST", "/desk/sessions")
        .header("host", "10.0.0.7:8080")
        .header("origin", "https://orman.example")
        .header("content-type", "application/x-www-form-urlencoded");
    let answer =
        world.send(request.body(Body::from("session=0197a2c4-5d6e-7f80-9123-456789abcdef")).unwrap()).await;
    assert_eq!(answer.status, 303);
}

#[tokio::test]
async fn a_language_that_was_chosen_stays() {
    let world = World::new().await;
    let inspector = world.inspector().await;
    let visitor = Visitor::of(&world, &inspector).await;
    let answer = visitor.get(&world, "/desk/logs?status=sold&lang=kk").await;
    let page = Visitor::page(&answer);
    assert!(
        page.contains("<html lang=\"kk\">") && page.contains("href=\"?status=sold&#38;lang=ru\""),
        "{page}"
    );
    let set = answer.headers["set-cookie"].to_str().unwrap();
    assert!(
        set.starts_with("__Host-ormantrace-lang=kk; Path=/; Max-Age=31536000; HttpOnly; Secure;"),
        "{set}"
    );
    let chosen = format!("{}; {}", visitor.cookie.as_ref().unwrap(), set.split(';').next().unwrap());
    let visitor = Visitor { cookie: Some(chosen) };
    for path in ["/desk", "/desk/nowhere", "/desk/logs/KZ999999999"] {
        assert!(visitor.get(&world, path).await.text().contains("<html lang=\"kk\">"), "{path}");
    }
    // A language that there is not is ignored.
    let answer = visitor.get(&world, "/desk?lang=de").await;
    assert!(answer.headers.get("set-cookie").is_none() && answer.text().contains("<html lang=\"kk\">"));
}
