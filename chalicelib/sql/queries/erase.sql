-- Forgets a person: the rows go, and a keyed token stays, so that no later run brings the person back.
-- The lock waits for the loads under way, and the next ones wait for it; see load_page.sql.
SELECT pg_advisory_xact_lock(hashtext('decant.erasures'));

WITH remembered AS (
    INSERT INTO erasures (uid_token) VALUES (%(uid_token)s) ON CONFLICT DO NOTHING
), gone AS (
    DELETE FROM users WHERE uid = %(uid)s RETURNING first_run_id, last_run_id
)
SELECT
    iso_utc(now()),
    (SELECT count(*) FROM gone),
    (SELECT count(*) FROM users_address WHERE uid = %(uid)s AND EXISTS (SELECT FROM gone)),
    ARRAY(SELECT first_run_id FROM gone UNION SELECT last_run_id FROM gone)::text[];
