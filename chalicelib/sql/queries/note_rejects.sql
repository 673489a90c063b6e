-- Keeps the rejects of a page that is not loaded, so that the cause can be seen; counts nothing. The locks are
-- those of functions/load_page.sql.
SELECT pg_advisory_xact_lock_shared(hashtext('decant.erasures'));

SELECT FROM runs WHERE run_id = %(run_id)s FOR UPDATE;

-- What an earlier try at this page had noted is noted anew.
DELETE FROM rejects
WHERE run_id = %(run_id)s AND page = %(page)s
    AND NOT EXISTS (SELECT FROM pages WHERE run_id = %(run_id)s AND page = %(page)s AND error IS NULL)
    AND EXISTS (
        SELECT FROM runs
        WHERE run_id = %(run_id)s AND status = 'running' AND lease_expires_at > clock_timestamp()
    );

WITH run AS (
    SELECT run_id FROM runs
    WHERE run_id = %(run_id)s AND status = 'running' AND lease_expires_at > clock_timestamp()
        AND NOT EXISTS (SELECT FROM pages WHERE run_id = %(run_id)s AND page = %(page)s AND error IS NULL)
), kept AS (
    SELECT *, unless_erased(sealed, uid_tokens) AS seal
    FROM json_to_recordset(%(rejects)s) AS reject (
        position integer, issues jsonb, fingerprint token, sealed text, uid_tokens text[]
    )
)
INSERT INTO rejects (run_id, page, position, issues, fingerprint, sealed, uid_token, sealed_until)
SELECT
    run_id, %(page)s, position, issues, fingerprint, seal,
    CASE WHEN seal IS NOT NULL THEN uid_tokens[1] END,
    CASE WHEN seal IS NOT NULL THEN now() + %(seal_days)s * interval '1 day' END
FROM run CROSS JOIN kept;
