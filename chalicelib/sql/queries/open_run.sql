-- Opens a run, or records that it was skipped because another run of the source holds the lease.
-- A run whose lease has run out, of whatever source, is lost, and said so first. So are seals that expired.
UPDATE runs SET status = 'lost', finished_at = now(), error = 'the lease ran out'
WHERE status = 'running' AND lease_expires_at < now();

UPDATE rejects SET sealed = NULL, sealed_until = NULL, uid_token = NULL
WHERE sealed IS NOT NULL AND sealed_until <= now();

WITH wanted AS (
    SELECT
        %(source)s AS source, %(trigger)s AS trigger, %(contract_hash)s AS contract_hash,
        %(key_version)s AS key_version, %(pages)s AS pages_planned, %(replay_of)s::uuid AS replay_of
), opened AS (
    INSERT INTO runs (source, trigger, contract_hash, key_version, pages_planned, replay_of, lease_expires_at)
    SELECT wanted.*, now() + %(lease_seconds)s * interval '1 second' FROM wanted
    ON CONFLICT (source) WHERE status = 'running' DO NOTHING
    RETURNING run_id, status
), skipped AS (
    INSERT INTO runs (
        source, trigger, contract_hash, key_version, pages_planned, replay_of, status, finished_at, error
    )
    SELECT wanted.*, 'skipped', now(), 'another run of this source is under way'
    FROM wanted
    WHERE NOT EXISTS (SELECT FROM opened)
    RETURNING run_id, status
)
SELECT run_id, status FROM opened UNION ALL SELECT run_id, status FROM skipped;
