-- Plain custody events of many postings: one event a log, what it did to its log, and the postings under their names.
-- Each event's row and its log's are one row of the first arrays; a posting has those from its first place to its last.
WITH made AS MATERIALIZED (
    SELECT * FROM UNNEST($1::uuid[], $2::int[], $3::smallint[], $4::timestamptz[], $5::bytea[], $6::bytea[], $7::text[],
                         $8::text[], $9::text[], $10::uuid[], $11::uuid[], $12::timestamptz[], $13::text[], $14::bytea[],
                         $15::text[], $16::uuid[], $17::uuid[], $18::uuid[], $19::uuid[], $20::text[], $21::uuid[],
                         $22::text[], $23::text[], $24::date[], $25::text[], $26::timestamptz[])
         WITH ORDINALITY
         AS row (id, seq, kind, received_at, hash, secret, public, business, type, organization, operation, occurred_at,
                 region, entry, status, holder, owner, pending_from, pending_to, pending_of, carrier, vehicle,
                 last_type, last_on, last_region, last_occurred_at, place)
    -- The standing of the callers is locked since the logs are: it cannot change after this statement has begun.
    WHERE NOT EXISTS (SELECT FROM UNNEST($27::uuid[], $33::text[]) AS caller (id, roles)
                      JOIN organization o ON o.id = caller.id
                      WHERE o.suspended_since IS NOT NULL OR array_to_string(o.roles, ',') <> caller.roles)
), queued AS (
    INSERT INTO leaf_queue (entry, subject_id, seq) SELECT entry, id, seq FROM made ORDER BY place
), moved AS (
    UPDATE log SET head_seq = made.seq, head_hash = made.hash, head_received_at = made.received_at,
           status = made.status, holder_id = made.holder, owner_id = made.owner, pending_from = made.pending_from,
           pending_to = made.pending_to, pending_of = made.pending_of, carrier_id = made.carrier, vehicle = made.vehicle,
           last_type = made.last_type, last_on = made.last_on, last_region = made.last_region,
           last_occurred_at = made.last_occurred_at
    FROM made WHERE log.id = made.id
), posted AS (
    INSERT INTO operation (organization_id, operation_id, kind, fingerprint, subjects, seqs, created_at)
    SELECT organization, operation, 'custody_event', fingerprint, ($1::uuid[])[first:last], ($2::int[])[first:last], $32
    FROM UNNEST($27::uuid[], $28::uuid[], $29::bytea[], $30::int[], $31::int[])
         AS posting (organization, operation, fingerprint, first, last)
)
INSERT INTO event (subject_id, seq, subject_kind, received_at, hash, secret, public, business, type,
                   organization_id, operation_id, occurred_at, region)
SELECT id, seq, kind, received_at, hash, secret, public, business, type, organization, operation, occurred_at, region
FROM made
