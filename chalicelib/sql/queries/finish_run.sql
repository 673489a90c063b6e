-- Ends a run that is still running; a run that was meanwhile counted as lost stays lost.
UPDATE runs SET
    status = %(status)s, error = %(error)s, timings = %(timings)s, finished_at = clock_timestamp(),
    lease_expires_at = NULL
WHERE run_id = %(run_id)s AND status = 'running'
RETURNING run_id;
