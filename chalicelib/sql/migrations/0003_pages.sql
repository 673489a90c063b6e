-- The pages of each run. They make a page take effect exactly once, although it may be processed twice, and show when
-- a queued run is done.

CREATE TABLE pages (
    run_id     uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    page       integer NOT NULL,
    -- why the page was given up; NULL if it was loaded
    error      text,
    worked_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, page)
);

ALTER TABLE runs
    -- its pages are messages in a queue, each processed by the worker that receives it; such a run can be reopened
    ADD COLUMN queued boolean NOT NULL DEFAULT false,
    -- how long the run may go without a sign of life
    ADD COLUMN lease_seconds integer NOT NULL DEFAULT 120,
    -- where the next scheduled run continues, if this one ran out of time
    ADD COLUMN next_page integer CHECK (next_page > 1);

-- The current status of a run, even if its lease has run out and this has not been recorded yet.
CREATE FUNCTION status_now(run runs) RETURNS text
    LANGUAGE sql STABLE
    RETURN CASE
        WHEN (run).status <> 'running' OR (run).lease_expires_at >= now() THEN (run).status
        WHEN (run).queued AND (run).pages_done >= (run).pages_planned THEN 'succeeded'
        WHEN (run).queued AND (run).pages_done > 0 THEN 'partial'
        ELSE 'lost'
    END;
