-- Lets one migrator in at a time, and tells it which migrations have been applied.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- a snapshot for each statement
SELECT pg_advisory_xact_lock(hashtext('decant.migrations'));
SET LOCAL lock_timeout = '2s'; -- readers wait behind a migration that waits; migrations.py tries again

CREATE TABLE IF NOT EXISTS migrations (
    name        text PRIMARY KEY,
    applied_at  timestamptz NOT NULL DEFAULT now()
);

SELECT name FROM migrations;
