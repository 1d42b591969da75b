-- The events that have their personal part in a row: the first ones of a harvest's logs, the first event of an
-- organisation, or the events that name an official, a corrected responsible person or a buyer.
-- $1: id of the row
SELECT e.subject_id AS "subject_id!", e.seq AS "seq!" FROM harvest h
JOIN operation o ON o.organization_id = h.organization_id AND o.operation_id = h.operation_id
CROSS JOIN LATERAL UNNEST(o.subjects, o.seqs) AS made (subject_id, seq)
JOIN event e ON e.subject_id = made.subject_id AND e.seq = made.seq
WHERE h.personal_id = $1 AND e.personal_id = $1
UNION SELECT subject_id, seq FROM event WHERE subject_id = $1 AND personal_id = $1
-- The condition of index event_personal.
UNION SELECT subject_id, seq FROM event
      WHERE personal_id = $1 AND type <> 'harvested' AND type <> 'organization_registered'
ORDER BY 1, 2
