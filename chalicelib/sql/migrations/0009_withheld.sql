ALTER TABLE runs
    -- kept texts that were not stored, because they held an e-mail address or a long number
    ADD COLUMN withheld bigint NOT NULL DEFAULT 0 CHECK (withheld >= 0);
