-- Ends seals that have expired: so many at a time that it is done in a moment. As a list of places they are looked for
-- once; as a join, while Postgres thinks the table empty, they would be looked for anew for each row, and all of them found.
UPDATE rejects SET sealed = NULL, sealed_until = NULL, uid_token = NULL
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM rejects
    WHERE sealed IS NOT NULL AND sealed_until <= now()
    ORDER BY sealed_until
    LIMIT 10000
    FOR UPDATE SKIP LOCKED
));
