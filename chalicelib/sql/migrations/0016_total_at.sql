ALTER TABLE runs
    -- where the source's pages say how many records there are, if they do
    ADD COLUMN total_at text;
