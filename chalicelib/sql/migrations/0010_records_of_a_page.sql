ALTER TABLE pages
    -- how many records it had; NULL if it was given up, or loaded by an earlier version
    ADD COLUMN fetched integer CHECK (fetched >= 0),
    -- how many records there were in total, if the page said so
    ADD COLUMN total integer CHECK (total >= 0);
