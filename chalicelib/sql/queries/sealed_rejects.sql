-- The sealed rejects of a page of a run whose seal has not expired, in the order of the source, and when each was
-- sealed.
SELECT position, sealed, iso_utc(created_at)
FROM rejects
WHERE run_id = %(run_id)s AND page = %(page)s AND sealed_until > now()
ORDER BY position;
