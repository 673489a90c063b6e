-- How easily a stored person could be singled out by fields that are not tokenised, and how often tokens repeat: for
-- each column the number of distinct values (counted to one above the limit) and of people who have a value.
WITH alike AS MATERIALIZED (
    SELECT count(*) AS people
    FROM users JOIN users_address USING (uid)
    GROUP BY birth_year, zip_prefix, city, gender, employment_title
), different (name, tokens) AS (
    SELECT 'first_name', count(*)
    FROM (SELECT DISTINCT first_name FROM users WHERE first_name IS NOT NULL LIMIT %(few)s + 1) AS found
    UNION ALL
    SELECT 'last_name', count(*)
    FROM (SELECT DISTINCT last_name FROM users WHERE last_name IS NOT NULL LIMIT %(few)s + 1) AS found
    UNION ALL
    SELECT 'username', count(*)
    FROM (SELECT DISTINCT username FROM users WHERE username IS NOT NULL LIMIT %(few)s + 1) AS found
    UNION ALL
    SELECT 'email', count(*)
    FROM (SELECT DISTINCT email FROM users WHERE email IS NOT NULL LIMIT %(few)s + 1) AS found
    UNION ALL
    SELECT 'phone_number', count(*)
    FROM (SELECT DISTINCT phone_number FROM users WHERE phone_number IS NOT NULL LIMIT %(few)s + 1) AS found
    UNION ALL
    SELECT 'social_insurance_number', count(*)
    FROM (SELECT DISTINCT social_insurance_number FROM users WHERE social_insurance_number IS NOT NULL LIMIT %(few)s + 1) AS found
    UNION ALL
    SELECT 'street', count(*)
    FROM (SELECT DISTINCT street FROM users_address WHERE street IS NOT NULL LIMIT %(few)s + 1) AS found
), filled AS (
    SELECT
        count(first_name) AS first_name, count(last_name) AS last_name, count(username) AS username,
        count(email) AS email, count(phone_number) AS phone_number,
        count(social_insurance_number) AS social_insurance_number,
        (SELECT count(street) FROM users_address) AS street
    FROM users
)
SELECT
    coalesce(sum(people), 0)::bigint,
    min(people),
    count(*),
    coalesce(sum(people) FILTER (WHERE people < %(small)s), 0)::bigint,
    (
        SELECT json_agg(json_build_array(name, tokens, (to_jsonb(filled) ->> name)::bigint))
        FROM different CROSS JOIN filled
    )
FROM alike;
