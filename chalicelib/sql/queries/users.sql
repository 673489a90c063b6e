-- A page of people in the order of their uid, after the given one. Without filters every page costs the same, however
-- far on. A filter that is NULL does not apply. Tokens come as lists: a value's token under each known key.
SELECT
    uid, version, iso_utc(updated_at) AS updated_at, first_name, last_name, username, email, phone_number,
    social_insurance_number, birth_year, gender, employment_title, employment_key_skill, subscription_plan,
    subscription_status, subscription_payment_method, subscription_term, city, state, country, zip_prefix,
    lat::float8, lng::float8, street, custom
FROM users JOIN users_address USING (uid)
WHERE (%(after)s::uuid IS NULL OR users.uid > %(after)s::uuid)
    -- stated for both tables, or Postgres reads one of them from the beginning
    AND (%(after)s::uuid IS NULL OR users_address.uid > %(after)s::uuid)
    AND (%(country)s::text IS NULL OR country = %(country)s)
    AND (%(state)s::text IS NULL OR state = %(state)s)
    AND (%(city)s::text IS NULL OR city = %(city)s)
    AND (%(gender)s::text IS NULL OR gender = %(gender)s)
    AND (%(plan)s::text IS NULL OR subscription_plan = %(plan)s)
    AND (%(updated_since)s::timestamptz IS NULL OR updated_at >= %(updated_since)s)
    AND (%(first_name)s::text[] IS NULL OR first_name = ANY (%(first_name)s))
    AND (%(last_name)s::text[] IS NULL OR last_name = ANY (%(last_name)s))
    AND (%(username)s::text[] IS NULL OR username = ANY (%(username)s))
    AND (%(email)s::text[] IS NULL OR email = ANY (%(email)s))
    AND (%(phone_number)s::text[] IS NULL OR phone_number = ANY (%(phone_number)s))
    AND (%(social_insurance_number)s::text[] IS NULL
        OR social_insurance_number = ANY (%(social_insurance_number)s))
    AND (%(street)s::text[] IS NULL OR street = ANY (%(street)s))
    AND (%(custom)s::jsonb[] IS NULL OR custom @> ANY (%(custom)s::jsonb[]))
ORDER BY uid
LIMIT %(limit)s;
