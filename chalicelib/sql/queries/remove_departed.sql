-- Deletes the people whom departed.sql has found for a run, unless one has been met since, and counts them in that run.
-- Returns how many the run has counted in all, since the answer of an earlier try may have got lost.
-- The lock is that of an erasure: no load may take somebody for known and unchanged who is being deleted.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- a snapshot for each statement
SET LOCAL lock_timeout = '10s'; -- for each of two waits; the client gives up after 30 s, and nothing may happen later
SELECT pg_advisory_xact_lock(hashtext('decant.erasures'));

WITH departed AS (
    DELETE FROM users
    WHERE uid = ANY (%(uids)s::uuid[])
        AND last_seen_at < (SELECT as_of - (%(days)s + 1) * interval '1 day' FROM runs WHERE run_id = %(run_id)s)
    RETURNING uid
), counted AS (
    UPDATE runs SET departed = departed + (SELECT count(*) FROM departed)
    WHERE run_id = %(run_id)s AND EXISTS (SELECT FROM departed)
    RETURNING departed
)
SELECT coalesce((SELECT departed FROM counted), departed) FROM runs WHERE run_id = %(run_id)s;
