-- The sealed rejects of a run whose seal has not expired, in the order of the source, with the moment at which
-- each was sealed.
SELECT position, sealed, iso_utc(created_at)
FROM rejects
WHERE run_id = %(run_id)s AND page = %(page)s AND sealed_until > now()
ORDER BY position;
