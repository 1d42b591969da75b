-- Logs by exactly one of id, seal number and identification each, with the key whose token came with it and what
-- decides how much its holder may see; in order, none for a code that names no log.
SELECT asked.place AS "place!", l.id AS "id!: LogId", l.salt AS "salt!", l.head_seq AS "head_seq!", l.head_hash AS "head_hash!",
       l.head_received_at AS "head_received_at!", l.kind AS "kind!: LogKind", l.species AS "species!: Species",
       l.wood AS "wood!: Wood", l.assortment AS "assortment?: Assortment", l.grade AS "grade?: Grade",
       l.length_m AS "length_m?: Length", l.top_diameter_cm AS "top_diameter_cm?: Diameter",
       l.pieces AS "pieces?: Pieces", l.volume_m3 AS "volume_m3!: Volume",
       l.table_volume_m3 AS "table_volume_m3?: Volume",
       l.measurement_method AS "measurement_method!: MeasurementMethod", l.felled_on AS "felled_on!",
       l.harvest_id AS "harvest_id!: HarvestId", l.ticket_id AS "ticket_id!: TicketId",
       l.issuer_id AS "issuer_id!: OrganizationId", l.seal_number AS "seal_number!: SealNumber",
       l.seal_void AS "seal_void!", l.own_use AS "own_use!", seal.marking_code AS "marking_code!: MarkingCode", l.status AS "status!: Status",
       l.holder_id AS "holder_id!: OrganizationId", l.owner_id AS "owner_id!: OrganizationId",
       l.pending_from AS "pending_from?: OrganizationId", l.pending_to AS "pending_to?: OrganizationId",
       l.pending_of AS "pending_of?: TransferOf", l.carrier_id AS "carrier_id?: OrganizationId",
       l.vehicle AS "vehicle?", l.held_since AS "held_since?", l.held_reason AS "held_reason?",
       l.ticket_held_since AS "ticket_held_since?", l.ticket_held_until AS "ticket_held_until?",
       l.ticket_held_reason AS "ticket_held_reason?", l.last_type AS "last_type!: LogEventType", l.last_on AS "last_on!",
       l.last_region AS "last_region?: Region", t.series AS "series!", t.number AS "number!",
       t.region AS "region!: Region", t.district AS "district?", t.forestry AS "forestry!",
       t.compartment AS "compartment!", t.subcompartment AS "subcompartment?",
       t.cutting_area AS "cutting_area?", past.until_seq AS "until_seq?",
       (SELECT value FROM erasure_epoch WHERE one) AS "erasures?",
       k.id AS "key_id?", k.organization_id AS "key_organization?", k.expires_at AS "key_expires_at?",
       k.last_used_at AS "key_last_used_at?", o.roles AS "key_roles?: Vec<Role>"
FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::bytea[]) WITH ORDINALITY
     AS asked (id, number, identification, token, place)
LEFT JOIN api_key k ON k.token_hash = asked.token AND k.revoked_at IS NULL
LEFT JOIN organization o ON o.id = k.organization_id
LEFT JOIN seal named ON named.identification = asked.identification
LEFT JOIN log_seal ls ON ls.seal_number = COALESCE(asked.number, named.number)
JOIN log l ON l.id = COALESCE(asked.id, ls.log_id)
JOIN felling_ticket t ON t.id = l.ticket_id
JOIN seal ON seal.number = l.seal_number
LEFT JOIN past_party past ON past.log_id = l.id AND past.organization_id = k.organization_id
ORDER BY asked.place
