-- The chain of one log by its id, as src/chain/history.rs reads it.
\set n random(:first_log, :last_log)
SELECT seq, received_at, hash, secret, public, business, personal_commitment, personal_id
FROM event WHERE subject_id = ('01990000-0000-7000-8000-' || :n::text)::uuid AND seq <= 2147483647 ORDER BY seq;
