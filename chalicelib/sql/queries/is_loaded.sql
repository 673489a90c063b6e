-- Whether a page of a run is loaded.
SELECT EXISTS (SELECT FROM pages WHERE run_id = %(run_id)s AND page = %(page)s AND error IS NULL);
