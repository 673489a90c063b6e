-- How easily a stored person could be singled out by what is not tokenised, and which tokens repeat so much
-- that their frequency tells what they stand for. Distinct tokens are counted up to the bar, and no further.
WITH alike AS MATERIALIZED (
    SELECT count(*) AS people
    FROM users JOIN users_address USING (uid)
    GROUP BY birth_year, zip_prefix, city, gender, employment_title
), tokens (name, distinct_values) AS (
    SELECT 'first_name', count(*) FROM (SELECT DISTINCT first_name FROM users LIMIT %(few)s + 1) AS found
    UNION ALL
    SELECT 'last_name', count(*) FROM (SELECT DISTINCT last_name FROM users LIMIT %(few)s + 1) AS found
    UNION ALL
    SELECT 'username', count(*) FROM (SELECT DISTINCT username FROM users LIMIT %(few)s + 1) AS found
    UNION ALL
    SELECT 'email', count(*) FROM (SELECT DISTINCT email FROM users LIMIT %(few)s + 1) AS found
    UNION ALL
    SELECT 'phone_number', count(*) FROM (SELECT DISTINCT phone_number FROM users LIMIT %(few)s + 1) AS found
    UNION ALL
    SELECT 'social_insurance_number', count(*)
    FROM (SELECT DISTINCT social_insurance_number FROM users LIMIT %(few)s + 1) AS found
    UNION ALL
    SELECT 'street', count(*) FROM (SELECT DISTINCT street FROM users_address LIMIT %(few)s + 1) AS found
)
SELECT
    min(people), count(*), coalesce(sum(people) FILTER (WHERE people < %(small)s), 0)::bigint,
    (SELECT json_agg(json_build_array(name, distinct_values)) FROM tokens)
FROM alike;
