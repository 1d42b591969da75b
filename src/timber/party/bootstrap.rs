//! The first start: creates the operator, because in an empty database no organisation could register it.

use super::bin::Bin;
use super::key_record::{self, NewKey};
use super::organization::{NewOrganization, register};
use super::role::{OrganizationKind, Role};
use crate::base::clock::Clock;
use crate::base::error::Result;
use crate::base::ids::{KeyId, OrganizationId};
use crate::base::token::Token;
use crate::base::units::Text;
use crate::evidence::chain::Tx;
use crate::timber::event::actor::Actor;
use sqlx::PgPool;

/// BIN of the operator that a first start creates, unless the administrator gives one. No real organisation has this BIN: a BIN begins with the
/// year and month of registration, and here the month is 00. The check digit is valid.
pub const DEMONSTRATION_BIN: &str = "000040000019";

/// Advisory lock that ensures that several instances, started at the same time, create only one operator.
const LOCK: i64 = 0x6f72_6d61_6e5f_6f70;

/// Result of [`bootstrap_operator`].
#[derive(Clone, Debug)]
pub enum Bootstrap {
    /// The operator has received its first key.
    Created {
        /// The operator.
        organization: OrganizationId,
        /// The key.
        key: KeyId,
        /// The token, if it was generated here. The caller must print it now: only its hash is stored.
        token: Option<Token>,
    },
    /// The operator has keys already; nothing was changed.
    AlreadyPresent {
        /// Whether the caller gave a token. The token was ignored, and the caller should warn about this.
        token_ignored: bool,
    },
}

/// Creates the operator's organisation and its first key, if they are missing. Safe to call at each start
/// and by several instances at once.
///
/// `name` and `bin` are those of the organisation, if it is created. `token` is a token that the operator has chosen; if it is `None`, a random token is generated. The key
/// never expires.
///
/// # Errors
/// If the token already belongs to another organisation, or the database fails.
pub async fn bootstrap_operator(
    pool: &PgPool,
    clock: &Clock,
    token: Option<Token>,
    (name, bin): &(Text<200>, Bin),
) -> Result<Bootstrap> {
    let mut tx = Tx::begin(pool).await?;
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", LOCK).execute(&mut *tx).await?;
    let operator = sqlx::query!(
        r#"SELECT id, EXISTS (SELECT FROM api_key k WHERE k.organization_id = o.id) AS "has_keys!"
           FROM organization o WHERE roles @> ARRAY['operator'] ORDER BY 2 DESC, id LIMIT 1"#
    )
    .fetch_optional(&mut *tx)
    .await?;
    if operator.as_ref().is_some_and(|operator| operator.has_keys) {
        return Ok(Bootstrap::AlreadyPresent { token_ignored: token.is_some() });
    }
    let now = clock.now();
    let key = KeyId::new();
    let organization: OrganizationId = if let Some(operator) = operator {
        operator.id.into()
    } else {
        let id = OrganizationId::new();
        let new = NewOrganization {
            bin: *bin,
            name: name.clone(),
            kind: OrganizationKind::LegalEntity,
            roles: vec![Role::Operator],
        };
        // The operator registers itself: no other organisation exists.
        register(&mut tx, &Actor::of(id, key, now)?, id, &new).await?.id
    };
    let made = if token.is_none() { Some(Token::random()) } else { None };
    if let Some(token) = token.as_ref().or(made.as_ref()) {
        let first = NewKey { id: key, label: "first key", token, expires_at: None };
        key_record::make(&mut tx, &Actor::of(organization, key, now)?, organization, first).await?;
    }
    tx.commit().await?;
    Ok(Bootstrap::Created { organization, key, token: made })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demonstration_bin_is_well_formed_and_nobodys() {
        assert!(Bin::parse(DEMONSTRATION_BIN).is_ok());
        assert_eq!(&DEMONSTRATION_BIN[2..4], "00", "no month");
    }
}
