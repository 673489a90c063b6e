-- How easily a stored person could be singled out by what is not tokenised, and how often tokens repeat: for
-- each column its distinct values (up to the bar and one) and how many people have one.
WITH alike AS MATERIALIZED (
    SELECT count(*) AS people
    FROM users JOIN users_address USING (uid)
    GROUP BY birth_year, zip_prefix, city, gender, employment_title
), tokens (name, distinct_values, people) AS (
    SELECT 'first_name', (SELECT count(*) FROM (SELECT DISTINCT first_name FROM users WHERE first_name IS NOT NULL LIMIT %(few)s + 1) AS one),
        count(first_name) FROM users
    UNION ALL
    SELECT 'last_name', (SELECT count(*) FROM (SELECT DISTINCT last_name FROM users WHERE last_name IS NOT NULL LIMIT %(few)s + 1) AS one),
        count(last_name) FROM users
    UNION ALL
    SELECT 'username', (SELECT count(*) FROM (SELECT DISTINCT username FROM users WHERE username IS NOT NULL LIMIT %(few)s + 1) AS one),
        count(username) FROM users
    UNION ALL
    SELECT 'email', (SELECT count(*) FROM (SELECT DISTINCT email FROM users WHERE email IS NOT NULL LIMIT %(few)s + 1) AS one),
        count(email) FROM users
    UNION ALL
    SELECT
        'phone_number',
        (SELECT count(*) FROM (
            SELECT DISTINCT phone_number FROM users WHERE phone_number IS NOT NULL LIMIT %(few)s + 1
        ) AS one),
        count(phone_number)
    FROM users
    UNION ALL
    SELECT
        'social_insurance_number',
        (SELECT count(*) FROM (
            SELECT DISTINCT social_insurance_number FROM users WHERE social_insurance_number IS NOT NULL LIMIT %(few)s + 1
        ) AS one),
        count(social_insurance_number)
    FROM users
    UNION ALL
    SELECT 'street', (SELECT count(*) FROM (SELECT DISTINCT street FROM users_address WHERE street IS NOT NULL LIMIT %(few)s + 1) AS one),
        count(street) FROM users_address
)
SELECT
    min(people), count(*), coalesce(sum(people) FILTER (WHERE people < %(small)s), 0)::bigint,
    (SELECT json_agg(json_build_array(name, distinct_values, people)) FROM tokens)
FROM alike;
