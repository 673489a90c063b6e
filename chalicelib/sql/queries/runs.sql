-- The newest runs in the ledger before the given one.
SELECT
    run_id, source, trigger,
    status_now(runs),
    pages_planned, pages_done, fetched, inserted, updated, unchanged, duplicate, rejected, suppressed,
    unknown_fields, error, contract_hash, key_version, timings, iso_utc(started_at), iso_utc(finished_at), replay_of, queued
FROM runs
WHERE %(after)s::uuid IS NULL
    OR (started_at, run_id) < (SELECT started_at, run_id FROM runs WHERE run_id = %(after)s::uuid)
ORDER BY started_at DESC, run_id DESC
LIMIT %(limit)s;
