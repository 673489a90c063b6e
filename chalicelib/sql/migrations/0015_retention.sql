ALTER TABLE users
    -- when a run last met the person at the source; up to a day older, since an unchanged row is written once a day
    ADD COLUMN last_seen_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE runs
    -- people whom the source no longer has, deleted at the end of the run
    ADD COLUMN departed bigint NOT NULL DEFAULT 0 CHECK (departed >= 0);
