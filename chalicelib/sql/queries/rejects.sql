-- The rejects of a run in the order of the source, after the given place: where and why, never the value.
SELECT page, position, issues, fingerprint, iso_utc(sealed_until), replayed_by
FROM rejects
WHERE run_id = %(run_id)s
    AND (%(after_page)s::integer IS NULL OR (page, position) > (%(after_page)s::integer, %(after_position)s::integer))
ORDER BY page, position
LIMIT %(limit)s;
