ALTER TABLE runs
    -- how many records were requested per page; a run with another page size cannot continue where this one stopped
    ADD COLUMN page_size integer CHECK (page_size > 0);
