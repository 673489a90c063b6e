-- Ends a run that is still running; a run that was meanwhile counted as lost stays lost. Saying it twice is fine.
-- A run is partial only if there is a part; without a page that is loaded it failed.
-- Returns its status and its counts, which are the ledger's to know: the answer to a load may have got lost.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- or whoever waits for another page's change would fail
UPDATE runs SET
    status = CASE WHEN %(status)s = 'partial' AND pages_done = 0 THEN 'failed' ELSE %(status)s END,
    error = %(error)s, timings = %(timings)s, finished_at = clock_timestamp(), lease_expires_at = NULL,
    next_page = %(next_page)s
WHERE run_id = %(run_id)s
    AND status IN ('running', CASE WHEN %(status)s = 'partial' AND pages_done = 0 THEN 'failed' ELSE %(status)s END)
RETURNING status, pages_done, fetched, inserted, updated, unchanged, duplicate, rejected, suppressed;
