-- Gives a page up, unless it is loaded.
INSERT INTO pages (run_id, page, error) VALUES (%(run_id)s, %(page)s, %(error)s)
ON CONFLICT (run_id, page) DO UPDATE SET error = excluded.error, worked_at = now() WHERE pages.error IS NOT NULL;
