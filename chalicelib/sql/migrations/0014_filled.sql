ALTER TABLE runs
    -- how many of the loaded people had a value, by column; empty if the run is older than this
    ADD COLUMN filled jsonb NOT NULL DEFAULT '{}';
