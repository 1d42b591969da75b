-- One custody event as a single statement: what PostgreSQL gives at best, for comparison only.
\set n random(:first_log, :last_log)
\set s :n - 100000000000 + 100000001
\set c :c + 1
\set u 100000000000 + :client_id * 1000000000 + :base + :c
WITH moved AS (
    UPDATE log SET head_seq = head_seq + 1, head_hash = decode(repeat('a5', 32), 'hex'),
           head_received_at = clock_timestamp(), status = 'stored', last_type = 'stored', last_on = current_date,
           last_region = 'KZ-10', last_occurred_at = clock_timestamp()
    WHERE id = (SELECT log_id FROM log_seal WHERE seal_number = 'KZ' || :s::text)
    RETURNING id, head_seq
), posted AS (
    INSERT INTO operation (organization_id, operation_id, kind, fingerprint, subjects, seqs, created_at)
    SELECT :organization::text::uuid, ('01990000-0000-7000-9000-' || :u::text)::uuid, 'custody_event',
           decode(repeat('7e', 32), 'hex'), ARRAY[id], ARRAY[head_seq], clock_timestamp()
    FROM moved
)
-- queue
, queued AS (
    INSERT INTO leaf_queue (entry, subject_id, seq) SELECT decode('01' || repeat('5a', 112), 'hex'), id, head_seq FROM moved
)
-- end of queue
INSERT INTO event (subject_id, seq, subject_kind, received_at, hash, secret, public, business, type,
                   organization_id, operation_id, occurred_at, region)
SELECT id, head_seq, 1, clock_timestamp(), decode(repeat('a5', 32), 'hex'), decode(repeat('c3', 32), 'hex'),
       '{"on":"2026-11-24","region":"KZ-10","subject":"log","type":"stored","v":1}',
       '{"key":"01990000-0000-7000-8000-000000000001","log":"01990000-0000-7000-8000-000000000001","occurred":{"at":"2026-11-24T04:00:00.000000Z","offset_min":300},"operation":"01990000-0000-7000-8000-000000000001","organization":"01990000-0000-7000-8000-000000000001","place":{"kind":"storage","name":"Семей, дайын өнім алаңы","region":"KZ-10"},"v":1}',
       'stored', :organization::text::uuid, ('01990000-0000-7000-9000-' || :u::text)::uuid, clock_timestamp(), 'KZ-10'
FROM moved;
