-- The pages of a run that have sealed rejects whose seal has not expired.
SELECT DISTINCT page FROM rejects WHERE run_id = %(run_id)s AND sealed_until > now() ORDER BY page;
