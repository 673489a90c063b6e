-- Seconds since a run other than a replay last succeeded, or NULL. That Postgres answers at all is the other result.
SELECT extract(epoch FROM now() - max(finished_at))::float8 FROM runs WHERE status = 'succeeded' AND replay_of IS NULL;
