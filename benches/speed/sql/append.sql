-- One custody event as the server records it: the same statements in the same transaction, each
-- row as large. What only the server has (hashes, texts) is constant here.
\set n random(:first_log, :last_log)
\set s :n - 100000000000 + 100000001
\set c :c + 1
\set u 100000000000 + :client_id * 1000000000 + :base + :c
SELECT k.id, k.organization_id, o.roles
FROM api_key k JOIN organization o ON o.id = k.organization_id
WHERE k.token_hash = decode(:token_hash::text, 'hex') AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now());
BEGIN;
SELECT log_id FROM log_seal WHERE seal_number = 'KZ' || :s::text;
SELECT id, salt, head_seq, head_hash, head_received_at, kind, species, wood, assortment, grade,
       trim_scale(length_m)::text AS length_m, trim_scale(top_diameter_cm)::text AS top_diameter_cm, pieces,
       trim_scale(volume_m3)::text AS volume_m3, trim_scale(table_volume_m3)::text AS table_volume_m3,
       measurement_method, felled_on, harvest_id, ticket_id, line_id, issuer_id, seal_number, seal_void, status,
       holder_id, owner_id, pending_from, pending_to, pending_of, carrier_id, vehicle, last_type, last_on,
       last_region, last_occurred_at
FROM log WHERE id = ('01990000-0000-7000-8000-' || :n::text)::uuid FOR UPDATE
\gset log_
-- queue
WITH queued AS (
    INSERT INTO leaf_queue (entry, subject_id, seq)
    VALUES (decode('01' || repeat('5a', 112), 'hex'), ('01990000-0000-7000-8000-' || :n::text)::uuid, :log_head_seq::int + 1)
)
-- end of queue
INSERT INTO event (subject_id, seq, subject_kind, received_at, hash, secret, public, business, type,
                   organization_id, operation_id, occurred_at, region)
VALUES (('01990000-0000-7000-8000-' || :n::text)::uuid, :log_head_seq::int + 1, 1, clock_timestamp(),
        decode(repeat('a5', 32), 'hex'), decode(repeat('c3', 32), 'hex'),
        '{"on":"2026-11-24","region":"KZ-10","subject":"log","type":"stored","v":1}',
        '{"key":"01990000-0000-7000-8000-000000000001","log":"01990000-0000-7000-8000-000000000001","occurred":{"at":"2026-11-24T04:00:00.000000Z","offset_min":300},"operation":"01990000-0000-7000-8000-000000000001","organization":"01990000-0000-7000-8000-000000000001","place":{"kind":"storage","name":"Семей, дайын өнім алаңы","region":"KZ-10"},"v":1}',
        'stored', :organization::text::uuid, ('01990000-0000-7000-9000-' || :u::text)::uuid, clock_timestamp(), 'KZ-10');
UPDATE log SET head_seq = :log_head_seq::int + 1, head_hash = decode(repeat('a5', 32), 'hex'),
       head_received_at = clock_timestamp(), status = 'stored', last_type = 'stored', last_on = current_date,
       last_region = 'KZ-10', last_occurred_at = clock_timestamp()
WHERE id = ('01990000-0000-7000-8000-' || :n::text)::uuid;
INSERT INTO operation (organization_id, operation_id, kind, fingerprint, subjects, seqs, created_at)
VALUES (:organization::text::uuid, ('01990000-0000-7000-9000-' || :u::text)::uuid, 'custody_event', decode(repeat('7e', 32), 'hex'),
        ARRAY[('01990000-0000-7000-8000-' || :n::text)::uuid], ARRAY[:log_head_seq::int + 1], clock_timestamp());
COMMIT;
