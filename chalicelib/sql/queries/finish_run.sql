-- Ends a run that is still running; a run that was recorded as lost or stopped in the meantime stays so. Idempotent:
-- a second try, and the worker of a stopped run, only add the timings.
-- A partial run without a loaded page is recorded as failed.
-- Returns the status and the counts from the ledger, which is authoritative: a load's response may have been lost.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- a stricter level fails after waiting for another page's change
SELECT FROM runs WHERE run_id = %(run_id)s FOR UPDATE; -- so that the next statement sees which pages were given up

WITH ended AS (
    UPDATE runs SET
        status = CASE WHEN %(status)s = 'partial' AND pages_done = 0 THEN 'failed' ELSE %(status)s END,
        error = %(error)s, timings = %(timings)s, next_page = %(next_page)s,
        as_of = CASE WHEN NOT %(missed)s THEN as_of END,
        finished_at = coalesce(finished_at, clock_timestamp()), lease_expires_at = NULL
    WHERE run_id = %(run_id)s
        AND (
            status = 'running'
            OR error IS NOT DISTINCT FROM %(error)s
                AND status = CASE WHEN %(status)s = 'partial' AND pages_done = 0 THEN 'failed' ELSE %(status)s END
        )
    RETURNING status, pages_done, fetched, inserted, updated, unchanged, duplicate, rejected, suppressed
), forgotten AS ( -- pages of a queued run that were given up before all were sent: a message must not reopen it
    DELETE FROM pages WHERE run_id = %(run_id)s AND error IS NOT NULL AND EXISTS (SELECT FROM ended)
)
TABLE ended;
