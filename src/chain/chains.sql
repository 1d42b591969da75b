-- Chains of many subjects, from the columns that ride in the primary key's index alone.
SELECT subject_id, seq, received_at, hash, secret, public, business, personal_commitment, personal_id
FROM event
WHERE subject_id = ANY($1)
