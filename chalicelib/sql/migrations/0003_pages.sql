-- The pages of each run: what makes a page's effect exactly-once although it may be worked twice, and what lets a
-- run over a queue know when it is done.

CREATE TABLE pages (
    run_id     uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    page       integer NOT NULL,
    -- why the page was given up; NULL if it is loaded
    error      text,
    worked_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, page)
);

ALTER TABLE runs
    -- its pages are messages of a queue, each worked by whoever gets it; such a run can go on after it ended
    ADD COLUMN queued boolean NOT NULL DEFAULT false,
    -- how long the run may show no sign of life
    ADD COLUMN lease_seconds integer NOT NULL DEFAULT 120,
    -- where the next scheduled run goes on, if this one's time was up
    ADD COLUMN next_page integer CHECK (next_page > 1);

-- The status of a run, also if its lease has run out and nobody has written that down yet.
CREATE FUNCTION status_now(run runs) RETURNS text
    LANGUAGE sql STABLE
    RETURN CASE
        WHEN (run).status <> 'running' OR (run).lease_expires_at >= now() THEN (run).status
        WHEN (run).queued AND (run).pages_done >= (run).pages_planned THEN 'succeeded'
        WHEN (run).queued AND (run).pages_done > 0 THEN 'partial'
        ELSE 'lost'
    END;
