-- Seconds since a run of the source last succeeded, or NULL; answering at all is the other half of the answer.
SELECT extract(epoch FROM now() - max(finished_at))::float8 FROM runs WHERE status = 'succeeded' AND replay_of IS NULL;
