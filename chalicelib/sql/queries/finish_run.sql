-- Ends a run that is still running; a run that was meanwhile counted as lost stays lost. Saying it twice is fine.
-- Returns its counts, which are the ledger's to know: the answer to a load may have got lost.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- or whoever waits for another page's change would fail
UPDATE runs SET
    status = %(status)s, error = %(error)s, timings = %(timings)s, finished_at = clock_timestamp(),
    lease_expires_at = NULL, next_page = %(next_page)s
WHERE run_id = %(run_id)s AND status IN ('running', %(status)s)
RETURNING pages_done, fetched, inserted, updated, unchanged, duplicate, rejected, suppressed;
