-- Claims a page of a queued run: renews the lease, and reopens the run if it had ended without this page. Returns a
-- row if there is work to do; none if the page is already loaded, is not one of the run's, the run failed before
-- all its pages were sent, or it was stopped.
-- If the page was once given up, this is forgotten, so that the run does not end before the page is processed.
-- No run over changes builds on a run whose pages were processed under two contracts or keys, as when a deployment was
-- taken back meanwhile.
-- Violates one_run_per_source if the run would have to be reopened while another is in progress.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- a stricter level fails after waiting for another page's change
SELECT FROM runs WHERE run_id = %(run_id)s FOR UPDATE; -- so that the next statement sees whether the run was stopped

WITH pending AS (
    DELETE FROM pages WHERE run_id = %(run_id)s AND page = %(page)s AND error IS NOT NULL
)
UPDATE runs SET
    status = 'running', finished_at = NULL, error = NULL,
    as_of = CASE WHEN (contract_hash, key_version) = (%(contract_hash)s, %(key_version)s) THEN as_of END,
    lease_expires_at = clock_timestamp() + lease_seconds * interval '1 second'
WHERE run_id = %(run_id)s AND queued AND %(page)s BETWEEN 1 AND pages_planned
    AND (
        status IN ('running', 'partial', 'lost')
        OR status = 'failed' AND EXISTS (SELECT FROM pages WHERE run_id = %(run_id)s AND error IS NOT NULL)
    )
    AND NOT EXISTS (SELECT FROM pages WHERE run_id = %(run_id)s AND page = %(page)s AND error IS NULL)
RETURNING run_id;
