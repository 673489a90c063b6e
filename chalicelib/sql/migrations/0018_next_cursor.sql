ALTER TABLE runs
    -- where the next scheduled run continues, if the source pages by cursor: sealed with the quarantine's key, in base64
    ADD COLUMN next_cursor text;
CREATE INDEX runs_with_cursor ON runs (source) WHERE next_cursor IS NOT NULL;
