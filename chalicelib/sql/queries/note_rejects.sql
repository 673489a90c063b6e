-- Keeps the rejects of a page that is not loaded, so that the cause can be seen; counts nothing.
INSERT INTO rejects (run_id, page, position, issues, fingerprint)
SELECT %(run_id)s, %(page)s, position, issues, fingerprint
FROM json_to_recordset(%(rejects)s) AS reject (position integer, issues jsonb, fingerprint token)
WHERE EXISTS (
    SELECT FROM runs WHERE run_id = %(run_id)s AND status = 'running' AND lease_expires_at > clock_timestamp()
);
