-- People whom no run has met for a number of days before a complete run over everybody began, a limited number of them.
-- After any other run, or without an end of the source, nobody is known to have left. A day more, because a row may say
-- that its person was seen a day earlier than it was. Pages that older code loaded, while it is being replaced or is back
-- for a while, say of nobody that they were seen, and `filled` lacks them.
SELECT uid::text FROM users
WHERE last_seen_at < (
    SELECT as_of - (%(days)s + 1) * interval '1 day' FROM runs
    WHERE run_id = %(run_id)s AND status = 'succeeded' AND reads_to_end AND since IS NULL
        AND (filled ->> 'uid')::bigint = inserted + updated + unchanged + suppressed
)
LIMIT 10000;
