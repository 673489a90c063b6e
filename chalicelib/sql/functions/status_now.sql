-- The current status of a run, even if its lease has run out and this has not been recorded yet. A queued run that may
-- have missed records never counts as succeeded.
CREATE OR REPLACE FUNCTION status_now(run runs) RETURNS text
    LANGUAGE sql STABLE
    RETURN CASE
        WHEN (run).status <> 'running' OR (run).lease_expires_at >= now() THEN (run).status
        WHEN (run).queued AND (run).pages_done >= (run).pages_planned AND missed(run) IS NULL THEN 'succeeded'
        WHEN (run).queued AND (run).pages_done > 0 THEN 'partial'
        ELSE 'lost'
    END;
