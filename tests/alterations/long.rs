//! Tests of chains that are longer than a page, for each kind of subject: the state that `fsck` carries from
//! page to page, and edits by an insider at the edges of pages.

use crate::beside::sequence;
use crate::insider::{assert_named, log, rehash};
use crate::scene::{Scene, event, post, run};
use ormantrace::commands::erase::{self, ErasureTarget};
use ormantrace::commands::fsck::{self, Code, FsckError, Scope, Snapshots, Step, Watch};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

/// Events per page. Each chain has four pages or more.
const PAGE: i64 = 7;

/// A subject with a long chain.
struct Chain {
    table: &'static str,
    id: Uuid,
    length: i32,
}

/// Creates four chains of at least four pages each, one for each kind of subject. All their events have
/// leaves.
async fn long() -> (Scene, [Chain; 4], Vec<String>) {
    let scene = Scene::new().await;
    let Scene { world, operator, forest_owner, enterprise, sawmill, carrier, inspector, .. } = &scene;

    // The chain of a batch: four of its seals are transferred back and forth, and some seals become void.
    let seals = world.seals(operator, enterprise, 12).await;
    for n in 0..24 {
        let (from, to) = if n % 2 == 0 { (enterprise, sawmill) } else { (sawmill, enterprise) };
        // Two different ranges of seals are transferred by turns, so that the lists of seals in the events
        // end at different numbers.
        let body = json!({"numbers": seals[4 + n % 4 / 2..8 + n % 4 / 2], "to_bin": to.bin});
        post(world, "/v1/seals/transfer", from, body).await;
    }
    for (seal, reason) in [(&seals[5], "spoiled"), (&seals[1], "stolen"), (&seals[11], "lost")] {
        post(world, &format!("/v1/seals/{seal}/void"), enterprise, json!({"reason": reason})).await;
    }

    // The chain of a log: its reversals undo events on earlier pages.
    let logs = &seals[..1];
    let ticket = scene.ticket.to_string();
    post(world, "/v1/harvests", enterprise, crate::world::World::harvest_of(&ticket, logs)).await;
    let seen = async |times: usize| {
        for n in 0..times {
            let note = json!({"details": {"outcome": "match", "note": format!("{}-тексеру", n + 1)}});
            event(world, inspector, "inspected", logs, note).await;
        }
    };
    let undo = async |by, seq: u32| {
        let body = json!({"corrects": seq, "reason": "Қате басылды", "reverse": true});
        event(world, by, "corrected", logs, body).await;
    };
    let yard = json!({"place": {"name": "Жоғарғы қойма", "region": "KZ-10", "kind": "storage"}});
    event(world, enterprise, "stored", logs, yard).await;
    let right = json!({"corrects": 1, "reason": "Қайта өлшенді", "set": {"volume_m3": 0.31}});
    event(world, inspector, "corrected", logs, right).await;
    seen(5).await;
    let vehicle = json!({"carrier_bin": carrier.bin, "vehicle": "418 KZA 10"});
    event(world, enterprise, "loaded", logs, vehicle).await; // 9
    seen(9).await;
    event(world, enterprise, "lost", logs, json!({})).await; // 19
    seen(1).await;
    undo(enterprise, 19).await; // 21, the last of its page
    undo(inspector, 9).await; // 22, the first of its page
    let right = json!({"corrects": 1, "reason": "Қабықсыз өлшенді", "set": {"volume_m3": 0.3}});
    event(world, inspector, "corrected", logs, right).await;
    event(world, enterprise, "transferred", logs, json!({"to_bin": sawmill.bin})).await; // 24
    event(world, sawmill, "accepted", logs, json!({})).await; // 25
    seen(4).await;
    undo(inspector, 25).await; // 30
    undo(enterprise, 24).await; // 31
    seen(2).await;
    event(world, enterprise, "loaded", logs, json!({"carrier_bin": carrier.bin, "vehicle": "418 KZA 10"}))
        .await;
    seen(3).await;

    // The chain of an organisation: keys are created and revoked, and persons are erased.
    for n in 0..12 {
        let path = format!("/v1/organizations/{}/keys", enterprise.id);
        let key = post(world, &path, operator, json!({"label": format!("{n}-планшет")})).await;
        if n % 3 == 0 {
            let path = format!("/v1/keys/{}", key["id"].as_str().unwrap());
            let gone =
                world.call(axum::http::Method::DELETE, &path, Some(&operator.token), json!(null)).await;
            gone.expect(204);
        }
    }
    for seal in &seals[2..4] {
        let body = crate::world::World::harvest_of(&ticket, std::slice::from_ref(seal));
        let harvest = post(world, "/v1/harvests", enterprise, body).await;
        let whose = ErasureTarget::Harvest(harvest["id"].as_str().unwrap().parse().unwrap());
        erase::delete(&mut world.owner().await, &whose, &world.clock).await.unwrap();
    }
    for n in 0..10 {
        let path = format!("/v1/organizations/{}/keys", enterprise.id);
        post(world, &path, operator, json!({"label": format!("{n}-телефон")})).await;
    }

    // A felling ticket.
    for n in 1..=28 {
        let body = json!({
            "felling_until": format!("2027-02-{n:02}"), "removal_until": format!("2027-05-{n:02}"), "reason": "Жауын"
        });
        post(world, &format!("/v1/felling-tickets/{ticket}/extend"), forest_owner, body).await;
    }
    sequence(&scene).await;

    let mut db = world.owner().await;
    let log = log(&mut db, &seals[0]).await;
    let batch: Uuid = sqlx::query_scalar("SELECT batch_id FROM seal WHERE number = $1")
        .bind(&seals[0])
        .fetch_one(&mut db)
        .await
        .unwrap();
    let mut chains = [
        ("log", log),
        ("felling_ticket", scene.ticket),
        ("seal_batch", batch),
        ("organization", enterprise.id.0),
    ]
    .map(|(table, id)| Chain { table, id, length: 0 });
    for chain in &mut chains {
        let sql = "SELECT max(seq) FROM event WHERE subject_id = $1";
        chain.length = sqlx::query_scalar(sql).bind(chain.id).fetch_one(&mut db).await.unwrap();
        assert!(i64::from(chain.length) > 3 * PAGE, "{}: {} events", chain.table, chain.length);
    }
    (scene, chains, seals)
}

