ALTER TABLE pages
    -- how many records it had; NULL if it was given up, or loaded by an earlier version
    ADD COLUMN fetched integer CHECK (fetched >= 0);
