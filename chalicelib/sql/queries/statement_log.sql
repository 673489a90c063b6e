-- The settings by which Postgres would log statements or rows: a load's statement holds a page's tokens and kept values
-- beside their uids.
SELECT name
FROM pg_settings
WHERE name = 'log_min_error_statement' AND setting NOT IN ('fatal', 'panic')
    OR name = 'log_error_verbosity' AND setting <> 'terse'
    OR name = 'log_statement' AND setting IN ('mod', 'all')
    OR name IN ('log_min_duration_statement', 'log_min_duration_sample', 'auto_explain.log_min_duration')
        AND setting <> '-1'
    OR name = 'log_transaction_sample_rate' AND setting <> '0'
ORDER BY name;
