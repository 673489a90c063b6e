-- The newest runs in the ledger before the given one, of all statuses or of one; or one run.
SELECT
    run_id, source, trigger, status_now(runs) AS status, pages_planned, page_size, pages_done,
    fetched, inserted, updated, unchanged, duplicate, rejected, suppressed, filtered, unknown_fields, withheld, departed,
    error, contract_hash, key_version, timings, iso_utc(started_at) AS started_at, iso_utc(finished_at) AS finished_at,
    replay_of, queued, iso_utc(since) AS since
FROM runs
WHERE (%(run_id)s::uuid IS NULL OR run_id = %(run_id)s::uuid)
    AND (%(after)s::uuid IS NULL
        OR (started_at, run_id) < (SELECT started_at, run_id FROM runs WHERE run_id = %(after)s::uuid))
    AND (%(status)s::text IS NULL OR status_now(runs) = %(status)s)
ORDER BY runs.started_at DESC, run_id DESC
LIMIT %(limit)s;
