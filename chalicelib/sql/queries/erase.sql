-- Forgets a person: the rows and the sealed records go, and one keyed token stays, made by the newest key, so
-- that no later run brings the person back.
-- The lock waits for the loads under way, and the next ones wait for it; see functions/load_page.sql.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- a snapshot for each statement
SELECT pg_advisory_xact_lock(hashtext('decant.erasures'));

WITH remembered AS (
    INSERT INTO erasures (uid_token) VALUES (%(uid_token)s) ON CONFLICT DO NOTHING
), outdated AS (
    DELETE FROM erasures WHERE uid_token = ANY (%(older_tokens)s::text[])
), gone AS (
    DELETE FROM users WHERE uid = %(uid)s RETURNING first_run_id, last_run_id
), unsealed AS (
    UPDATE rejects SET sealed = NULL, sealed_until = NULL, uid_token = NULL
    WHERE uid_token = ANY (%(older_tokens)s::text[] || %(uid_token)s::text)
    RETURNING run_id
)
SELECT
    iso_utc(now()),
    (SELECT count(*) FROM gone),
    (SELECT count(*) FROM users_address WHERE uid = %(uid)s AND EXISTS (SELECT FROM gone)),
    (SELECT count(*) FROM unsealed),
    ARRAY(
        SELECT first_run_id FROM gone UNION SELECT last_run_id FROM gone UNION SELECT run_id FROM unsealed
    )::text[];
