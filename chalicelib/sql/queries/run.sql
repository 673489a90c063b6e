-- One run in the ledger.
SELECT
    run_id, source, trigger,
    status_now(runs),
    pages_planned, pages_done, fetched, inserted, updated, unchanged, duplicate, rejected, suppressed,
    unknown_fields, error, contract_hash, key_version, timings, iso_utc(started_at), iso_utc(finished_at), replay_of, queued
FROM runs
WHERE run_id = %(run_id)s;
