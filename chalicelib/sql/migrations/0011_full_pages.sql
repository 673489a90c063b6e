ALTER TABLE runs
    -- for a queued run: a page with fewer records than requested must be the last that has any
    ADD COLUMN pages_are_full boolean NOT NULL DEFAULT false;
