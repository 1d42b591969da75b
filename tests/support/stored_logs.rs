//! Puts logs into the database without the API, for tests of reading.

use crate::world::{Org, World};
use ormantrace::base::ids::{HarvestId, KeyId, LineId, LogId, OperationId, TicketId};
use ormantrace::evidence::chain::Tx;
use ormantrace::evidence::chain::append::Personal;
use ormantrace::evidence::chain::bytes::Secret;
use ormantrace::evidence::chain::{Draft, LockedHead, SubjectKind, append, canonical};
use ormantrace::timber::custody::content::{LogBusiness, LogPublic};
use ormantrace::timber::event::parts::{LocalTime, TicketName};
use ormantrace::timber::event::types::LogEventType;
use ormantrace::timber::seal::{Identification, MarkingCode};
use ormantrace::timber::wood::species::{LogKind, MeasurementMethod, Wood};
use uuid::Uuid;

/// A pine log of 6.5 m in the database.
#[derive(Clone, Debug)]
pub struct Timber {
    pub id: LogId,
    pub seal: String,
    pub code: MarkingCode,
}

/// A seal of `holder`, on no log.
pub async fn seal(world: &World, holder: &Org, number: &str) -> MarkingCode {
    let serial = format!("S{}", number.replace('-', ""));
    let code = world
        .app
        .signing_key
        .sign(&Identification::new(ormantrace::timber::seal::Gtin::DEMONSTRATION, &serial).unwrap());
    sqlx::query("INSERT INTO seal (number, identification, marking_code, batch_id, holder_id) VALUES ($1, $2, $3, $4, $5)")
        .bind(number)
        .bind(code.identification_str())
        .bind(code.as_str())
        .bind(Uuid::nil())
        .bind(holder.id)
        .execute(&world.app.pool)
        .await
        .unwrap();
    code
}

/// Puts a log of `holder` into the database with `events` events: one `harvested`, and `stored` for the rest.
pub async fn log(world: &World, issuer: &Org, holder: &Org, number: &str, events: u32) -> Timber {
    let code = seal(world, holder, number).await;
    let (id, ticket, line, now) = (LogId::new(), TicketId::new(), LineId::new(), world.clock.now());
    sqlx::query(
        "INSERT INTO felling_ticket (id, salt, head_seq, head_hash, head_received_at, issuer_id, holder_id, series, number,
             issued_on, felling_kind, forest_category, forest_type, region, forestry, compartment, felling_from, felling_until)
         VALUES ($1, $2, 0, $2, $3, $4, $5, 'АБ', $6, '2026-09-01', 'main', 'III', 'pine', 'KZ-10', 'Бородулиха', '42',
             '2026-09-15', '2026-12-31')",
    )
    .bind(ticket)
    .bind([5_u8; 32].as_slice())
    .bind(now)
    .bind(issuer.id)
    .bind(holder.id)
    .bind(number)
    .execute(&world.app.pool)
    .await
    .unwrap();

    let mut tx = Tx::begin(&world.app.pool).await.unwrap();
    let person = Personal {
        id: OperationId::new().0,
        text: r#"{"name":"Ерлан Оспанов","v":1}"#.into(),
        secret: Secret::random(),
    };
    let person = person.store(&mut tx, holder.id.0, now).await.unwrap();
    let mut head = LockedHead::fresh(SubjectKind::Log, id.0);
    let mut newest = None;
    for seq in 1..=events {
        let first = seq == 1;
        let event_type = if first { LogEventType::Harvested } else { LogEventType::Stored };
        let day = ormantrace::base::units::Moment::parse("2026-10-04T15:00:00+05:00").unwrap();
        let mut public = LogPublic::bare(event_type, LogKind::Log, day.day().day(), "KZ-10".parse().ok());
        let operation = OperationId::new();
        let mut business = LogBusiness::bare(id, LocalTime::of(day), holder.id, KeyId::new(), operation);
        if first {
            public.forestry = Some("Бородулиха".into());
            public.ticket = Some(TicketName { series: "АБ".into(), number: number.into() });
            public.species = "pinus_sylvestris".parse().ok();
            public.length_m = "6.5".parse().ok();
            public.top_diameter_cm = "24".parse().ok();
            public.volume_m3 = "0.36".parse().ok();
            public.seal = number.parse().ok();
            public.identification = Some(code.identification());
            business.wood = Some(Wood::Commercial);
            business.method = Some(MeasurementMethod::Gost2708_75);
            business.line = Some(line);
        }
        let draft = Draft {
            head,
            public: canonical::text(&public),
            business: canonical::text(&business),
            // On every page of a long history.
            personal: (seq % 400 == 1).then(|| std::sync::Arc::clone(&person)),
            event_type: event_type.as_str(),
            organization: holder.id.0,
            operation: operation.0,
            occurred_at: day.instant(),
            region: Some("KZ-10"),
        };
        let new = append(&mut tx, now, vec![draft]).await.unwrap().remove(0);
        newest = Some((new.stored(), new.salt));
        head = new.into_locked();
    }
    let (newest, salt) = newest.expect("at least one event");
    sqlx::query(
        "INSERT INTO log (id, salt, head_seq, head_hash, head_received_at, kind, species, wood, length_m, top_diameter_cm,
             volume_m3, table_volume_m3, measurement_method, felled_on, harvest_id, ticket_id, line_id, issuer_id,
             seal_number, status, holder_id, owner_id, last_type, last_on, last_region, last_occurred_at)
         VALUES ($1, $2, $3, $4, $5, 'log', 'pinus_sylvestris', 'commercial', 6.5, 24, 0.36, 0.36, 'gost_2708_75',
             '2026-10-04', $6, $7, $8, $9, $10, $11, $12, $12, $13, '2026-10-04', 'KZ-10', $5)",
    )
    .bind(id)
    .bind(salt.0.as_slice())
    .bind(newest.seq)
    .bind(newest.hash.0.as_slice())
    .bind(newest.received_at)
    .bind(HarvestId::new())
    .bind(ticket)
    .bind(line)
    .bind(issuer.id)
    .bind(number)
    .bind(if events > 1 { "stored" } else { "at_felling" })
    .bind(holder.id)
    .bind(if events > 1 { "stored" } else { "harvested" })
    .execute(&mut *tx)
    .await
    .unwrap();
    sqlx::query("INSERT INTO log_seal (seal_number, log_id, from_seq) VALUES ($1, $2, 1)")
        .bind(number)
        .bind(id)
        .execute(&mut *tx)
        .await
        .unwrap();
    sqlx::query("UPDATE seal SET status = 'applied', log_id = $2 WHERE number = $1")
        .bind(number)
        .bind(id)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    Timber { id, seal: number.into(), code }
}

/// Changes a log's row without the API. `set` is the SQL after `SET`, in which `$2` stands for the
/// organisation.
pub async fn set(world: &World, timber: &Timber, set: &str, org: &Org) {
    sqlx::query(sqlx::AssertSqlSafe(format!("UPDATE log SET {set} WHERE id = $1 AND $2::uuid IS NOT NULL")))
        .bind(timber.id)
        .bind(org.id)
        .execute(&world.app.pool)
        .await
        .unwrap();
}

/// Percent-encodes every byte but ASCII letters and digits.
pub fn encoded(code: &str) -> String {
    code.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
