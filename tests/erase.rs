//! Erasure removes personal data completely: from the tables, from a dump, and from every file of the
//! private cluster, while a server runs on it; and the chain still verifies.

mod support;

use chrono::{DateTime, Utc};
use ormantrace::base::config::DatabaseSettings;
use ormantrace::base::ids::HarvestId;
use ormantrace::commands::erase::{self, Erased, ErasureTarget, Failure};
use ormantrace::db::{self, Database, Mode};
use ormantrace::evidence::chain::Tx;
use ormantrace::evidence::chain::append::Personal;
use ormantrace::evidence::chain::bytes::{Part, Secret, commit, record, subject_ref};
use ormantrace::evidence::chain::{Draft, Entry, Hash, LockedHead, NewHead, Salt, SubjectKind, append};
use ormantrace::timber::party::bin::Bin;
use ormantrace::timber::party::erasure;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use support::remains::{dump, files_with};
use uuid::Uuid;

const NAME: &str = "Жүнісбеков Ерлан";
const IIN: &str = "850101300006";
const TRADER: &str = "ЖК «Сүлейменова Айгүл»";
const ENTITY: &str = "Жұмабаева Сәуле";
const OTHER: &str = "Ахметов Бауыржан";

fn now() -> DateTime<Utc> {
    "2026-10-05T05:00:00Z".parse().expect("a time")
}

/// A valid BIN or IIN: its first eleven digits (`stem`) and their check digit.
fn number(stem: &str) -> String {
    (0..10).map(|check| format!("{stem}{check}")).find(|text| Bin::parse(text).is_ok()).expect("one is valid")
}

async fn organization(database: &Database, bin: &str, name: &str, kind: &str) -> Uuid {
    let id = HarvestId::new().0;
    sqlx::query(
        "INSERT INTO organization (id, salt, head_seq, head_hash, head_received_at, bin, name, kind, roles, created_at)
         VALUES ($1, $2, 0, $2, $3, $4, $5, $6, '{enterprise}', $3)",
    )
    .bind(id)
    .bind([0_u8; 32].as_slice())
    .bind(now())
    .bind(bin)
    .bind(name)
    .bind(kind)
    .execute(&database.pool)
    .await
    .expect("stored");
    id
}

/// A harvest with one event and a stored response, as the server would leave it.
struct Harvest {
    id: HarvestId,
    log: Uuid,
    head: NewHead,
    personal: Arc<Personal>,
}

/// What stands for the fingerprint of a harvest: 32 bytes that can be searched for.
fn fingerprint(name: &str, iin: &str) -> String {
    format!("{:<20}{iin}", name.len())
}

