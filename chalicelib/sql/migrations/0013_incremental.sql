ALTER TABLE runs
    -- the run asks only for who has changed since then; NULL: for everybody
    ADD COLUMN since timestamptz,
    -- if the run succeeds, whatever had changed at the source by then is stored
    ADD COLUMN as_of timestamptz;
