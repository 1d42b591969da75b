//! The keys of the demonstration. They are fixed and public, and a reader recognises them as demonstration
//! keys.

use crate::base::error::Result;
use crate::base::token::Token;
use crate::timber::party::bin::Bin;
use sqlx::PgPool;

/// A participant of the demonstration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Participant {
    /// Registers organisations and seals, and gives seals to organisations.
    Operator,
    /// Issues felling tickets.
    ForestOwner,
    /// Harvests at Semey.
    Harvester,
    /// Harvests and trades.
    Trader,
    /// Drives.
    Carrier,
    /// Saws.
    Sawmill,
    /// Inspects.
    Inspector,
}

impl Participant {
    /// All participants, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Operator,
        Self::ForestOwner,
        Self::Harvester,
        Self::Trader,
        Self::Carrier,
        Self::Sawmill,
        Self::Inspector,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "Орман таңбалау операторы",
            Self::ForestOwner => "«Семей орманы»",
            Self::Harvester => "ТОО «Ертіс ағаш»",
            Self::Trader => "ТОО «Көктерек сауда»",
            Self::Carrier => "ТОО «Шығыс жүк»",
            Self::Sawmill => "ТОО «Бородулиха тілу»",
            Self::Inspector => "Абай облысының орман инспекциясы",
        }
    }

    /// Its roles, as the API calls them.
    #[must_use]
    pub fn roles(self) -> &'static [&'static str] {
        match self {
            Self::Operator => &["operator"],
            Self::ForestOwner => &["forest_owner"],
            Self::Harvester | Self::Trader | Self::Sawmill => &["enterprise"],
            Self::Carrier => &["carrier"],
            Self::Inspector => &["inspector"],
        }
    }

    /// The BIN of this participant. Its form is valid, but it belongs to no real organisation, because no
    /// real BIN contains month 00. The operator has the BIN of `party::bootstrap` instead.
    #[must_use]
    pub fn bin(self) -> String {
        let mut stem = 1 + Self::ALL.iter().position(|participant| *participant == self).unwrap_or_default();
        loop {
            let mut numbers = (0..10).map(|check| format!("99004000{stem:03}{check}"));
            if let Some(bin) = numbers.find(|text| Bin::parse(text).is_ok()) {
                return bin;
            }
            stem += 100;
        }
    }

    /// The token.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Operator => "demo-operator-key-not-for-production-0000001",
            Self::ForestOwner => "demo-forest-owner-key-not-for-production-0000001",
            Self::Harvester => "demo-harvester-key-not-for-production-0000001",
            Self::Trader => "demo-trader-key-not-for-production-0000001",
            Self::Carrier => "demo-carrier-key-not-for-production-0000001",
            Self::Sawmill => "demo-sawmill-key-not-for-production-0000001",
            Self::Inspector => "demo-inspector-key-not-for-production-0000001",
        }
    }
}

/// The tokens of all participants.
pub fn all() -> impl Iterator<Item = Token> {
    Participant::ALL.into_iter().filter_map(|participant| Token::from_text(participant.token()))
}

/// Whether a key of the demonstration is in the database and is not revoked.
pub async fn are_in(pool: &PgPool) -> Result<bool> {
    let hashes: Vec<Vec<u8>> = all().map(|token| token.hash().to_vec()).collect();
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM api_key WHERE token_hash = ANY ($1) AND revoked_at IS NULL) AS "found!""#,
        &hashes
    );
    Ok(found.fetch_one(pool).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_key_can_be_used_and_says_what_it_is() {
        assert_eq!(all().map(|token| token.hash()).collect::<HashSet<_>>().len(), Participant::ALL.len());
        assert!(Participant::ALL.iter().all(|participant| participant.token().starts_with("demo-")
            && participant.token().contains("not-for-production")));
    }
}
