//! Everything that the logs need before they are felled, created through the API: organisations with
//! keys, felling tickets, seals.

use super::blocking::post;
use super::timber::{FIRST_SEAL, FORESTRY, Parties, Party, REGION, SERIES, TICKET, Ticket, species};
use chrono::{DateTime, TimeDelta, Utc};
use ormantrace::evidence::chain::bytes::Hash;
use ormantrace::timber::party::bin::Bin;
use serde_json::{Value, json};
use sqlx::{PgConnection, Row as _};
use std::error::Error;
use std::net::SocketAddr;

/// The operator's token of the measured server.
pub const OPERATOR_TOKEN: &str = "a-token-of-the-measurements-and-of-nothing-else";
/// Most seals in one request.
const BATCH: u64 = 100_000;

type Failure = Box<dyn Error + Send + Sync>;

/// Sets the first seal number to [`FIRST_SEAL`]. Must be called before the first seal is created.
///
/// # Errors
/// Those of the database.
pub async fn number_seals(owner: &mut PgConnection) -> Result<(), Failure> {
    sqlx::query("SELECT setval('seal_number_seq', $1, false)")
        .bind(i64::try_from(FIRST_SEAL)?)
        .execute(owner)
        .await?;
    Ok(())
}

/// Creates the parties, tickets for `logs` logs felled from `from` on, and `logs` seals.
///
/// # Errors
/// Any request that the server refuses.
pub async fn make(
    server: SocketAddr,
    owner: &mut PgConnection,
    logs: u64,
    from: DateTime<Utc>,
) -> Result<Parties, Failure> {
    let party = |number, name: &str, role: &str| organization(server, number, name, role);
    let harvesters = (0..4)
        .map(|n| party(10 + n, &format!("ТОО «Ертіс орман {n}»"), "enterprise"))
        .collect::<Result<Vec<_>, _>>()?;
    let sawmills = (0..4)
        .map(|n| party(20 + n, &format!("ТОО «Семей ағаш {n}»"), "enterprise"))
        .collect::<Result<Vec<_>, _>>()?;
    let inspector = party(31, "Орман инспекциясы", "inspector")?;
    let mut inspectorates = vec![inspector.token.clone()];
    for n in 0..7 {
        inspectorates.push(party(40 + n, &format!("Орман инспекциясы {n}"), "inspector")?.token);
    }
    let mut parties = Parties {
        harvesters,
        sawmills,
        carrier: party(30, "ТОО «Жүк тасымалы»", "carrier")?,
        inspector,
        inspectorates,
        forest_owner: party(32, "КГУ «Бородулиха орман шаруашылығы»", "forest_owner")?,
        tickets: Vec::new(),
    };
    for index in 0..usize::try_from(logs.div_ceil(TICKET))? {
        let made = ticket(server, &parties, index, from)?;
        parties.tickets.push(made);
    }
    for ticket in &mut parties.tickets {
        let row = sqlx::query("SELECT head_seq, head_hash FROM felling_ticket WHERE id = $1")
            .bind(ticket.id.0)
            .fetch_one(&mut *owner)
            .await?;
        ticket.head_seq = u32::try_from(row.try_get::<i32, _>(0)?)?;
        ticket.head_hash = Hash::from_slice(row.try_get(1)?).ok_or("a ticket's hash")?;
    }
    // The seals for the logs of one ticket belong to the ticket's holder.
    let mut first = 0;
    while first < logs {
        let holder = parties.harvester(first);
        let quantity = TICKET.min(logs - first);
        seals(server, holder, quantity)?;
        first += quantity;
    }
    Ok(parties)
}

/// Creates seals for a holder; returns the number of the first.
///
/// # Errors
/// Any request that the server refuses.
pub fn seals(server: SocketAddr, holder: &Party, quantity: u64) -> Result<String, Failure> {
    assert!(quantity <= BATCH, "more seals than one request may create");
    let body = json!({ "holder_bin": holder.bin, "quantity": quantity });
    let made = post(server, OPERATOR_TOKEN, "/v1/seal-batches", &body)?;
    Ok(text(&made, "first_number")?.to_owned())
}

fn organization(server: SocketAddr, number: u32, name: &str, role: &str) -> Result<Party, Failure> {
    // The last digit is a check digit, and some stems have no valid one.
    let bin = (0..100)
        .map(|n| format!("1401400{:05}", number * 100 + n))
        .find(|text| Bin::parse(text).is_ok())
        .ok_or("no number")?;
    let body = json!({ "bin": bin, "name": name, "roles": [role] });
    let made = post(server, OPERATOR_TOKEN, "/v1/organizations", &body)?;
    let id = text(&made, "id")?;
    let path = format!("/v1/organizations/{id}/keys");
    let key = post(server, OPERATOR_TOKEN, &path, &json!({ "label": "Тірек планшеті" }))?;
    Ok(Party {
        id: id.parse()?,
        bin,
        key: text(&key, "id")?.parse()?,
        token: text(&key, "token")?.to_owned(),
    })
}

fn ticket(
    server: SocketAddr,
    parties: &Parties,
    index: usize,
    from: DateTime<Utc>,
) -> Result<Ticket, Failure> {
    let day = |days| (from + TimeDelta::days(days)).date_naive().to_string();
    let number = format!("{:07}", index + 1);
    let body = json!({
        "series": SERIES,
        "number": number,
        "issued_on": day(-10),
        "holder_bin": parties.holder_of(index).bin,
        "felling_kind": "main",
        "forest_category": "ленточные боры",
        "forest_type": "сухой бор",
        "origin": {
            "region": REGION,
            "district": "Бородулиха ауданы",
            "forestry": FORESTRY,
            "compartment": (index + 1).to_string(),
        },
        "felling_from": day(-5),
        "felling_until": day(730),
        "lines": [{ "species": species(index), "wood": "commercial", "volume_m3": 100_000 }],
    });
    let made = post(server, &parties.forest_owner.token, "/v1/felling-tickets", &body)?;
    let line = made["lines"][0]["id"].as_str().ok_or("a ticket without a line")?;
    Ok(Ticket {
        id: text(&made, "id")?.parse()?,
        line: line.parse()?,
        number,
        head_seq: 0,
        head_hash: Hash::ZERO,
    })
}

fn text<'v>(made: &'v Value, name: &str) -> Result<&'v str, Failure> {
    made[name].as_str().ok_or_else(|| format!("an answer without {name}: {made}").into())
}
