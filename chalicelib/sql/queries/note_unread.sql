-- Notes of a queued run whether its source may have more than it reads, before its last page is loaded: so the run cannot
-- end without. NULL if the source ended.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- or whoever waits for another page's change would fail
UPDATE runs SET unread = %(unread)s WHERE run_id = %(run_id)s AND queued;
