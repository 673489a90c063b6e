-- Adds the timings of a page of a queued run, and ends the run if this was its last page. Returns the run's status.
-- Such a run is partial if it has missed records, as one that works its pages in turn is (pipeline.py).
-- The lock is a separate statement, so that the next one sees what was loaded while this one waited.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- a snapshot for each statement
SELECT FROM runs WHERE run_id = %(run_id)s FOR UPDATE;

WITH worked AS (
    SELECT
        count(*) AS pages, count(error) AS given_up, min(page) FILTER (WHERE error IS NOT NULL) AS first,
        max(page) FILTER (WHERE fetched > 0) AS last, bool_or(fetched = 0) AS has_ended
    FROM pages
    WHERE run_id = %(run_id)s
), short AS (
    SELECT count(*) AS pages FROM pages JOIN runs USING (run_id)
    WHERE run_id = %(run_id)s AND page < (SELECT last FROM worked) AND pages.fetched < page_size
), missed AS (
    SELECT CASE
        WHEN worked.pages < pages_planned THEN NULL -- and `short`, which reads all pages, is not computed
        WHEN %(pages_are_full)s AND (SELECT pages FROM short) > 0
        THEN format('%%s pages had fewer records than requested, although others followed', (SELECT pages FROM short))
        WHEN has_ended AND runs.fetched < total
        THEN format('the source says that it has %%s records, and gave %%s', total, runs.fetched)
    END AS why
    FROM worked CROSS JOIN runs LEFT JOIN pages ON pages.run_id = runs.run_id AND page = last
    WHERE runs.run_id = %(run_id)s
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
        WHEN worked.given_up = 0 AND why IS NULL AND unread IS NULL THEN 'succeeded'
        WHEN pages_done > 0 THEN 'partial'
        ELSE 'failed'
    END,
    error = CASE
        WHEN worked.pages < pages_planned THEN NULL
        WHEN worked.given_up > 0 THEN (
            SELECT format('%%s of %%s pages were given up; %%s', worked.given_up, pages_planned, pages.error)
            FROM pages WHERE run_id = %(run_id)s AND page = worked.first
        )
        ELSE coalesce(why, unread)
    END,
    finished_at = CASE WHEN worked.pages >= pages_planned THEN clock_timestamp() END,
    lease_expires_at = CASE WHEN worked.pages < pages_planned THEN lease_expires_at END
FROM worked, missed
WHERE run_id = %(run_id)s AND status = 'running' AND queued
RETURNING status;
