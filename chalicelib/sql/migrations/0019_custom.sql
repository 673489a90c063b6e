ALTER TABLE users
    -- the fields that the source's dialect adds to Decant's own, each kept or as a token; NULL if it adds none
    ADD COLUMN custom jsonb,
    ADD CHECK (jsonb_typeof(custom) = 'object') NOT VALID; -- validating it would lock readers out
