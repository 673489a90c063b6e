ALTER TABLE users
    -- when the stored record was sealed, if a replay loaded it; else it is as old as updated_at
    ADD COLUMN sealed_at timestamptz;
