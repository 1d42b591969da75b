//! Checks samples of the responses: compares them with rows read by SQL, and recomputes their chains.

use super::timber::{EVENTS, log_id, seal_number};
use crate::chain::{ChainEvent, Revealed, chain_errors};
use chrono::{DateTime, Utc};
use ormantrace::evidence::chain::bytes::{Hash, Salt};
use serde_json::Value;
use sqlx::{PgPool, Row as _};
use std::error::Error;

type Failure = Box<dyn Error + Send + Sync>;

/// Compares the response of a public check with the rows in the database.
///
/// # Errors
/// The first difference.
pub async fn verification(pool: &PgPool, log: u64, body: &[u8]) -> Result<(), Failure> {
    let answer: Value = serde_json::from_slice(body)?;
    let number = seal_number(log);
    let row = sqlx::query(
        "SELECT l.species, l.volume_m3::float8, l.felled_on::text, t.series || ' ' || t.number, l.status,
                l.last_type, l.last_on::text, t.region, o.name
         FROM seal s JOIN log l ON l.id = s.log_id JOIN felling_ticket t ON t.id = l.ticket_id
         JOIN organization o ON o.id = l.holder_id WHERE s.number = $1",
    )
    .bind(&number)
    .fetch_one(pool)
    .await?;
    let told = &answer["log"];
    let text = |at: usize| row.try_get::<String, _>(at);
    for (what, said, stored) in [
        ("verdict", &answer["verdict"], Value::from("valid")),
        ("seal", &answer["seal_number"], number.clone().into()),
        ("species", &told["species"], text(0)?.into()),
        ("volume", &told["volume_m3"], row.try_get::<f64, _>(1)?.into()),
        ("day of felling", &told["felled_on"], text(2)?.into()),
        ("ticket", &told["felling_ticket"], text(3)?.into()),
        ("status", &told["status"], text(4)?.into()),
        ("last event", &told["last_event"]["type"], text(5)?.into()),
        ("last day", &told["last_event"]["on"], text(6)?.into()),
        ("region", &told["origin"]["region"]["code"], text(7)?.into()),
        ("holder", &told["holder_name"], text(8)?.into()),
    ] {
        if *said != stored {
            return Err(format!("{number}: {what} is {said}, and stored is {stored}").into());
        }
    }
    Ok(())
}

/// Compares a history with the rows in the database, and recomputes its chain from the response alone.
///
/// # Errors
/// The first difference, or the error in the chain.
pub async fn history(pool: &PgPool, log: u64, body: &[u8]) -> Result<(), Failure> {
    let answer: Value = serde_json::from_slice(body)?;
    let events = same_events(pool, log, &answer, true).await?;
    let shown = events.iter().map(as_shown).collect::<Result<Vec<_>, _>>()?;
    let errors = chain_errors(&shown);
    if errors.is_empty() { Ok(()) } else { Err(format!("{}: {errors:?}", log_id(log)).into()) }
}

/// Compares a history without evidence with the rows in the database.
///
/// # Errors
/// The first difference.
pub async fn bare_history(pool: &PgPool, log: u64, body: &[u8]) -> Result<(), Failure> {
    let answer: Value = serde_json::from_slice(body)?;
    let events = same_events(pool, log, &answer, false).await?;
    if events.iter().any(|event| event.get("entry").is_some() || event.get("parts").is_some()) {
        return Err(format!("{}: there is evidence in a history without it", log_id(log)).into());
    }
    Ok(())
}

/// Returns the events of a history, after checking that they are the stored events.
async fn same_events<'a>(
    pool: &PgPool,
    log: u64,
    answer: &'a Value,
    texts: bool,
) -> Result<&'a [Value], Failure> {
    let id = log_id(log);
    let stored = sqlx::query("SELECT seq, hash, public FROM event WHERE subject_id = $1 ORDER BY seq")
        .bind(id.0)
        .fetch_all(pool)
        .await?;
    let events = answer["events"].as_array().ok_or("no events")?;
    if answer["log"]["id"] != id.to_string()
        || events.len() != stored.len()
        || events.len() < usize::try_from(EVENTS)?
    {
        return Err(format!("{id}: {} events, and stored are {}", events.len(), stored.len()).into());
    }
    for (event, row) in events.iter().zip(&stored) {
        let hash = hex::encode(row.try_get::<&[u8], _>("hash")?);
        if event["seq"] != row.try_get::<i32, _>("seq")?
            || event["hash"] != hash
            || texts && event["parts"]["public"]["text"] != row.try_get::<&str, _>("public")?
        {
            return Err(format!("{id}: event {} is not the one that is stored", event["seq"]).into());
        }
    }
    Ok(events)
}

/// An event in a response, as an outside verifier reads it.
fn as_shown(event: &Value) -> Result<ChainEvent<'_>, Failure> {
    let text = |value: &'_ Value| value.as_str().map(str::to_owned).ok_or("no text");
    let hash = |value: &Value| Hash::from_hex(value.as_str().unwrap_or_default()).ok_or("no hash");
    let entry = hex::decode(text(&event["entry"])?)?;
    let part = |name: &str| -> Result<Revealed<'_>, Failure> {
        let part = &event["parts"][name];
        let opening = match (part["salt"].as_str(), part["text"].as_str()) {
            (Some(salt), Some(text)) => Some((Salt(Hash::from_hex(salt).ok_or("no salt")?.0), text)),
            _ => None,
        };
        Ok(Revealed { commitment: hash(&part["commitment"])?, opening })
    };
    Ok(ChainEvent {
        seq: u32::try_from(event["seq"].as_u64().ok_or("no seq")?)?,
        received_at: text(&event["received_at"])?.parse::<DateTime<Utc>>()?,
        subject: Hash::from_slice(entry.get(1..33).ok_or("a short entry")?).ok_or("no subject")?,
        prev: hash(&event["prev_hash"])?,
        hash: hash(&event["hash"])?,
        parts: [part("public")?, part("business")?, part("personal")?],
    })
}
