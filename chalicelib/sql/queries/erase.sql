-- Erases a person: deletes the rows and the sealed records, and keeps a keyed token, made with the newest key, so that
-- no later run brings the person back. Deletes sealed cursors, too, since one may hold the person's values.
-- Returns nothing and does nothing if newer keys are in use: data stored under them would not be found.
-- The lock waits for the loads in progress, and later loads wait for it; see functions/load_page.sql.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- a snapshot for each statement
SET LOCAL lock_timeout = '9s'; -- for each of three waits; the client gives up after 30 s, and nothing may happen later
SELECT pg_advisory_xact_lock(hashtext('decant.erasures'));

WITH begun AS (
    SELECT least(now(), min(erased_at)) AS at -- of an erasure that is repeated, the time of the first
    FROM erasures
    WHERE uid_token = ANY (%(older_tokens)s::text[] || %(uid_token)s::text)
    HAVING NOT EXISTS (SELECT FROM key_versions WHERE is_overtaken(version, proof, %(key)s))
), remembered AS (
    INSERT INTO erasures (uid_token, erased_at) SELECT %(uid_token)s, at FROM begun
    ON CONFLICT (uid_token) DO UPDATE SET erased_at = excluded.erased_at, moved_to = NULL
), moved AS (
    UPDATE erasures SET moved_to = %(uid_token)s
    WHERE uid_token = ANY (%(older_tokens)s::text[]) AND EXISTS (SELECT FROM begun)
), gone AS (
    DELETE FROM users WHERE uid = %(uid)s AND EXISTS (SELECT FROM begun) RETURNING first_run_id, last_run_id
), unsealed AS (
    UPDATE rejects SET sealed = NULL, sealed_until = NULL, uid_token = NULL
    WHERE uid_token = ANY (%(older_tokens)s::text[] || %(uid_token)s::text) AND EXISTS (SELECT FROM begun)
    RETURNING run_id
), cursors AS (
    UPDATE runs SET next_cursor = NULL WHERE next_cursor IS NOT NULL AND EXISTS (SELECT FROM begun)
)
SELECT
    iso_utc(at),
    (SELECT count(*) FROM gone),
    (SELECT count(*) FROM users_address WHERE uid = %(uid)s),
    (SELECT count(*) FROM unsealed),
    ARRAY(
        SELECT first_run_id FROM gone UNION SELECT last_run_id FROM gone UNION SELECT run_id FROM unsealed
    )::text[]
FROM begun;
