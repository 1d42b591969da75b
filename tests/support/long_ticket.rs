//! Makes a felling ticket with a long chain. The events are written without the API, because this is the
//! quickest way to a long history.

use chrono::{DateTime, Utc};
use ormantrace::base::ids::{KeyId, OperationId, OrganizationId, TicketId};
use ormantrace::evidence::chain::{Draft, LockedHead, SubjectKind, Tx, append, canonical};
use serde_json::json;

/// Appends `events` extensions by `issuer` to a ticket's chain.
pub async fn extend(
    tx: &mut Tx<'_>,
    ticket: TicketId,
    issuer: OrganizationId,
    events: u32,
    now: DateTime<Utc>,
) {
    let (salt, seq, hash): (Vec<u8>, i32, Vec<u8>) =
        sqlx::query_as("SELECT salt, head_seq, head_hash FROM felling_ticket WHERE id = $1")
            .bind(ticket)
            .fetch_one(&mut **tx)
            .await
            .expect("a ticket");
    let kind = SubjectKind::FellingTicket;
    let mut head = LockedHead::stored(kind, ticket.0, &salt, seq, &hash, now).expect("a head");
    let mut newest = None;
    for _ in 0..events {
        let operation = OperationId::new();
        let business = json!({
            "felling_until": "2027-01-31", "key": KeyId::new(), "operation": operation, "organization": issuer,
            "reason": "Қар ерте түсті", "v": 1,
        });
        let public = json!({"on": "2026-10-05", "subject": "felling_ticket", "type": "extended", "v": 1});
        let draft = Draft {
            head,
            public: canonical::text(&public),
            business: canonical::text(&business),
            personal: None,
            event_type: "extended",
            organization: issuer.0,
            operation: operation.0,
            occurred_at: now,
            region: None,
        };
        let new = append(tx, now, vec![draft]).await.expect("appended").remove(0);
        newest = Some(new.stored());
        head = new.into_locked();
    }
    let Some(newest) = newest else { return };
    sqlx::query(
        "UPDATE felling_ticket SET head_seq = $2, head_hash = $3, head_received_at = $4 WHERE id = $1",
    )
    .bind(ticket)
    .bind(newest.seq)
    .bind(newest.hash.0.as_slice())
    .bind(newest.received_at)
    .execute(&mut **tx)
    .await
    .expect("written");
}
