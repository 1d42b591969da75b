-- The public check of many codes: exactly one of number and identification for each; a row for each, in order,
-- with the key whose token came with it.
SELECT k.id AS "key_id?", k.organization_id AS "key_organization?: OrganizationId", k.expires_at AS "key_expires_at?", k.last_used_at AS "key_last_used_at?",
       s.number AS "number?", s.marking_code AS "marking_code?", s.status AS "seal_status?: SealStatus",
       s.void_reason AS "void_reason?: VoidReason", l.kind AS "kind?: LogKind", l.species AS "species?: Species",
       l.length_m AS "length_m?: Length", l.top_diameter_cm AS "top_diameter_cm?: Diameter",
       l.pieces AS "pieces?", l.volume_m3 AS "volume_m3?: Volume", l.felled_on AS "felled_on?",
       l.status AS "status?: Status", l.held_since AS "held_since?", l.ticket_held_since AS "ticket_held_since?",
       l.ticket_held_until AS "ticket_held_until?", l.reseal AS "reseal?", l.own_use AS "own_use?", l.pending_to AS "pending_to?",
       l.last_type AS "last_type?: LogEventType", l.last_on AS "last_on?",
       CASE WHEN l.last_type = 'inspected'
            THEN NOT EXISTS (SELECT FROM event e WHERE e.subject_id = l.id AND e.type = 'inspected'
                                 AND (e.business LIKE '%"outcome":"match"%') IS NOT TRUE)
            ELSE false END AS "as_recorded!",
       l.last_region AS "last_region?: Region", t.series AS "series?", t.number AS "ticket_number?",
       t.region AS "region?: Region", t.forestry AS "forestry?", o.name AS "holder_name?",
       o.kind AS "holder_kind?: OrganizationKind", o.bin AS "holder_bin?"
FROM UNNEST($1::text[], $2::text[], $3::bytea[]) WITH ORDINALITY AS asked (number, identification, token, place)
LEFT JOIN api_key k ON k.token_hash = asked.token AND k.revoked_at IS NULL
LEFT JOIN seal by_code ON by_code.identification = asked.identification
LEFT JOIN seal s ON s.number = COALESCE(asked.number, by_code.number)
LEFT JOIN log l ON l.id = s.log_id
LEFT JOIN felling_ticket t ON t.id = l.ticket_id
LEFT JOIN organization o ON o.id = l.holder_id
ORDER BY asked.place
