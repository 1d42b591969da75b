//! What an inspector records: checks, stops, releases.

use super::{Visitor, hidden, location};
use crate::world::{Felled, World};
use serde_json::{Value, json};

struct Roadside {
    world: World,
    felled: Felled,
    road: Visitor,
    number: String,
}

impl Roadside {
    async fn new() -> Self {
        let world = World::new().await;
        let felled = world.felled(1).await;
        world.later(120);
        let (road, number) = (Visitor::of(&world, &felled.inspector).await, felled.logs[0].clone());
        Self { world, felled, road, number }
    }

    fn path(&self, what: &str) -> String {
        format!("/desk/logs/{}/{what}/new", self.number)
    }

    /// The operation id of a form that is shown now.
    async fn operation(&self, what: &str) -> String {
        hidden(&Visitor::page(&self.road.get(&self.world, &self.path(what)).await), "operation_id")
    }

    async fn send(&self, what: &str, fields: &[(&str, &str)]) -> crate::world::Answer {
        self.road.post(&self.world, &self.path(what), fields).await
    }

    async fn events(&self) -> Vec<Value> {
        let history =
            self.world.get(&format!("/v1/logs/{}/history", self.number), &self.felled.inspector).await;
        history.expect(200)["events"].as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn a_check_is_recorded_as_the_api_records_it() {
    let scene = Roadside::new().await;
    let operation = scene.operation("checks").await;
    let fields = [
        ("operation_id", operation.as_str()),
        ("outcome", "mismatch"),
        ("species", "betula_pendula"),
        ("length", "5,90"),
        ("diameter", " 31,5 "),
        ("hold", ""),
        ("note", "Қайың\u{200b} тұр"),
        ("place", "Бекет №3"),
        ("region", "KZ-10"),
        ("position", "50,4111 80,2275"),
        ("occurred_at", "2026-10-05T11:30"),
    ];
    let answer = scene.send("checks", &fields).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(location(&answer), format!("/desk/logs/{}?done=inspected", scene.number));
    // The second click of a double click, from another tab too.
    assert_eq!(scene.send("checks", &fields).await.status, 303);
    let page = Visitor::page(&scene.road.get(&scene.world, location(&answer)).await);
    assert!(page.contains("The check is recorded.") && page.contains("Қайың тұр"), "{page}");
    let events = scene.events().await;
    let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["harvested", "inspected", "detained"]);
    let event = &events[1];
    assert_eq!(event["operation_id"], operation.as_str());
    assert_eq!(event["occurred_at"], "2026-10-05T06:30:00.000000Z");
    assert_eq!(event["place"], json!({"name": "Бекет №3", "region": "KZ-10"}));
    assert_eq!(event["position"], json!({"lat": 50.4111, "lon": 80.2275}));
    assert_eq!(
        event["details"]["observed"],
        json!({"species": "betula_pendula", "length_m": 5.9, "top_diameter_cm": 31.5})
    );
    assert_eq!(event["organization"]["id"], scene.felled.inspector.id.to_string());
    assert_eq!(scene.world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn two_clicks_at_once_record_once() {
    let scene = Roadside::new().await;
    let operation = scene.operation("checks").await;
    let fields = [
        ("operation_id", operation.as_str()),
        ("outcome", "seal_missing"),
        ("occurred_at", "2026-10-05T11:30"),
    ];
    let clicks = (0..6).map(|_| scene.send("checks", &fields));
    let answers = futures_util::future::join_all(clicks).await;
    // A click while the first one is running gets that answer, and may be sent again.
    assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 303 | 409)), "{answers:?}");
    assert!(answers.iter().any(|answer| answer.status == 303));
    assert_eq!(scene.events().await.len(), 3);
}

