-- Ends a run that is in progress, because somebody asked. Its worker finds out when it next loads a page, and stops.
-- The run counts as failed, and not as partial, so that no message of a queued run reopens it. Idempotent.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- a snapshot for each statement
SELECT FROM runs WHERE run_id = %(run_id)s FOR UPDATE;

WITH stopped AS (
    UPDATE runs SET
        status = 'failed', error = 'stopped on request', finished_at = clock_timestamp(), lease_expires_at = NULL
    WHERE run_id = %(run_id)s AND status = 'running'
        AND (status_now(runs) = 'running' OR queued AND pages_done < pages_planned) -- its messages may still come
    RETURNING run_id
)
DELETE FROM pages USING stopped WHERE pages.run_id = stopped.run_id AND pages.error IS NOT NULL;
