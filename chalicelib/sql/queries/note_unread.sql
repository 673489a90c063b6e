-- Notes of a queued run whether its source may have more than it reads, before its last page is loaded: so the run cannot
-- end without. NULL if the source ended.
UPDATE runs SET unread = %(unread)s WHERE run_id = %(run_id)s AND queued;