/// The seqs of the events to alter: the first and last event of each page (but not event 1), one in the
/// middle of a page, and the last two events of the chain.
fn places(chain: &Chain) -> impl Iterator<Item = i32> + use<> {
    let page = i32::try_from(PAGE).unwrap();
    let length = chain.length;
    (2..=length).filter(move |seq| seq % page < 2 || *seq == 11 || *seq >= length - 1)
}

fn told(found: &[FsckError]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n    ")
}

/// Counts the pages of events, and records the largest number of events in one.
#[derive(Default)]
struct Most {
    found: Vec<FsckError>,
    pages: u64,
    events: u64,
    done: u64,
}

impl Watch for Most {
    fn found(&mut self, finding: FsckError) {
        self.found.push(finding);
    }

    fn progress(&mut self, step: Step) {
        if step.pass == "events" {
            self.events = self.events.max(step.done - self.done);
            (self.pages, self.done) = (self.pages + 1, step.done);
        }
    }
}

#[tokio::test]
async fn honest_long_chains_have_no_findings_wherever_their_pages_end() {
    let (scene, ..) = long().await;
    let mut db = scene.world.owner().await;
    for rows in [1, 2, 3, 4, 5, 6, 7, 8, 11, 29, 4_000] {
        let scope = Scope { snapshots: Snapshots::Short, rows, published: Some(scene.published.clone()) };
        let mut most = Most::default();
        fsck::check(&mut db, &scope, &mut most).await.unwrap();
        assert!(most.found.is_empty(), "{rows} rows a page: {}", told(&most.found));
        // No page has more events than `rows`, however long the chains are.
        let rows = u64::try_from(rows).unwrap();
        assert!(most.events <= rows, "{} events in one of {} pages of {rows}", most.events, most.pages);
    }
}

