-- Corrections of slips: entries that never were, wrong seal numbers, wrong responsible persons; seizures.

-- How often corrections of a ticket gave volume back. The lines of the ticket are locked while this is read.
CREATE INDEX finding_returned ON finding (ticket_id) WHERE rule = 'L18';
COMMENT ON INDEX finding_returned IS 'For the number of corrections that gave volume back on a ticket';

-- Personal parts that belong neither to a harvest nor to an organisation: officials, and corrected responsible
-- persons. They are few among many events, so the index is small.
CREATE INDEX event_personal ON event (personal_id)
    WHERE personal_id IS NOT NULL AND type <> 'harvested' AND type <> 'organization_registered';
COMMENT ON INDEX event_personal IS 'For an erasure, and for fsck: the events of a personal part that no harvest and no organisation has';

COMMENT ON COLUMN seal.void_reason IS 'spoiled, lost, stolen, destroyed, seized, found_detached, replaced, recorded_in_error or annulled';
COMMENT ON COLUMN log.status IS 'annulled: the entry was recorded in error, and its volume counts against no ticket line';
