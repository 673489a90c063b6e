-- Stores the rejects of a page that is not loaded, so that the cause can be seen; counts nothing. Takes the same locks
-- as functions/load_page.sql. Returns whether newer keys are in use: then nothing is written, since people erased
-- under those keys would not be recognised.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- a snapshot for each statement
SELECT pg_advisory_xact_lock_shared(hashtext('decant.erasures'));

SELECT FROM runs WHERE run_id = %(run_id)s FOR UPDATE;

WITH overtaken AS (
    SELECT EXISTS (SELECT FROM key_versions WHERE is_overtaken(version, proof, %(key)s)) AS is_so
), run AS (
    SELECT run_id FROM runs
    WHERE run_id = %(run_id)s AND status = 'running' AND lease_expires_at > clock_timestamp()
        AND NOT (SELECT is_so FROM overtaken)
        AND NOT EXISTS (SELECT FROM pages WHERE run_id = %(run_id)s AND page = %(page)s AND error IS NULL)
), rejects_deleted AS ( -- the rejects that an earlier try at this page stored; they are replaced
    DELETE FROM rejects
    WHERE run_id = %(run_id)s AND page = %(page)s AND EXISTS (SELECT FROM run)
    RETURNING position
), reject_rows AS (
    SELECT *, unless_erased(sealed, uid_tokens) AS seal
    FROM json_to_recordset(%(rejects)s) AS reject (
        position integer, issues jsonb, fingerprint token, sealed text, uid_tokens text[]
    )
), rejects_inserted AS ( -- after all of the deletions, since both have the same keys
    INSERT INTO rejects (run_id, page, position, issues, fingerprint, sealed, uid_token, sealed_until)
    SELECT
        run_id, %(page)s, position, issues, fingerprint, seal,
        CASE WHEN seal IS NOT NULL THEN uid_tokens[1] END,
        CASE WHEN seal IS NOT NULL THEN now() + %(seal_days)s * interval '1 day' END
    FROM run CROSS JOIN (SELECT count(*) FROM rejects_deleted) AS gone CROSS JOIN reject_rows
)
SELECT is_so FROM overtaken;
