-- What suggests that the source has changed: no record of a run was fit to load, or nobody in it was known, or has a
-- value in some columns, although more than twenty people should be or have, going by the run over everybody before it,
-- under the same contract. As a sentence, or NULL. Runs over changes, replays and runs that continue another are neither
-- judged nor a measure: a source may sort its people so that the last pages lack what the first have.
CREATE OR REPLACE FUNCTION implausible(run runs) RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
        WITH earlier AS (
            SELECT filled, (filled ->> 'uid')::bigint AS people, updated + unchanged + suppressed AS known FROM runs
            WHERE (run).trigger <> 'replay' AND (run).since IS NULL AND (run).as_of = (run).started_at
                AND source = (run).source AND contract_hash = (run).contract_hash AND filled ->> 'uid' <> '0'
                AND trigger <> 'replay' AND since IS NULL AND as_of = started_at AND status IN ('succeeded', 'partial')
                AND (started_at, run_id) < ((run).started_at, (run).run_id)
            ORDER BY started_at DESC, run_id DESC
            LIMIT 1
        ), counts AS (
            SELECT name, count::bigint AS before, ((run).filled ->> name)::bigint AS now
            FROM earlier CROSS JOIN jsonb_each_text(earlier.filled) AS column_filled (name, count)
            UNION ALL
            SELECT NULL, known, (run).updated + (run).unchanged + (run).suppressed FROM earlier
        ), missing AS (
            SELECT name FROM counts CROSS JOIN earlier
            WHERE now = 0 AND before * ((run).filled ->> 'uid')::bigint > 20 * people
        )
        SELECT nullif(
            concat_ws(
                '; ',
                CASE WHEN (run).fetched > 0 AND (run).filled ->> 'uid' = '0' AND (SELECT people > 20 FROM earlier)
                    THEN 'all records were filtered or rejected, but not in the run before'
                END,
                CASE WHEN bool_or(name IS NULL) THEN 'nobody was known, but many were in the run before' END,
                'nobody has a value for ' || string_agg(name, ', ' ORDER BY name) || ', but many had in the run before'
            ),
            ''
        )
        FROM missing;
    END;
