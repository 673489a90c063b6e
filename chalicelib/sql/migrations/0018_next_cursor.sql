ALTER TABLE runs
    -- where the next scheduled run continues, sealed with the quarantine's key, for a source that pages by cursor
    ADD COLUMN next_cursor bytea;
CREATE INDEX runs_with_cursor ON runs (source) WHERE next_cursor IS NOT NULL;
