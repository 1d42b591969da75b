//! Locks the chain heads of subjects, and stores them after an append, for the kinds of subjects that need
//! only the head from the locked row. Logs and felling tickets need more columns, and have statements of
//! their own.

/// Defines two functions for one kind of subject. `$table` is the table with the rows of these subjects.
/// - `lock_heads` locks the heads of the subjects that exist, in the order of their ids.
/// - `append_and_store` appends an event to each locked head and writes the new heads into their rows.
macro_rules! chain_heads {
    ($kind:ident, $table:literal) => {
        /// Locks the heads of the subjects that exist, and returns them in the order of their ids.
        ///
        /// # Errors
        /// From the database; `CorruptRow` for a corrupt head.
        pub(in crate::timber) async fn lock_heads(
            tx: &mut $crate::evidence::chain::Tx<'_>,
            ids: &[uuid::Uuid],
        ) -> $crate::base::error::Result<Vec<$crate::evidence::chain::LockedHead>> {
            let rows = sqlx::query!(
                "SELECT id, salt, head_seq, head_hash, head_received_at FROM "
                    + $table
                    + " WHERE id = ANY($1) ORDER BY id FOR UPDATE",
                ids
            )
            .fetch_all(&mut **tx)
            .await?;
            rows.into_iter()
                .map(|row| {
                    let kind = $crate::evidence::chain::SubjectKind::$kind;
                    let (hash, at) = (&row.head_hash, row.head_received_at);
                    $crate::evidence::chain::LockedHead::stored(
                        kind,
                        row.id,
                        &row.salt,
                        row.head_seq,
                        hash,
                        at,
                    )
                })
                .collect()
        }

        /// Appends an event to each locked head, writes the new heads into the rows of their subjects, and
        /// returns them in the order of the drafts.
        ///
        /// # Errors
        /// From the database.
        pub(in crate::timber) async fn append_and_store(
            tx: &mut $crate::evidence::chain::Tx<'_>,
            now: chrono::DateTime<chrono::Utc>,
            drafts: Vec<$crate::evidence::chain::Draft>,
        ) -> $crate::base::error::Result<Vec<$crate::evidence::chain::NewHead>> {
            let heads = $crate::evidence::chain::append(tx, now, drafts).await?;
            let stored = || heads.iter().map($crate::evidence::chain::NewHead::stored);
            let ids: Vec<uuid::Uuid> = stored().map(|head| head.id).collect();
            let seqs: Vec<i32> = stored().map(|head| head.seq).collect();
            let hashes: Vec<Vec<u8>> = stored().map(|head| head.hash.0.to_vec()).collect();
            let times: Vec<chrono::DateTime<chrono::Utc>> = stored().map(|head| head.received_at).collect();
            sqlx::query!(
                "UPDATE "
                    + $table
                    + " AS subject
             SET head_seq = new.seq, head_hash = new.hash, head_received_at = new.received_at
             FROM UNNEST($1::uuid[], $2::int[], $3::bytea[], $4::timestamptz[]) AS new (id, seq, hash, received_at)
             WHERE subject.id = new.id",
                &ids,
                &seqs,
                &hashes,
                &times
            )
            .execute(&mut **tx)
            .await?;
            Ok(heads)
        }
    };
}
pub(in crate::timber) use chain_heads;