async fn harvest(database: &Database, organization: Uuid, ticket: Uuid, name: &str, iin: &str) -> Harvest {
    let (id, log, operation) = (HarvestId::new(), HarvestId::new().0, HarvestId::new().0);
    let text = format!(r#"{{"iin":"{iin}","name":"{name}","v":1}}"#);
    let personal = Personal { id: HarvestId::new().0, text, secret: Secret::random() };
    let mut tx = Tx::begin(&database.pool).await.expect("begins");
    let personal = personal.store(&mut tx, organization, now()).await.expect("stored");
    let draft = Draft {
        head: LockedHead::fresh(SubjectKind::Log, log),
        public: r#"{"type":"harvested","v":1}"#.to_owned(),
        business: r#"{"v":1}"#.to_owned(),
        personal: Some(Arc::clone(&personal)),
        event_type: "harvested",
        organization,
        operation,
        occurred_at: now(),
        region: Some("KZ-10"),
    };
    let head = append(&mut tx, now(), vec![draft]).await.expect("appended").remove(0);
    sqlx::query("INSERT INTO harvest VALUES ($1, $2, $3, $4, $5, 1, 0.37, $6)")
        .bind(id)
        .bind(organization)
        .bind(ticket)
        .bind(operation)
        .bind(personal.id)
        .bind(now())
        .execute(&mut *tx)
        .await
        .expect("stored");
    sqlx::query("INSERT INTO operation VALUES ($1, $2, 'harvest', $3, $4, '{1}', $5)")
        .bind(organization)
        .bind(operation)
        .bind(fingerprint(name, iin).as_bytes())
        .bind(vec![log])
        .bind(now())
        .execute(&mut *tx)
        .await
        .expect("stored");
    answer(&mut tx, organization, &format!("harvest-{id}"), &format!("harvest {id}"), "{}").await;
    tx.commit().await.expect("committed");
    Harvest { id, log, head, personal }
}

async fn answer(tx: &mut sqlx::PgConnection, organization: Uuid, key: &str, made: &str, body: &str) {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(body.as_bytes()).expect("memory");
    sqlx::query("INSERT INTO idempotency VALUES ($1, $2, $3, 201, $4, $5, $6, $6)")
        .bind(organization)
        .bind(key)
        .bind([7_u8; 32].as_slice())
        .bind(packed.finish().expect("memory"))
        .bind(made)
        .bind(now())
        .execute(tx)
        .await
        .expect("stored");
}

async fn ticket(database: &Database, owner: Uuid) -> Uuid {
    let id = HarvestId::new().0;
    sqlx::query(
        "INSERT INTO felling_ticket (id, salt, head_seq, head_hash, head_received_at, issuer_id, holder_id, series,
             number, issued_on, felling_kind, forest_category, forest_type, region, forestry, compartment,
             felling_from, felling_until)
         VALUES ($1, $2, 0, $2, $3, $4, $4, 'АБ', '000117', '2026-09-01', 'main', 'ІІ', 'С2', 'KZ-10', 'Бородулиха',
             '41', '2026-09-01', '2026-12-31')",
    )
    .bind(id)
    .bind([0_u8; 32].as_slice())
    .bind(now())
    .bind(owner)
    .execute(&database.pool)
    .await
    .expect("stored");
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_name_is_in_no_file() {
    let data = tempfile::tempdir_in(support::pg::scratch()).expect("a folder");
    let settings = DatabaseSettings::private(data.path());
    let served = db::open(&settings, Mode::Serve, ormantrace::evidence::register::backfill::on_migration)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let clock = ormantrace::base::clock::Clock::held(now());
    let trader_iin = number("91020345055");
    let person_iin = number(&IIN[..11]);
    let owner = organization(&served, &number("04064000200"), "«Семей орманы» МОТР", "legal_entity").await;
    let trader = organization(&served, &trader_iin, TRADER, "sole_trader").await;
    // Earlier versions accepted a person's number for a legal entity.
    let entity_iin = number("88060740012");
    organization(&served, &entity_iin, ENTITY, "legal_entity").await;
    let ticket = ticket(&served, owner).await;
    let first = harvest(&served, owner, ticket, NAME, &person_iin).await;
    let second = harvest(&served, trader, ticket, NAME, &person_iin).await;
    let kept = harvest(&served, owner, ticket, OTHER, &number("79111130033")).await;
    let mut connection = served.pool.acquire().await.expect("connects");
    answer(&mut connection, owner, "ticket-000117", "ticket", &format!(r#"{{"holder":"{TRADER}"}}"#)).await;
    drop(connection);
    // The bytes must have reached the files, or the test would prove nothing.
    let mut maintenance = served.maintenance().await.expect("connects");
    sqlx::query("CHECKPOINT").execute(&mut maintenance).await.expect("done");
    let printed = fingerprint(NAME, &person_iin);
    for word in [NAME, &person_iin, TRADER, &trader_iin, OTHER, &printed, ENTITY, &entity_iin] {
        assert!(!files_with(data.path(), word).is_empty(), "{word}");
    }

    let task = db::open(&settings, Mode::Attach, ormantrace::evidence::register::backfill::on_migration)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let mut owner_role = task.owner().await.expect("connects");
    let target = ErasureTarget::Harvest(first.id);
    let preview = erase::preview(&mut owner_role, &target, &clock).await.expect("listed");
    assert_eq!(preview.erased, Erased { parts: 1, organizations: 0, responses: 1, ..Erased::default() });
    let (part, harvest) = (first.personal.id, first.id);
    let list = [
        format!("personal part {part}: the responsible person of harvest {harvest}, in 1 events"),
        format!("stored response: Idempotency-Key harvest-{harvest} of organisation {owner}"),
    ];
    assert_eq!(preview.lines, list);
    drop(owner_role);
    let erased = erase::erase(&task, &ErasureTarget::Harvest(first.id), &clock).await.expect("erased");
    assert_eq!(erased, Erased { parts: 1, organizations: 0, responses: 1, ..Erased::default() });
    assert!(dump(data.path()).contains(NAME), "the other harvest still has the name");
    let person = ErasureTarget::Iin(Bin::parse(&person_iin).expect("valid"));
    let erased = erase::erase(&task, &person, &clock).await.expect("erased");
    assert_eq!(erased, Erased { parts: 1, organizations: 0, responses: 1, ..Erased::default() });
    let whose = ErasureTarget::Iin(Bin::parse(&trader_iin).expect("valid"));
    let erased = erase::erase(&task, &whose, &clock).await.expect("erased");
    assert_eq!(erased, Erased { parts: 0, organizations: 1, responses: 1, ..Erased::default() });
    assert_eq!(erase::erase(&task, &whose, &clock).await.expect("again"), Erased::default());
    let registered = ErasureTarget::Iin(Bin::parse(&entity_iin).expect("valid"));
    let erased = erase::erase(&task, &registered, &clock).await.expect("erased");
    assert_eq!(erased, Erased { parts: 0, organizations: 1, responses: 0, ..Erased::default() });
    let owned = ErasureTarget::Iin(Bin::parse(&number("04064000200")).expect("valid"));
    assert_eq!(
        erase::erase(&task, &owned, &clock).await.expect("kept"),
        Erased::default(),
        "no person's number"
    );

    let dumped = dump(data.path());
    let erased = [NAME, &person_iin, TRADER, &trader_iin, &printed, ENTITY, &entity_iin];
    for word in erased {
        assert!(!dumped.contains(word), "{word} is in the dump");
        assert_eq!(files_with(data.path(), word), Vec::<PathBuf>::new(), "{word}");
    }
    assert!(dumped.contains(OTHER) && !files_with(data.path(), OTHER).is_empty());
    let fingerprints: i64 = sqlx::query_scalar("SELECT count(fingerprint) FROM operation")
        .fetch_one(&served.pool)
        .await
        .expect("read");
    assert_eq!(fingerprints, 1, "only the fingerprint of the person who was not erased");

    let records: Vec<(Uuid, i32, String)> = sqlx::query_as(
        "SELECT subject_id, seq, business FROM event WHERE type = 'personal_erased' ORDER BY received_at, subject_id",
    )
    .fetch_all(&served.pool)
    .await
    .expect("read");
    assert_eq!(records.len(), 2, "{records:?}");
    for (harvest, recorder) in [(&first, owner), (&second, trader)] {
        let (_, seq, business) = records.iter().find(|record| record.0 == recorder).expect("a record");
        let said = erasure::ErasureBusiness::parse(business).expect("readable");
        let events = erasure::events_digest(&[(harvest.log, 1)]).to_string();
        assert_eq!((*seq, said.events, said.digest, said.personal), (1, 1, events, harvest.personal.id));
    }
    for harvest in [&first, &second, &kept] {
        assert_eq!(recomputed(&served, harvest).await, harvest.head.hash);
    }
    let there: Option<(String,)> = sqlx::query_as("SELECT text FROM personal WHERE id = $1")
        .bind(kept.personal.id)
        .fetch_optional(&served.pool)
        .await
        .expect("read");
    assert_eq!(there.expect("kept").0, kept.personal.text);
    assert!(matches!(
        erase::erase(&task, &ErasureTarget::Harvest(HarvestId::new()), &clock).await,
        Err(Failure::NoHarvest(_))
    ));
    task.close().await;
    served.close().await;
}

/// The hash of the stored event, recomputed from the remaining rows.
async fn recomputed(database: &Database, harvest: &Harvest) -> Hash {
    let row: (String, String, Vec<u8>, Vec<u8>, DateTime<Utc>) = sqlx::query_as(
        "SELECT public, business, secret, personal_commitment, received_at FROM event WHERE subject_id = $1",
    )
    .bind(harvest.log)
    .fetch_one(&database.pool)
    .await
    .expect("there");
    let secret = Secret(row.2.try_into().expect("32 bytes"));
    let public = commit(Part::Public, &secret.salt(Part::Public), &row.0);
    let business = commit(Part::Business, &secret.salt(Part::Business), &row.1);
    let personal = Hash::from_slice(&row.3).expect("32 bytes");
    let salt: &Salt = &harvest.head.salt;
    let subject = subject_ref(SubjectKind::Log, harvest.log, salt);
    Entry::new(subject, 1, row.4, Hash::ZERO, record(public, business, personal)).link()
}
