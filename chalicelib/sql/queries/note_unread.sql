-- Records whether the source of a queued run may have more than the run reads; NULL if the source ended. This happens
-- before the last page is loaded, so that the run cannot end without it.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- a stricter level fails after waiting for another page's change
UPDATE runs SET unread = %(unread)s WHERE run_id = %(run_id)s AND queued;
