-- The columns that nobody in a run has a value for, although more than twenty people should, going by the run over
-- everybody before it, under the same contract; as a sentence, or NULL. Runs over changes and replays are not judged.
CREATE OR REPLACE FUNCTION emptied(run runs) RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
        WITH earlier AS (
            SELECT filled, (filled ->> 'uid')::bigint AS people FROM runs
            WHERE source = (run).source AND contract_hash = (run).contract_hash AND filled ->> 'uid' <> '0'
                AND trigger <> 'replay' AND since IS NULL AND status IN ('succeeded', 'partial')
                AND (started_at, run_id) < ((run).started_at, (run).run_id)
            ORDER BY started_at DESC, run_id DESC
            LIMIT 1
        )
        SELECT format('nobody has a value for %s, which many had in the run before', string_agg(name, ', ' ORDER BY name))
        FROM earlier CROSS JOIN jsonb_each_text(earlier.filled) AS column_filled (name, count)
        WHERE (run).trigger <> 'replay' AND (run).since IS NULL AND (run).filled ->> name = '0'
            AND count::bigint * ((run).filled ->> 'uid')::bigint > 20 * people
        HAVING count(*) > 0;
    END;
