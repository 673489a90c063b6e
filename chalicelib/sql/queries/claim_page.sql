-- Lets a page of a queued run be worked: renews the lease, and opens the run again if it had ended without this
-- page. Returns a row if there is something to do; none if the page is loaded already, is none of the run's, or the
-- run failed before all its pages were sent.
-- That the page was once given up is forgotten, so that the run does not end before it is worked.
-- Fails by one_run_per_source if the run would have to be opened while another is under way.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- or whoever waits for another page's change would fail
WITH pending AS (
    DELETE FROM pages WHERE run_id = %(run_id)s AND page = %(page)s AND error IS NOT NULL
)
UPDATE runs SET
    status = 'running', finished_at = NULL, error = NULL,
    lease_expires_at = clock_timestamp() + lease_seconds * interval '1 second'
WHERE run_id = %(run_id)s AND queued AND %(page)s BETWEEN 1 AND pages_planned
    AND (
        status IN ('running', 'partial', 'lost')
        OR status = 'failed' AND EXISTS (SELECT FROM pages WHERE run_id = %(run_id)s AND error IS NOT NULL)
    )
    AND NOT EXISTS (SELECT FROM pages WHERE run_id = %(run_id)s AND page = %(page)s AND error IS NULL)
RETURNING run_id;
