//! Photos that observations show. They are no part of a chain, so that they can be erased; the chain has their hashes.

use crate::base::error::{Error, Invalid, Result};
use crate::base::ids::OrganizationId;
use crate::base::input::{Errors, Node, ParseText};
use crate::evidence::chain::{Hash, Tx};
use crate::timber::party::reader::Reader;
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use sqlx::PgExecutor;

/// Photos that no observation names are deleted after this time.
pub const UNUSED_FOR: TimeDelta = TimeDelta::days(7);

/// The media type of a photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhotoKind {
    /// `image/jpeg`.
    Jpeg,
    /// `image/png`.
    Png,
}

impl PhotoKind {
    /// By the first bytes of the file.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(&[0xFF, 0xD8, 0xFF]) {
            Some(Self::Jpeg)
        } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(Self::Png)
        } else {
            None
        }
    }

    /// The media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }
}

/// The SHA-256 of a photo: 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhotoHash(pub [u8; 32]);

impl PhotoHash {
    /// Of a file.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// As it is hashed.
    #[must_use]
    pub const fn hash(self) -> Hash {
        Hash(self.0)
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| Invalid::new("sha256-malformed", "A SHA-256 is 64 hexadecimal digits."))
    }
}

impl ParseText for PhotoHash {
    fn parse_text(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl crate::base::input::Read for PhotoHash {
    crate::base::input::whole!();

    fn read_partial(node: Node<'_>, errors: &mut Errors) -> Option<Self> {
        crate::base::input::read_text(node, errors)
    }
}

impl utoipa::PartialSchema for PhotoHash {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^[0-9a-fA-F]{64}$"))
            .description(Some("SHA-256 of a photo, in hexadecimal digits."))
            .into()
    }
}

impl utoipa::ToSchema for PhotoHash {}

/// Stores a photo of an organisation. One that it has uploaded already stays as it is.
///
/// # Errors
/// From the database.
pub async fn add(
    tx: &mut Tx<'_>,
    organization: OrganizationId,
    (hash, kind, bytes): (PhotoHash, PhotoKind, &[u8]),
    now: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO photo (organization_id, sha256, media_type, bytes, uploaded_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (organization_id, sha256) DO UPDATE SET uploaded_at = excluded.uploaded_at",
        organization.0,
        hash.0.as_slice(),
        kind.media_type(),
        bytes,
        now
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Which of these photos the organisation has uploaded. They are locked, so that none is deleted before an observation
/// names it.
///
/// # Errors
/// From the database.
pub async fn uploaded(
    tx: &mut Tx<'_>,
    organization: OrganizationId,
    hashes: &[PhotoHash],
) -> Result<Vec<PhotoHash>> {
    let bytes: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.0.to_vec()).collect();
    let rows = sqlx::query_scalar!(
        "SELECT sha256 FROM photo WHERE organization_id = $1 AND sha256 = ANY($2) ORDER BY sha256 FOR UPDATE",
        organization.0,
        &bytes
    )
    .fetch_all(&mut **tx)
    .await?;
    let corrupt = |_| Error::CorruptRow("photo.sha256".into());
    rows.into_iter().map(|row| row.try_into().map(PhotoHash).map_err(corrupt)).collect()
}

/// Marks photos as named by an observation.
pub(super) async fn keep(tx: &mut Tx<'_>, organization: OrganizationId, hashes: &[Hash]) -> Result<()> {
    if hashes.is_empty() {
        return Ok(());
    }
    let bytes: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.0.to_vec()).collect();
    sqlx::query!(
        "UPDATE photo SET kept = true WHERE organization_id = $1 AND sha256 = ANY($2)",
        organization.0,
        &bytes
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A photo that the reader has uploaded; an inspector reads all.
///
/// # Errors
/// Not found, also for a photo of others.
pub async fn get(db: impl PgExecutor<'_>, reader: Reader, hash: PhotoHash) -> Result<(String, Vec<u8>)> {
    let own = (!reader.inspector).then_some(reader.organization.0);
    let row = sqlx::query!(
        "SELECT media_type, bytes FROM photo
         WHERE sha256 = $1 AND ($2::uuid IS NULL OR organization_id = $2) LIMIT 1",
        hash.0.as_slice(),
        own
    )
    .fetch_optional(db)
    .await?
    .ok_or(Error::NotFound)?;
    Ok((row.media_type, row.bytes))
}

/// Deletes photos that no observation names.
///
/// # Errors
/// From the database.
pub async fn delete_unused(tx: &mut Tx<'_>, now: DateTime<Utc>) -> Result<u64> {
    let deleted = sqlx::query!("DELETE FROM photo WHERE NOT kept AND uploaded_at < $1", now - UNUSED_FOR);
    Ok(deleted.execute(&mut **tx).await?.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_kind() {
        assert_eq!(PhotoKind::of(b"\xFF\xD8\xFF\xE0..JFIF"), Some(PhotoKind::Jpeg));
        assert_eq!(PhotoKind::of(b"\x89PNG\r\n\x1a\nIHDR"), Some(PhotoKind::Png));
        for other in [&b""[..], b"\xFF\xD8", b"GIF89a", b"<svg xmlns=", b"%PDF-1.7"] {
            assert_eq!(PhotoKind::of(other), None);
        }
    }
}
