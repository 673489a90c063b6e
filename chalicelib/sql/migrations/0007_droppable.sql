-- A column that the contract may drop can be empty: all but the uid.
ALTER TABLE users ALTER COLUMN birth_year DROP NOT NULL;
ALTER TABLE users_address ALTER COLUMN lat DROP NOT NULL, ALTER COLUMN lng DROP NOT NULL;
