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
