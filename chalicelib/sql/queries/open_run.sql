-- Opens a run, or records that it was skipped because another run of the source holds the lease.
-- First ends all runs, of any source, whose lease has run out: they are lost (a queued run that loaded a page is
-- partial, or has succeeded if it is complete).
-- A scheduled run continues where the previous scheduled one ran out of time or was asked to wait, unless the page size
-- differs. If the source pages by cursor, that takes the sealed cursor, which an erasure removes.
-- An incremental run asks only for who has changed since the last complete run (an hour more, for clocks that differ and
-- changes that a source shows late). Once a week, and under another contract, key or source than before, it asks for
-- everybody.
-- Idempotent: the caller chooses the run's id, and the lock, a separate statement, lets a second try see the result
-- of the first, even if that was still in progress.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- a snapshot for each statement
SET LOCAL lock_timeout = '1500ms'; -- for each of three waits; the client gives up after 5 s, and nothing may happen later
SELECT pg_advisory_xact_lock(hashtext('decant.opening'));

UPDATE runs SET
    status = status_now(runs),
    error = CASE
        WHEN status_now(runs) = 'partial' AND pages_done >= pages_planned THEN missed(runs)
        WHEN status_now(runs) = 'partial'
        THEN format('the lease ran out; %%s of %%s pages are missing', pages_planned - pages_done, pages_planned)
        WHEN status_now(runs) = 'lost' THEN 'the lease ran out'
    END,
    finished_at = now()
WHERE status = 'running' AND lease_expires_at < now();

WITH earlier AS (
    SELECT run_id, status, queued, since FROM runs WHERE run_id = %(run_id)s
), latest AS (
    SELECT next_page, next_cursor, page_size, contract_hash, key_version, reads_to_end, since, as_of FROM runs
    WHERE source = %(source)s AND trigger = 'schedule' AND status <> 'skipped' AND run_id <> %(run_id)s
        AND started_at <= now() -- a clock may have been set back
    ORDER BY started_at DESC
    LIMIT 1
), continued AS (
    SELECT next_page, next_cursor, since, as_of FROM latest
    WHERE %(trigger)s = 'schedule' AND next_page <= %(pages)s AND page_size = %(page_size)s
        AND (next_cursor IS NOT NULL) = %(by_cursor)s
        AND CASE
            WHEN %(incremental)s
            THEN contract_hash = %(contract_hash)s AND key_version = %(key_version)s AND reads_to_end
            ELSE since IS NULL
        END
        AND (since IS NOT NULL OR NOT %(queued)s) -- the pages of a queued run are sent all at once
), complete AS (
    SELECT max(as_of) AS as_of FROM runs
    WHERE %(incremental)s AND source = %(source)s AND status = 'succeeded' AND reads_to_end
        AND contract_hash = %(contract_hash)s AND key_version = %(key_version)s
        AND started_at BETWEEN now() - interval '7 days' AND now()
        AND as_of > ( -- people have not been stored in another way since then
            SELECT coalesce(max(started_at), '-infinity') FROM runs
            WHERE pages_done > 0 AND started_at <= now()
                AND (source, contract_hash, key_version) <> (%(source)s, %(contract_hash)s, %(key_version)s)
        )
    HAVING bool_or(since IS NULL AND as_of IS NOT NULL)
), beginning AS (
    SELECT
        coalesce(next_page, 1) AS first_page, next_cursor,
        CASE WHEN next_page IS NULL THEN complete.as_of - interval '1 hour' ELSE since END AS since,
        CASE WHEN next_page IS NULL THEN now() ELSE continued.as_of END AS as_of
    FROM (SELECT) AS one_row LEFT JOIN continued ON true LEFT JOIN complete ON true
), wanted AS (
    SELECT
        %(run_id)s::uuid AS run_id, %(source)s AS source, %(trigger)s AS trigger, %(contract_hash)s AS contract_hash,
        %(key_version)s AS key_version, %(pages)s - first_page + 1 AS pages_planned,
        %(page_size)s::integer AS page_size, %(replay_of)s::uuid AS replay_of, %(pages_are_full)s AS pages_are_full,
        %(reads_to_end)s AS reads_to_end, %(total_at)s AS total_at, since, as_of, queued,
        CASE WHEN queued THEN %(queued_lease_seconds)s ELSE %(lease_seconds)s END AS lease_seconds
    FROM beginning CROSS JOIN LATERAL (SELECT %(queued)s AND since IS NULL AS queued) AS way
    WHERE NOT EXISTS (SELECT FROM earlier)
), opened AS (
    INSERT INTO runs (
        run_id, source, trigger, contract_hash, key_version, pages_planned, page_size, replay_of, pages_are_full,
        reads_to_end, total_at, since, as_of, queued, lease_seconds, lease_expires_at
    )
    SELECT wanted.*, now() + lease_seconds * interval '1 second' FROM wanted
    ON CONFLICT (source) WHERE status = 'running' DO NOTHING
    RETURNING run_id, status, queued, since
), skipped AS (
    INSERT INTO runs (
        run_id, source, trigger, contract_hash, key_version, pages_planned, page_size, replay_of, pages_are_full,
        reads_to_end, total_at, since, as_of, queued, lease_seconds, status, finished_at, error
    )
    SELECT wanted.*, 'skipped', now(), 'another run of this source is in progress, or died and its lease has not expired'
    FROM wanted
    WHERE NOT EXISTS (SELECT FROM opened)
    RETURNING run_id, status, queued, since
)
SELECT run_id, status, first_page, queued, iso_utc(run.since), next_cursor
FROM (TABLE earlier UNION ALL TABLE opened UNION ALL TABLE skipped) AS run CROSS JOIN beginning;
