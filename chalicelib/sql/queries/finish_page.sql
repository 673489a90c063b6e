-- Adds the timings of a page of a queued run, and ends the run if this was its last page. Returns what the ledger
-- has; nothing if the run is not running any more.
-- A run that may have missed records is partial.
-- The lock is a separate statement, so that the next one sees what was loaded while this one waited.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- a snapshot for each statement
SELECT FROM runs WHERE run_id = %(run_id)s FOR UPDATE;

WITH worked AS (
    SELECT count(*) AS pages, count(error) AS given_up, min(page) FILTER (WHERE error IS NOT NULL) AS first
    FROM pages
    WHERE run_id = %(run_id)s
), missed AS ( -- which reads all pages, so only at the end
    SELECT CASE WHEN worked.pages >= pages_planned THEN missed(runs) END AS why
    FROM worked CROSS JOIN runs
    WHERE run_id = %(run_id)s
)
UPDATE runs SET
    timings = (
        SELECT coalesce(jsonb_object_agg(step, round(coalesce(so_far, 0) + coalesce(more, 0), 3)), '{}')
        FROM
            (SELECT key AS step, value::numeric AS so_far FROM jsonb_each_text(timings)) AS before
            FULL JOIN (SELECT key AS step, value::numeric AS more FROM jsonb_each_text(%(timings)s)) AS page
            USING (step)
    ),
    status = CASE
        WHEN worked.pages < pages_planned THEN status
        WHEN worked.given_up = 0 AND why IS NULL THEN 'succeeded'
        WHEN pages_done > 0 THEN 'partial'
        ELSE 'failed'
    END,
    error = CASE
        WHEN worked.pages < pages_planned THEN NULL
        WHEN worked.given_up > 0 THEN (
            SELECT format('%%s of %%s pages were given up; %%s', worked.given_up, pages_planned, pages.error)
            FROM pages WHERE run_id = %(run_id)s AND page = worked.first
        )
        ELSE why
    END,
    finished_at = CASE WHEN worked.pages >= pages_planned THEN clock_timestamp() END,
    lease_expires_at = CASE WHEN worked.pages < pages_planned THEN lease_expires_at END
FROM worked, missed
WHERE run_id = %(run_id)s AND status = 'running' AND queued
RETURNING
    status, pages_done, fetched, inserted, updated, unchanged, duplicate, rejected, suppressed, filtered, departed, error;