/// SQL by which an insider edits one event, and the codes of the fsck errors that name this event.
const EDITS: [(&str, &[Code]); 6] = [
    (
        "UPDATE event SET business = regexp_replace(business, ':', ': ') WHERE subject_id = $s AND seq = $n",
        &[Code::EventAltered],
    ),
    (
        "UPDATE event SET received_at = received_at - interval '1 microsecond' WHERE subject_id = $s AND seq = $n",
        &[Code::EventAltered],
    ),
    (
        "UPDATE event SET hash = set_byte(hash, 31, get_byte(hash, 31) # 1) WHERE subject_id = $s AND seq = $n",
        &[Code::EventAltered],
    ),
    ("DELETE FROM event WHERE subject_id = $s AND seq = $n", &[Code::EventMissing]),
    ("DELETE FROM leaf WHERE subject_id = $s AND seq = $n", &[Code::LeafMissing]),
    (
        "UPDATE leaf SET entry = set_byte(entry, 112, get_byte(entry, 112) # 1) WHERE subject_id = $s AND seq = $n",
        &[Code::LeafDiffers],
    ),
];

/// SQL that inserts a copy of an event directly after it, and moves each later event to the next seq.
const DOUBLED: &str = "UPDATE event SET seq = -seq WHERE subject_id = $s AND seq > $n;
    UPDATE event SET seq = 1 - seq WHERE subject_id = $s AND seq < 0;
    INSERT INTO event SELECT subject_id, seq + 1, subject_kind, received_at, hash, secret, public, business,
        personal_commitment, personal_id, type, organization_id, operation_id, occurred_at, region
    FROM event WHERE subject_id = $s AND seq = $n";

async fn edit(db: &mut PgConnection, sql: &str, subject: Uuid, seq: i32) {
    let sql = sql.replace("$s", &format!("'{subject}'")).replace("$n", &seq.to_string());
    assert!(run(db, &sql).await > 0, "{sql}");
}

#[tokio::test]
async fn an_event_altered_lost_or_doubled_at_the_edge_of_a_page_is_named() {
    let (scene, chains, _) = long().await;
    let mut db = scene.insider().await;
    let found = async |db: &mut PgConnection| Scene::found_by(db, PAGE, Some(scene.published.clone())).await;
    assert_eq!(found(&mut db).await, []);
    for chain in &chains {
        // One part of `fsck` names the events of all kinds of subjects, so only the chain of a log gets all
        // edits.
        let edits = if chain.table == "log" { &EDITS[..] } else { &EDITS[3..5] };
        for seq in places(chain) {
            for (sql, codes) in edits {
                run(&mut db, "SAVEPOINT unaltered").await;
                edit(&mut db, sql, chain.id, seq).await;
                let all = found(&mut db).await;
                for code in *codes {
                    assert_named(&all, *code, (chain.id, seq));
                }
                // No other event is reported as altered.
                let others = all.iter().filter(|finding| {
                    matches!(finding.code, Code::EventAltered | Code::EventMissing | Code::LeafDiffers)
                        && finding.event != Some((chain.id, seq))
                });
                let others: Vec<String> = others.map(ToString::to_string).collect();
                assert!(others.is_empty(), "{sql} {}/{seq}: {others:#?}", chain.table);
                run(&mut db, "ROLLBACK TO unaltered").await;
            }
            run(&mut db, "SAVEPOINT unaltered").await;
            edit(&mut db, DOUBLED, chain.id, seq).await;
            let code = if seq == chain.length { Code::LeafMissing } else { Code::LeafDiffers };
            let all = found(&mut db).await;
            assert_named(&all, Code::EventAltered, (chain.id, seq + 1));
            assert!(all.iter().any(|finding| finding.code == code), "{}", told(&all));
            run(&mut db, "ROLLBACK TO unaltered").await;
        }
    }
    assert_eq!(found(&mut db).await, [], "every edit was rolled back");
}

#[tokio::test]
async fn an_event_invented_at_the_edge_of_a_page_is_named() {
    let (scene, chains, _) = long().await;
    let mut db = scene.insider().await;
    let chain = &chains[0];
    for seq in places(chain) {
        run(&mut db, "SAVEPOINT unaltered").await;
        edit(&mut db, DOUBLED, chain.id, seq).await;
        // The chain is consistent again, including its head; only the register contradicts it.
        rehash(&mut db, chain.id, seq + 1, false).await;
        let all = Scene::found_by(&mut db, PAGE, Some(scene.published.clone())).await;
        assert!(all.iter().all(|finding| finding.code != Code::EventAltered), "{}", told(&all));
        let code = if seq == chain.length { Code::LeafMissing } else { Code::LeafDiffers };
        assert_named(&all, code, (chain.id, seq + 1));
        run(&mut db, "ROLLBACK TO unaltered").await;
    }
}

