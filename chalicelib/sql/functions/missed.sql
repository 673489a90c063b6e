-- Why a queued run that has loaded all its pages may have missed records, or what suggests that the source has changed;
-- or NULL. For a run that works its pages in turn, pipeline.py and finish_run.sql say the same.
CREATE OR REPLACE FUNCTION missed(run runs) RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
        WITH worked AS (
            SELECT
                max(page) FILTER (WHERE fetched > 0) AS last, bool_or(fetched = 0) AS has_ended,
                (array_agg(total ORDER BY page DESC) FILTER (WHERE total IS NOT NULL))[1] AS total
            FROM pages
            WHERE run_id = (run).run_id
        ), short AS (
            SELECT count(*) AS pages FROM pages, worked
            WHERE run_id = (run).run_id AND page < last AND fetched < (run).page_size
        )
        SELECT CASE
            WHEN (run).pages_are_full AND short.pages > 0
            THEN format('%s pages had fewer records than requested, although others followed', short.pages)
            WHEN has_ended AND (run).total_at IS NOT NULL AND total IS NULL
            THEN format('no page says how many records there are (expected at %s)', (run).total_at)
            WHEN has_ended AND (run).fetched < total
            THEN format('the source says that it has %s records, and gave %s', total, (run).fetched)
            WHEN (run).reads_to_end AND last = (run).pages_planned AND ((run).fetched >= total) IS NOT TRUE
            THEN format('page %s: the source may have more pages than SOURCE_PAGES', last)
            ELSE implausible(run)
        END
        FROM worked CROSS JOIN short;
    END;
