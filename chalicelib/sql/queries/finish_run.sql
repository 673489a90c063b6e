-- Ends a run that is still running; a run that was recorded as lost or stopped in the meantime stays so. Idempotent:
-- a second try, and the worker of a stopped run, only add the timings (a cursor may have been erased since).
-- A partial run without a loaded page is recorded as failed; one that has read everything, but in which the source
-- seems to have changed, as partial. On one in which the dialect wanted nobody, no other builds, not even its next part.
-- Returns what the ledger has, which is authoritative: a load's response may have been lost.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- a stricter level fails after waiting for another page's change
SELECT FROM runs WHERE run_id = %(run_id)s FOR UPDATE; -- so that the next statement sees which pages were given up

WITH ending AS (
    SELECT
        run_id,
        CASE
            WHEN is_judged THEN status
            WHEN %(status)s = 'partial' AND pages_done = 0 THEN 'failed'
            WHEN problem IS NOT NULL THEN 'partial'
            ELSE %(status)s
        END AS status,
        CASE WHEN is_judged THEN error ELSE nullif(concat_ws('; ', %(error)s, problem), '') END AS error,
        problem
    FROM runs CROSS JOIN LATERAL ( -- by a first try; what it judged by may have changed, as_of by itself
        SELECT status IN ('succeeded', 'partial') AND %(status)s IN ('succeeded', 'partial') AS is_judged
    ) AS earlier CROSS JOIN LATERAL (
        SELECT CASE
            WHEN %(status)s IN ('succeeded', 'partial') AND NOT is_judged THEN implausible(runs)
        END AS problem
    ) AS judged
    WHERE run_id = %(run_id)s
), ended AS (
    UPDATE runs SET
        status = ending.status, error = ending.error,
        timings = coalesce(nullif(%(timings)s, '{}'::jsonb), timings),
        next_page = CASE WHEN runs.status = 'running' THEN %(next_page)s ELSE runs.next_page END,
        next_cursor = CASE WHEN runs.status = 'running' THEN %(next_cursor)s ELSE runs.next_cursor END,
        as_of = CASE WHEN NOT %(missed)s AND (problem IS NULL OR filled ->> 'uid' <> '0') THEN as_of END,
        finished_at = coalesce(finished_at, clock_timestamp()), lease_expires_at = NULL
    FROM ending
    WHERE runs.run_id = ending.run_id
        AND (runs.status = 'running' OR runs.status = ending.status AND runs.error IS NOT DISTINCT FROM ending.error)
    RETURNING
        runs.status, pages_done, fetched, inserted, updated, unchanged, duplicate, rejected, suppressed, filtered,
        departed, runs.error
), used AS ( -- whether the run has continued there or not
    UPDATE runs SET next_cursor = NULL
    FROM runs AS this
    WHERE this.run_id = %(run_id)s AND this.trigger = 'schedule' AND runs.source = this.source
        AND runs.run_id <> this.run_id AND runs.next_cursor IS NOT NULL AND EXISTS (SELECT FROM ended)
), forgotten AS ( -- pages of a queued run that were given up before all were sent: a message must not reopen it
    DELETE FROM pages WHERE run_id = %(run_id)s AND error IS NOT NULL AND EXISTS (SELECT FROM ended)
)
TABLE ended;