#[tokio::test]
async fn present_state_is_compared_with_every_page_of_a_long_chain() {
    let (scene, chains, seals) = long().await;
    let mut db = scene.insider().await;
    let [log, ticket, batch, organization] = chains.each_ref().map(|chain| chain.id);
    let edits = [
        (format!("UPDATE log SET status = 'lost' WHERE id = '{log}'"), "log", log.to_string()),
        (format!("UPDATE log SET volume_m3 = 0.33 WHERE id = '{log}'"), "log", log.to_string()),
        (format!("UPDATE log SET head_seq = {PAGE} WHERE id = '{log}'"), "log", log.to_string()),
        (
            format!(
                "UPDATE log SET salt = harvest.s FROM (SELECT sha256('қарағай'::bytea) AS s) harvest WHERE id = '{log}'"
            ),
            "log",
            log.to_string(),
        ),
        (format!("DELETE FROM log WHERE id = '{log}'"), "log", log.to_string()),
        (format!("DELETE FROM log_seal WHERE log_id = '{log}'"), "log_seal", seals[0].clone()),
        (format!("DELETE FROM past_party WHERE log_id = '{log}'"), "past_party", log.to_string()),
        (
            format!("UPDATE felling_ticket SET felling_until = '2027-02-27' WHERE id = '{ticket}'"),
            "felling_ticket",
            ticket.to_string(),
        ),
        (
            format!("UPDATE felling_ticket SET cancelled_at = now() WHERE id = '{ticket}'"),
            "felling_ticket",
            ticket.to_string(),
        ),
        (
            format!("UPDATE seal_batch SET quantity = 11 WHERE id = '{batch}'"),
            "seal_batch",
            batch.to_string(),
        ),
        (
            format!("UPDATE organization SET name = 'ТОО «Басқа»' WHERE id = '{organization}'"),
            "organization",
            organization.to_string(),
        ),
    ];
    for (sql, table, key) in edits {
        run(&mut db, "SAVEPOINT unaltered").await;
        assert!(run(&mut db, &sql).await > 0, "{sql}");
        let all = Scene::found_by(&mut db, PAGE, Some(scene.published.clone())).await;
        let named = |finding: &FsckError| finding.table == table && finding.key.contains(&key);
        assert!(all.iter().any(named), "{sql}: {}", told(&all));
        run(&mut db, "ROLLBACK TO unaltered").await;
    }
    // Every key of the organisation is compared, revoked or not, on whichever page its event is.
    let sql = "SELECT id FROM api_key WHERE organization_id = $1";
    let keys: Vec<Uuid> = sqlx::query_scalar(sql).bind(organization).fetch_all(&mut db).await.unwrap();
    assert!(keys.len() > 20);
    for key in keys {
        for change in ["DELETE FROM api_key", "UPDATE api_key SET revoked_at = '2026-10-06T00:00:00Z'"] {
            run(&mut db, "SAVEPOINT unaltered").await;
            run(&mut db, &format!("{change} WHERE id = '{key}'")).await;
            let all = Scene::found_by(&mut db, PAGE, Some(scene.published.clone())).await;
            assert!(
                all.iter().any(|finding| finding.key == key.to_string()),
                "{change} {key}: {}",
                told(&all)
            );
            run(&mut db, "ROLLBACK TO unaltered").await;
        }
    }
}

