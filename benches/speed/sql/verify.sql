-- The public check of one seal number: the same columns of the same four rows that the server reads.
\set n random(:first_seal, :last_seal)
SELECT s.number, s.marking_code, s.status, s.void_reason, l.kind, l.species, l.length_m, l.top_diameter_cm,
       l.pieces, l.volume_m3, l.felled_on, l.status, l.last_type, l.last_on, l.last_region, t.series, t.number,
       t.region, t.forestry, o.name, o.kind
FROM seal s
LEFT JOIN log l ON l.id = s.log_id
LEFT JOIN felling_ticket t ON t.id = l.ticket_id
LEFT JOIN organization o ON o.id = l.holder_id
WHERE s.number = 'KZ' || :n::text;
