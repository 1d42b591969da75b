-- Organisations change: name, roles, suspension. A person without a role may hold timber for own use.

ALTER TABLE organization ADD COLUMN suspended_since timestamptz;
COMMENT ON COLUMN organization.suspended_since IS 'Since when the organisation is suspended: it reads, and records only the end of what is under way; null: it is not';
COMMENT ON COLUMN organization.name IS 'Name in force; a sole trader''s is a person''s; null once erased';
COMMENT ON COLUMN organization.kind IS 'legal_entity, sole_trader, farm or individual';
COMMENT ON COLUMN organization.roles IS 'operator, forest_owner, enterprise, carrier, inspector; empty for an individual';

-- NOT VALID, then VALIDATE: the table is not locked while its rows are read.
ALTER TABLE organization DROP CONSTRAINT organization_roles_check;
ALTER TABLE organization ADD CONSTRAINT organization_roles_check
    CHECK ((cardinality(roles) = 0) = (kind = 'individual')) NOT VALID;
ALTER TABLE organization VALIDATE CONSTRAINT organization_roles_check;

COMMENT ON TABLE erasure_epoch IS 'One row, which every erasure of a person and every change of an organisation''s name changes: ETags and cached names of before are void';
COMMENT ON COLUMN erasure_epoch.value IS 'Random bytes; empty before the first such change';

-- Firewood that a forest owner recorded for an individual: the forest owner, which issued the ticket, records for it.
ALTER TABLE log ADD COLUMN own_use boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN log.own_use IS 'It is an individual''s, for own use: the ticket''s issuer records for the holder, and it cannot be transferred or sold';
CREATE INDEX log_own_use ON log (issuer_id, id) WHERE own_use;

-- Look-ups of logs by vehicle and by carrier. Both columns are null except on the road, so the indexes are small.
CREATE INDEX log_vehicle ON log (upper(replace(vehicle, ' ', '')), id) WHERE vehicle IS NOT NULL;
CREATE INDEX log_carrier ON log (carrier_id, id) WHERE carrier_id IS NOT NULL;