#[tokio::test]
async fn seals_of_a_long_batch_are_compared_with_each_of_its_events() {
    let (scene, chains, seals) = long().await;
    let mut db = scene.insider().await;
    let batch = chains[2].id;
    let moves: Vec<(String, i32)> =
        sqlx::query_as("SELECT number, seq FROM seal_move WHERE batch_id = $1 ORDER BY number, seq")
            .bind(batch)
            .fetch_all(&mut db)
            .await
            .unwrap();
    assert!(moves.len() > 90, "{} moves", moves.len());
    // Deletes the first and last rows of pages (a page holds twice as many rows of seal moves as events), and
    // some rows in between.
    let page = usize::try_from(2 * PAGE).unwrap();
    let mut edits: Vec<(&str, String)> = Vec::new();
    for (place, (number, seq)) in moves.iter().enumerate() {
        if [0, 1, 5, page - 1].contains(&(place % page)) {
            let sql = format!("DELETE FROM seal_move WHERE number = '{number}' AND seq = {seq}");
            edits.push((number, sql));
        }
    }
    for seal in &seals {
        // The insider adds the seal to the list of an event that does not have it.
        for seq in [1, 2, 3, 25, 28] {
            if !moves.contains(&(seal.clone(), seq)) {
                edits.push((seal, format!("INSERT INTO seal_move VALUES ('{seal}', '{batch}', {seq})")));
            }
        }
    }
    for seal in [&seals[0], &seals[1], &seals[5], &seals[11]] {
        let holder = format!("UPDATE seal SET holder_id = '{}' WHERE number = '{seal}'", scene.carrier.id);
        let code = format!("UPDATE seal SET marking_code = identification WHERE number = '{seal}'");
        edits.extend(
            [holder, code, format!("DELETE FROM seal WHERE number = '{seal}'")].map(|sql| (&**seal, sql)),
        );
    }
    // The insider deletes all rows of a transfer and of the transfer back, as if the seals had never moved.
    // Only the two events still show these transfers, on whichever pages of the chain they are.
    for (there, back) in [(2, 3), (14, 15), (24, 25)] {
        run(&mut db, "SAVEPOINT unaltered").await;
        let sql = format!("DELETE FROM seal_move WHERE batch_id = '{batch}' AND seq IN ({there}, {back})");
        assert_eq!(run(&mut db, &sql).await, 8);
        let all = Scene::found_by(&mut db, PAGE, Some(scene.published.clone())).await;
        let events: Vec<_> = all.iter().map(|finding| (finding.table, finding.event)).collect();
        assert_eq!(events, [there, back].map(|seq| ("seal_move", Some((batch, seq)))), "{}", told(&all));
        run(&mut db, "ROLLBACK TO unaltered").await;
    }
    for (number, sql) in edits {
        run(&mut db, "SAVEPOINT unaltered").await;
        assert_eq!(run(&mut db, &sql).await, 1, "{sql}");
        let all = Scene::found_by(&mut db, PAGE, Some(scene.published.clone())).await;
        let named = |finding: &FsckError| {
            let of_batch = finding.event.is_some_and(|(subject, _)| subject == batch);
            ["seal", "seal_move"].contains(&finding.table) && (of_batch || finding.key.contains(number))
        };
        assert!(all.iter().any(named), "{sql}: {}", told(&all));
        run(&mut db, "ROLLBACK TO unaltered").await;
    }
}

#[tokio::test]
async fn a_marking_key_in_use_is_missed() {
    let (scene, chains, seals) = long().await;
    let mut db = scene.insider().await;
    assert_eq!(run(&mut db, "DELETE FROM marking_key").await, 2);
    let key = scene.world.app.signing_key.id().to_string();
    let batch = chains[2].id;
    let missed = |all: &[FsckError]| {
        let missed =
            |finding: &&FsckError| finding.table == "marking_key" && finding.event == Some((batch, 1));
        let missed = all.iter().find(missed).unwrap_or_else(|| panic!("{}", told(all)));
        assert_eq!((missed.code, &missed.key), (Code::RowMissing, &key));
    };
    let all = Scene::found_by(&mut db, PAGE, None).await;
    missed(&all);
    assert!(all.iter().all(|finding| finding.table == "marking_key"), "{}", told(&all));
    // A marking code is still checked with the key that the batch's first event names: a code signed with
    // another key is an error, even if that key is in the table `marking_key`.
    let other = ormantrace::timber::seal::signing::SigningKey::from_seed(&[8; 32]);
    let identification: String = sqlx::query_scalar("SELECT identification FROM seal WHERE number = $1")
        .bind(&seals[6])
        .fetch_one(&mut db)
        .await
        .unwrap();
    let code = other.sign(&ormantrace::timber::seal::Identification::parse(&identification).unwrap());
    sqlx::query("INSERT INTO marking_key VALUES ($1, $2, now())")
        .bind(other.id().as_str())
        .bind(other.public_key().as_slice())
        .execute(&mut db)
        .await
        .unwrap();
    sqlx::query("UPDATE seal SET marking_code = $2 WHERE number = $1")
        .bind(&seals[6])
        .bind(code.as_str())
        .execute(&mut db)
        .await
        .unwrap();
    let all = Scene::found_by(&mut db, PAGE, None).await;
    missed(&all);
    assert!(all.iter().any(|finding| finding.table == "seal" && finding.key == seals[6]), "{}", told(&all));
}
