//! What an organisation holds under its roles. A role goes only when nothing is held under it.

use crate::base::error::{FieldError, Location, Result};
use crate::base::ids::OrganizationId;
use crate::base::units::{KAZAKHSTAN_OFFSET_MINUTES, Moment};
use crate::evidence::chain::Tx;
use crate::timber::party::role::Role;
use chrono::{DateTime, Utc};

/// Why the organisation cannot lose the roles `lost` and keep `after`: one error for each kind of thing that it
/// holds and no role in `after` may hold. The organisation's standing must be locked.
///
/// An offer to the organisation is no reason: without such a role it cannot accept it.
pub async fn held_under(
    tx: &mut Tx<'_>,
    id: OrganizationId,
    lost: &[Role],
    after: &[Role],
    now: DateTime<Utc>,
    at: &Location,
) -> Result<Vec<FieldError>> {
    let is_lost = |role| lost.contains(&role);
    // Enterprise and forest owner may hold the same things: one of the two is enough.
    let timber = lost.iter().any(|role| role.holds_timber()) && !after.iter().any(|role| role.holds_timber());
    let today = Moment::new(now, KAZAKHSTAN_OFFSET_MINUTES)
        .map_err(|error| crate::base::error::Error::CorruptRow(format!("clock: {error}")))?
        .day()
        .day();
    let held = sqlx::query!(
        r#"SELECT
               $2 AND (EXISTS (SELECT FROM log WHERE holder_id = $1 AND status = ANY($6))
                       OR EXISTS (SELECT FROM log
                                  WHERE owner_id = $1 AND owner_id <> holder_id AND status = ANY($6))) AS "timber!",
               $2 AND EXISTS (SELECT FROM seal WHERE holder_id = $1 AND status = 'issued') AS "seals!",
               $2 AND EXISTS (SELECT FROM felling_ticket
                              WHERE holder_id = $1 AND cancelled_at IS NULL AND felling_until >= $7) AS "tickets!",
               $3 AND EXISTS (SELECT FROM felling_ticket
                              WHERE issuer_id = $1 AND cancelled_at IS NULL AND felling_until >= $7) AS "issued!",
               $3 AND EXISTS (SELECT FROM log
                              WHERE own_use AND issuer_id = $1 AND status = ANY($6)) AS "kept!",
               $4 AND EXISTS (SELECT FROM log WHERE carrier_id = $1) AS "carried!",
               $5 AND NOT EXISTS (SELECT FROM organization o JOIN api_key k ON k.organization_id = o.id
                                  WHERE o.id <> $1 AND o.roles @> ARRAY['operator'] AND k.revoked_at IS NULL
                                    AND (k.expires_at IS NULL OR k.expires_at > $8)) AS "last_operator!""#,
        id.0,
        timber,
        is_lost(Role::ForestOwner),
        is_lost(Role::Carrier),
        is_lost(Role::Operator),
        &OPEN as &[&str],
        today,
        now
    )
    .fetch_one(&mut **tx)
    .await?;
    let reasons = [
        (held.timber, "holds-timber", "It holds or owns timber that is in circulation."),
        (held.seals, "holds-seals", "It has seals that are on no timber: transfer or void them first."),
        (held.tickets, "holds-tickets", "It may still fell under a felling ticket."),
        (held.issued, "issued-tickets", "A felling ticket that it issued is in force."),
        (held.kept, "keeps-timber", "It records for individuals whose timber is in circulation."),
        (held.carried, "carries-timber", "It is the named carrier of timber that is on the road."),
        (held.last_operator, "last-operator", "No other operator has a valid key."),
    ];
    let reasons = reasons.into_iter().filter(|(held, ..)| *held);
    Ok(reasons.map(|(_, code, detail)| FieldError::new(at.clone(), code, detail)).collect())
}

/// The open statuses ([`crate::timber::event::vocabulary::Status::is_open`]); a test compares them.
const OPEN: [&str; 6] = ["at_felling", "stored", "loaded", "in_transit", "arrived", "received"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timber::event::vocabulary::Status;

    #[test]
    fn the_open_statuses_are_those_of_the_vocabulary() {
        let open: Vec<_> =
            Status::WORDS.iter().filter(|word| Status::parse(word).is_ok_and(Status::is_open)).collect();
        assert_eq!(open, OPEN.iter().collect::<Vec<_>>());
    }
}
