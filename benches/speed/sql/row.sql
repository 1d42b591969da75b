-- One row by its key, and nothing else: the most that any look-up could reach.
\set n random(:first_seal, :last_seal)
SELECT status, log_id FROM seal WHERE number = 'KZ' || :n::text;
