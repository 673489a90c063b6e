-- Deletes people whom no run has met for a number of days before a complete run over everybody began, a limited number
-- at a time, and counts them in that run. After any other run, or without an end of the source, nobody is known to have
-- left. A day more, because a row may say that its person was seen a day earlier than it was. Pages that older code
-- loaded, while it is being replaced or is back for a while, say of nobody that they were seen, and `filled` lacks them.
-- Returns how many the run has counted in all, since the answer of an earlier try may have got lost, and this try's uids.
-- The lock is that of an erasure: no load may take somebody for known and unchanged who is being deleted.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- a snapshot for each statement
SET LOCAL lock_timeout = '10s'; -- for each of two waits; the client gives up after 30 s, and nothing may happen later
SELECT pg_advisory_xact_lock(hashtext('decant.erasures'));

WITH departed AS (
    DELETE FROM users WHERE uid = ANY (ARRAY(
        SELECT uid FROM users
        WHERE last_seen_at < (
            SELECT as_of - (%(days)s + 1) * interval '1 day' FROM runs
            WHERE run_id = %(run_id)s AND status = 'succeeded' AND reads_to_end AND since IS NULL
                AND (filled ->> 'uid')::bigint = inserted + updated + unchanged + suppressed
        )
        LIMIT 10000
    ))
    RETURNING uid
), counted AS (
    UPDATE runs SET departed = departed + (SELECT count(*) FROM departed)
    WHERE run_id = %(run_id)s AND EXISTS (SELECT FROM departed)
    RETURNING departed
)
SELECT coalesce((SELECT departed FROM counted), departed), ARRAY(SELECT uid::text FROM departed)
FROM runs WHERE run_id = %(run_id)s;
