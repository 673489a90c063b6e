-- Opens a run, or records that it was skipped because another run of the source holds the lease.
-- A run whose lease has run out, of whatever source, is lost, and said so first.
UPDATE runs SET status = 'lost', finished_at = now(), error = 'the lease ran out'
WHERE status = 'running' AND lease_expires_at < now();

WITH opened AS (
    INSERT INTO runs (source, trigger, contract_hash, key_version, pages_planned, lease_expires_at)
    VALUES (
        %(source)s, %(trigger)s, %(contract_hash)s, %(key_version)s, %(pages)s,
        now() + %(lease_seconds)s * interval '1 second'
    )
    ON CONFLICT (source) WHERE status = 'running' DO NOTHING
    RETURNING run_id, status
), skipped AS (
    INSERT INTO runs (source, trigger, contract_hash, key_version, pages_planned, status, finished_at, error)
    SELECT
        %(source)s, %(trigger)s, %(contract_hash)s, %(key_version)s, %(pages)s, 'skipped', now(),
        'another run of this source is under way'
    WHERE NOT EXISTS (SELECT FROM opened)
    RETURNING run_id, status
)
SELECT run_id, status FROM opened UNION ALL SELECT run_id, status FROM skipped;
