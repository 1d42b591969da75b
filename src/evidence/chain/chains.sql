-- Chains of many subjects, from the columns that ride in the primary key's index alone, each event with its personal
-- part as long as there is one.
SELECT event.subject_id AS "subject_id!", event.seq AS "seq!", event.received_at AS "received_at!", event.hash AS "hash!",
       event.secret AS "secret!", event.public AS "public!", event.business AS "business!",
       event.personal_commitment AS "personal_commitment?", event.personal_id AS "personal_id?",
       personal.text AS "person?", personal.secret AS "person_secret?"
FROM event LEFT JOIN personal ON personal.id = event.personal_id
WHERE subject_id = ANY($1)
