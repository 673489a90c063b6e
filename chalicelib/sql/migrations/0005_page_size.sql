ALTER TABLE runs
    -- how many records a page was to have; where a run stopped means nothing to one with pages of another size
    ADD COLUMN page_size integer CHECK (page_size > 0);
