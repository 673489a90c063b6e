-- Records that a page was given up, unless it is loaded or the run failed before all its pages were sent.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- a snapshot for each statement
SELECT FROM runs WHERE run_id = %(run_id)s FOR UPDATE;

INSERT INTO pages (run_id, page, error)
SELECT run_id, %(page)s, %(error)s FROM runs WHERE run_id = %(run_id)s AND status <> 'failed'
ON CONFLICT (run_id, page) DO UPDATE SET error = excluded.error, worked_at = now() WHERE pages.error IS NOT NULL;
