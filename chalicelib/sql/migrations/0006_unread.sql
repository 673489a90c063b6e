ALTER TABLE runs
    -- for a queued run: a message that its last page was not the source's last. Such a run never counts as succeeded
    ADD COLUMN unread text;

-- As before, but takes `unread` into account.
CREATE OR REPLACE FUNCTION status_now(run runs) RETURNS text
    LANGUAGE sql STABLE
    RETURN CASE
        WHEN (run).status <> 'running' OR (run).lease_expires_at >= now() THEN (run).status
        WHEN (run).queued AND (run).pages_done >= (run).pages_planned AND (run).unread IS NULL THEN 'succeeded'
        WHEN (run).queued AND (run).pages_done > 0 THEN 'partial'
        ELSE 'lost'
    END;
