-- How many people there are, and how they are distributed; the hundred most common values of each column.
WITH people AS MATERIALIZED (
    SELECT country, birth_year / 10 * 10 AS decade, subscription_plan AS plan, gender, key_version
    FROM users JOIN users_address USING (uid)
), spread AS (
    SELECT
        CASE
            WHEN GROUPING(country) = 0 THEN 'country'
            WHEN GROUPING(decade) = 0 THEN 'birth_decade'
            WHEN GROUPING(plan) = 0 THEN 'plan'
            WHEN GROUPING(gender) = 0 THEN 'gender'
            ELSE 'key_version'
        END AS by,
        coalesce(country, decade::text, plan, gender, key_version::text) AS value,
        count(*) AS count
    FROM people
    GROUP BY GROUPING SETS ((country), (decade), (plan), (gender), (key_version))
    UNION ALL
    SELECT 'erasure_key_version', key_version(uid_token)::text, count(*)
    FROM erasures -- as in reconcile_keys.sql: one that moved to a version that was given up needs its old one again
    WHERE (moved_to IS NULL OR key_version(moved_to) = ANY (%(given_up)s::integer[]))
        AND key_version(uid_token) <> ALL (%(given_up)s::integer[])
    GROUP BY 2
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY by ORDER BY count DESC, value) AS rank FROM spread
)
SELECT
    (SELECT count(*) FROM people),
    iso_utc(now()),
    coalesce(json_agg(json_build_array(by, value, count) ORDER BY by, rank) FILTER (WHERE rank <= 100), '[]')
FROM ranked;
