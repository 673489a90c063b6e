ALTER TABLE runs
    -- the run asks only for who has changed since then; NULL: for everybody
    ADD COLUMN since timestamptz,
    -- if the run succeeds, whatever had changed at the source by then is stored
    ADD COLUMN as_of timestamptz,
    -- there may be no records behind the run's last page; with it, nothing writes `unread` any more
    ADD COLUMN reads_to_end boolean NOT NULL DEFAULT false;
UPDATE runs SET reads_to_end = pages_are_full WHERE status = 'running' AND queued AND trigger IN ('schedule', 'manual');

ALTER TABLE erasures
    -- the same erasure under a newer key; the row stays, in case that key is taken back
    ADD COLUMN moved_to token REFERENCES erasures ON DELETE CASCADE;
CREATE INDEX erasures_by_move ON erasures (moved_to) WHERE moved_to IS NOT NULL;
