//! The first organisation: without an operator nobody could register anybody.

use crate::chain::Salt;
use crate::config::OperatorToken;
use crate::error::{Error, Result};
use crate::http::app::App;
use crate::ids::OrganizationId;
use crate::party::key::{Token, store};

/// How the operator can call.
pub enum Operator {
    /// With a key that was there before.
    HasKeys,
    /// With a key made now; the token is there if nobody knows it yet.
    Made(Option<Token>),
}

/// Makes the operator and its first key, if it has none.
pub async fn operator(app: &App, given: Option<&OperatorToken>) -> Result<Operator> {
    let mut tx = app.pool.begin().await?;
    // Instances that start together make one operator.
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", i64::from_be_bytes(*b"ormantr2"))
        .execute(&mut *tx)
        .await?;
    let operators = sqlx::query!(
        r#"SELECT o.id, EXISTS (SELECT FROM api_key k WHERE k.organization_id = o.id) AS "has_keys!"
           FROM organization o WHERE 'operator' = ANY (o.roles) ORDER BY o.id"#
    )
    .fetch_all(&mut *tx)
    .await?;
    if operators.iter().any(|operator| operator.has_keys) {
        return Ok(Operator::HasKeys);
    }
    let now = app.clock.now();
    let id = if let Some(operator) = operators.first() {
        operator.id.into()
    } else {
        let (id, salt) = (OrganizationId::new(), Salt::random());
        sqlx::query!(
                "INSERT INTO organization (id, salt, head_seq, head_hash, head_received_at, bin, name, kind, roles, created_at)
                 VALUES ($1, $2, 0, $3, $4, NULL, NULL, 'legal_entity', '{operator}', $4)",
                id.0,
                salt.0.as_slice(),
                [0_u8; 32].as_slice(),
                now
            )
            .execute(&mut *tx)
            .await?;
        id
    };
    let token = match given {
        None => Token::random(),
        Some(given) => Token::from_text(given.expose())
            .ok_or_else(|| Error::Unavailable("the operator's token is longer than 200 characters".into()))?,
    };
    store(&mut *tx, id, "first", &token, None, now).await?;
    tx.commit().await?;
    Ok(Operator::Made(given.is_none().then_some(token)))
}
