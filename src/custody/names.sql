-- What histories name: organisations, and those personal parts that their readers may see.
SELECT id AS "id!", name AS "name?", kind AS "kind?: OrganizationKind", NULL::text AS "text?", NULL::bytea AS "secret?"
FROM organization WHERE id = ANY($1)
UNION ALL
SELECT id, NULL, NULL, text, secret
FROM personal WHERE id = ANY($2)
