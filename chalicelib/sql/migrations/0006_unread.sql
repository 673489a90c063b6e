ALTER TABLE runs
    -- for a queued run: a message that its last page was not the source's last. Such a run never counts as succeeded
    ADD COLUMN unread text;
