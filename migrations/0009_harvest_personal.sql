-- Whose personal part was where: an erasure, and the check of it, look harvests up by it.

CREATE INDEX harvest_personal ON harvest (personal_id);
COMMENT ON INDEX harvest_personal IS 'For an erasure, and for fsck, which looks one up for each that was recorded';
