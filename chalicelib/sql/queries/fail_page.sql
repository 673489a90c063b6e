-- Gives a page up, unless it is loaded, or the run has failed before all its pages were sent.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- or whoever waits for another page's change would fail
INSERT INTO pages (run_id, page, error)
SELECT run_id, %(page)s, %(error)s FROM runs WHERE run_id = %(run_id)s AND status <> 'failed'
ON CONFLICT (run_id, page) DO UPDATE SET error = excluded.error, worked_at = now() WHERE pages.error IS NOT NULL;