#[tokio::test]
async fn a_refused_form_keeps_what_was_entered_and_says_where_it_is_wrong() {
    let scene = Roadside::new().await;
    let operation = scene.operation("checks").await;
    let fields = [
        ("operation_id", operation.as_str()),
        ("species", "baobab"),
        ("length", "six \"metres\""),
        ("diameter", "0,5"),
        ("note", &"ж".repeat(151)),
        ("position", "Semey"),
        ("occurred_at", "2036-10-05T11:30"),
    ];
    let answer = scene.send("checks", &fields).await;
    let page = answer.text();
    assert_eq!(answer.status, 422, "{page}");
    assert!(page.contains(&format!("<title>Error: {}: Record a check", scene.number)), "{page}");
    for (field, words) in [
        ("outcome", "Choose the result of the check."),
        ("species", "Choose a species from the list."),
        ("length", "The length is a number from 0.01 to 30 with at most two decimals."),
        ("diameter", "The diameter is a number from 1 to 300 with at most one decimal."),
        ("note", "The text is too long."),
        ("position", "Give latitude and longitude in degrees, such as 50.4111, 80.2275."),
    ] {
        assert_eq!(page.matches(words).count(), 2, "{field}: {page}");
        assert!(page.contains(&format!("<a href=\"#{field}\">{words}</a>")), "{field}: {page}");
        assert!(page.contains(&format!("id=\"{field}-problem\"")), "{field}");
    }
    assert!(page.contains("value=\"six &#34;metres&#34;\"") && page.contains(&"ж".repeat(151)), "{page}");
    assert!(page.contains("role=\"alert\" tabindex=\"-1\" autofocus"), "{page}");
    // The same operation: nothing was recorded under it.
    assert_eq!(hidden(&page, "operation_id"), operation);
    assert_eq!(scene.events().await.len(), 1);
    // A time in the future alone.
    let fields =
        [("operation_id", operation.as_str()), ("outcome", "match"), ("occurred_at", "2036-10-05T11:30")];
    let page = scene.send("checks", &fields).await.text();
    assert!(page.contains("href=\"#occurred_at\""), "{page}");
    // Another content under an id that was used: a new id, and a hint to look first.
    let fields =
        [("operation_id", operation.as_str()), ("outcome", "match"), ("occurred_at", "2026-10-05T11:30")];
    assert_eq!(scene.send("checks", &fields).await.status, 303);
    let other =
        [("operation_id", operation.as_str()), ("outcome", "mismatch"), ("occurred_at", "2026-10-05T11:30")];
    let answer = scene.send("checks", &other).await;
    assert_eq!(answer.status, 409);
    assert!(answer.text().contains("This form was sent before with other content."), "{}", answer.text());
    assert_ne!(hidden(&answer.text(), "operation_id"), operation);
}

#[tokio::test]
async fn a_log_is_stopped_and_released_with_a_reason() {
    let scene = Roadside::new().await;
    let path = format!("/desk/logs/{}", scene.number);
    assert!(!Visitor::page(&scene.road.get(&scene.world, &path).await).contains("Release the log"));
    let operation = scene.operation("holds").await;
    let none = [("operation_id", operation.as_str()), ("occurred_at", "2026-10-05T11:30"), ("act", "17")];
    let answer = scene.send("holds", &none).await;
    assert_eq!(answer.status, 422);
    assert!(
        answer.text().contains("href=\"#reason\">Give the reason in at most 150 characters."),
        "{}",
        answer.text()
    );
    assert!(answer.text().contains("href=\"#act_date\""), "{}", answer.text());
    let fields = [
        ("operation_id", operation.as_str()),
        ("reason", "Жүкқұжат жоқ"),
        ("act", "17"),
        ("act_date", "2026-10-05"),
        ("occurred_at", "2026-10-05T11:30"),
    ];
    let answer = scene.send("holds", &fields).await;
    assert_eq!(location(&answer), format!("{path}?done=detained"), "{}", answer.text());
    let page = Visitor::page(&scene.road.get(&scene.world, location(&answer)).await);
    for told in ["The log is stopped.", "Reason: Жүкқұжат жоқ", "№ 17, 5", "Release the log", "! Stopped"]
    {
        assert!(page.contains(told), "{told}: {page}");
    }
    let operation = scene.operation("releases").await;
    let fields = [
        ("operation_id", operation.as_str()),
        ("reason", "Құжат көрсетілді"),
        ("occurred_at", "2026-10-05T11:45"),
    ];
    let answer = scene.send("releases", &fields).await;
    assert_eq!(location(&answer), format!("{path}?done=released"), "{}", answer.text());
    // There is no hold any more.
    let operation = scene.operation("releases").await;
    let again =
        [("operation_id", operation.as_str()), ("reason", "Тағы"), ("occurred_at", "2026-10-05T11:50")];
    let answer = scene.send("releases", &again).await;
    assert_eq!(answer.status, 409);
    assert!(answer.text().contains("the log has no hold of its own"), "{}", answer.text());
    assert_eq!(scene.world.unsound().await, [""; 0]);
}

