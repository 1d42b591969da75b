//! Settings that an administrator must not forget: who the operator is, and that the codes on seals are real.

use crate::support::pg::TestDb;
use crate::support::process::{Running, TOKEN, data, post, program};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Ends a server.
fn end(server: Running) {
    server.signal(Signal::TERM);
    server.end();
}

#[test]
fn a_trial_is_announced_at_each_start_and_makes_no_seals() {
    let data = data();
    let start = |more: &[&str]| {
        let mut command = program();
        command.env_remove("ORMANTRACE_ALLOW_DEMONSTRATION_CODES");
        Running::start_by(command, "serve", data.path(), &[&["--operator-token", TOKEN], more].concat())
    };
    let warned = |server: &Running| server.told.iter().any(|line| line.contains("NO SEALS ARE MADE HERE"));
    let order = json!({"holder_bin": "040640000028", "quantity": 1});
    let code = |server: &Running| {
        let (status, body) = post(server.address, "/v1/seal-batches", TOKEN, None, &order);
        let body: Value = serde_json::from_str(&body).expect("JSON");
        (status, body["errors"][0]["code"].as_str().unwrap_or_default().to_owned())
    };
    let operator = ["--operator-name", "РМҚК «Орман таңбалау»", "--operator-bin", "040640000028"];
    let server = start(&operator);
    assert!(warned(&server), "{:?}", server.told);
    assert_eq!(code(&server), (409, "not-configured".to_owned()));
    let (_, me) = server.get("/v1/me", Some(TOKEN));
    let me: Value = serde_json::from_str(&me).expect("JSON");
    assert_eq!(me["organization"]["name"], "РМҚК «Орман таңбалау»");
    assert_eq!(me["organization"]["bin"], "040640000028");
    end(server);
    // A later start does not change the operator, and warns again.
    let server =
        start(&["--gtin", "04870000000012", "--operator-name", "Басқа", "--operator-bin", "140140001009"]);
    assert!(warned(&server), "{:?}", server.told);
    assert!(server.get("/v1/me", Some(TOKEN)).1.contains("РМҚК «Орман таңбалау»"));
    end(server);
    // With real settings the order fails for its holder alone: the operator holds no seals.
    let server = start(&["--gtin", "04870000000012", "--public-url", "https://wood.example", "--no-publish"]);
    assert!(!warned(&server), "{:?}", server.told);
    assert_eq!(code(&server), (422, "not-a-seal-holder".to_owned()));
    end(server);
    let server = start(&["--allow-demonstration-codes"]);
    assert!(!warned(&server), "{:?}", server.told);
    assert_eq!(code(&server), (422, "not-a-seal-holder".to_owned()));
}

/// Organisations from before a rule keep what they have, and each start names them.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_names_organisations_that_supervise_their_own_timber() {
    let given = TestDb::empty().await;
    let url = given.url();
    let start = move || {
        let data = data();
        let server =
            Running::start(data.path(), &["--operator-token", TOKEN, "--database-url", &url, "--no-publish"]);
        let me: Value = serde_json::from_str(&server.get("/v1/me", Some(TOKEN)).1).expect("JSON");
        let id = me["organization"]["id"].as_str().expect("an id").to_owned();
        server.signal(Signal::TERM);
        (id, server.end().1)
    };
    let (id, told) = tokio::task::spawn_blocking(start.clone()).await.expect("no panic");
    assert!(!told.contains("supervise their own timber"), "{told}");
    sqlx::query("UPDATE organization SET roles = '{operator,enterprise}'")
        .execute(&mut given.owner().await)
        .await
        .expect("updated");
    for _ in 0..2 {
        let (_, told) = tokio::task::spawn_blocking(start.clone()).await.expect("no panic");
        let warned = told.lines().find(|line| line.contains("supervise their own timber"));
        assert!(warned.is_some_and(|line| line.contains(&id)), "{told}");
    }
}
