-- Ends a run that is still running; a run that was recorded as lost in the meantime stays lost. Idempotent.
-- A partial run without a loaded page is recorded as failed.
-- Returns the status and the counts from the ledger, which is authoritative: a load's response may have been lost.
-- The lock is a separate statement, so that the next one sees what was loaded while this one waited.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- a snapshot for each statement
SELECT FROM runs WHERE run_id = %(run_id)s FOR NO KEY UPDATE;

WITH ending AS (
    SELECT CASE WHEN %(status)s = 'partial' AND pages_done = 0 THEN 'failed' ELSE %(status)s END AS status
    FROM runs
    WHERE run_id = %(run_id)s
)
UPDATE runs SET
    status = ending.status, error = %(error)s, timings = %(timings)s, finished_at = clock_timestamp(),
    lease_expires_at = NULL, next_page = %(next_page)s
FROM ending
WHERE run_id = %(run_id)s AND runs.status IN ('running', ending.status)
RETURNING runs.status, pages_done, fetched, inserted, updated, unchanged, duplicate, rejected, suppressed;
