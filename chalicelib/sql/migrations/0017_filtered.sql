ALTER TABLE runs
    -- valid records that the dialect does not want
    ADD COLUMN filtered bigint NOT NULL DEFAULT 0 CHECK (filtered >= 0),
    DROP CONSTRAINT conservation,
    ADD CONSTRAINT conservation CHECK
        (fetched = inserted + updated + unchanged + duplicate + rejected + suppressed + filtered);
