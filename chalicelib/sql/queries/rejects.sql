-- The rejects of a run in the order of the source: where and why, never what.
SELECT page, position, issues, fingerprint, iso_utc(sealed_until), replayed_by
FROM rejects
WHERE run_id = %(run_id)s
ORDER BY page, position
LIMIT %(limit)s;
