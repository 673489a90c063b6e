-- Ends expired seals, a limited number at a time, so that this takes a moment only. The array of ctids is computed
-- once. With a join, while Postgres believes the table to be empty, the subquery would run again for each row, and end
-- all expired seals. A cursor is kept for a day, although its run is usually continued within minutes.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- a snapshot for each statement
UPDATE runs SET next_cursor = NULL WHERE next_cursor IS NOT NULL AND finished_at < now() - interval '1 day';

UPDATE rejects SET sealed = NULL, sealed_until = NULL, uid_token = NULL
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM rejects
    WHERE sealed IS NOT NULL AND sealed_until <= now()
    ORDER BY sealed_until
    LIMIT 10000
    FOR UPDATE SKIP LOCKED
));