#[tokio::test]
async fn void_seals_and_closed_logs_are_checked_with_a_warning() {
    let scene = Roadside::new().await;
    let world = &scene.world;
    let void = format!("/v1/seals/{}/void", scene.number);
    world.post(&void, &scene.felled.enterprise, json!({"reason": "spoiled"})).await.expect(200);
    let form = Visitor::page(&scene.road.get(world, &scene.path("checks")).await);
    assert!(form.contains("The seal of this log is void."), "{form}");
    let lost = json!({"document": {"kind": "act", "number": "3"}});
    world.event(&scene.felled.enterprise, "lost", &scene.felled.logs, lost).await.expect(201);
    let form = Visitor::page(&scene.road.get(world, &scene.path("checks")).await);
    assert!(
        form.contains("This log has left circulation: Reported lost")
            || form.contains("This log has left circulation: Lost"),
        "{form}"
    );
    let operation = hidden(&form, "operation_id");
    let fields = [
        ("operation_id", operation.as_str()),
        ("outcome", "seal_damaged"),
        ("occurred_at", "2026-10-05T12:00"),
    ];
    assert_eq!(scene.send("checks", &fields).await.status, 303);
}

#[tokio::test]
async fn no_inspectorate_releases_in_its_own_case() {
    let world = World::new().await;
    let felled = world.felled(1).await;
    let carried = world.organization(31, "Инспекция көлігі", &["inspector", "carrier"]).await;
    let loaded = json!({"carrier_bin": carried.bin, "vehicle": "777 AAA 16"});
    world.event(&felled.enterprise, "loaded", &felled.logs, loaded).await.expect(201);
    let reason = json!({"details": {"reason": "Құжат жоқ"}});
    world.event(&felled.inspector, "detained", &felled.logs, reason).await.expect(201);
    let own = Visitor::of(&world, &carried).await;
    let path = format!("/desk/logs/{}/releases/new", felled.logs[0]);
    let operation = hidden(&Visitor::page(&own.get(&world, &path).await), "operation_id");
    let fields =
        [("operation_id", operation.as_str()), ("reason", "Рұқсат"), ("occurred_at", "2026-10-05T10:00")];
    let answer = own.post(&world, &path, &fields).await;
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("another inspectorate decides"), "{}", answer.text());
}

#[tokio::test]
async fn a_form_sent_after_the_session_ended_is_not_recorded() {
    let scene = Roadside::new().await;
    let operation = scene.operation("checks").await;
    scene.world.later(9 * 60);
    let fields =
        [("operation_id", operation.as_str()), ("outcome", "match"), ("occurred_at", "2026-10-05T11:30")];
    let answer = scene.send("checks", &fields).await;
    assert_eq!((answer.status.as_u16(), location(&answer)), (303, "/desk/sign-in?ended=1"));
    let page = Visitor::page(&Visitor::default().get(&scene.world, location(&answer)).await);
    assert!(page.contains("Your session has ended, and what you sent was not recorded."), "{page}");
    assert_eq!(scene.events().await.len(), 1);
}
