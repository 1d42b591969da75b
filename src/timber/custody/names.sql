-- The organisations that histories name, and the mark of erasures as it was when they were read.
SELECT id, bin, name, kind AS "kind: OrganizationKind",
       (SELECT value FROM erasure_epoch WHERE one) AS "erasures?"
FROM organization WHERE id = ANY($1)
