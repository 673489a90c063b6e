-- Ends seals that have expired: so many at a time that it is done in a moment.
UPDATE rejects SET sealed = NULL, sealed_until = NULL, uid_token = NULL
WHERE (run_id, page, position) IN (
    SELECT run_id, page, position FROM rejects
    WHERE sealed IS NOT NULL AND sealed_until <= now()
    ORDER BY sealed_until
    LIMIT 10000
    FOR UPDATE SKIP LOCKED
);
