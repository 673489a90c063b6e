-- The fastest known way into these two tables: rows that are ready are copied into `staging` and merged.
INSERT INTO users AS old (
    uid, first_name, last_name, username, email, phone_number, social_insurance_number, birth_year, gender,
    employment_title, employment_key_skill, subscription_plan, subscription_status,
    subscription_payment_method, subscription_term, key_version, content_hash, first_run_id, last_run_id
)
SELECT
    uid, first_name, last_name, username, email, phone_number, social_insurance_number, birth_year, gender,
    employment_title, employment_key_skill, subscription_plan, subscription_status,
    subscription_payment_method, subscription_term, 1, content_hash, '{run_id}', '{run_id}'
FROM staging
ON CONFLICT (uid) DO UPDATE SET
    first_name = excluded.first_name,
    last_name = excluded.last_name,
    username = excluded.username,
    email = excluded.email,
    phone_number = excluded.phone_number,
    social_insurance_number = excluded.social_insurance_number,
    birth_year = excluded.birth_year,
    gender = excluded.gender,
    employment_title = excluded.employment_title,
    employment_key_skill = excluded.employment_key_skill,
    subscription_plan = excluded.subscription_plan,
    subscription_status = excluded.subscription_status,
    subscription_payment_method = excluded.subscription_payment_method,
    subscription_term = excluded.subscription_term,
    content_hash = excluded.content_hash,
    version = old.version + 1,
    updated_at = excluded.updated_at
WHERE old.content_hash <> excluded.content_hash;

INSERT INTO users_address (uid, city, state, country, zip_prefix, lat, lng, street)
SELECT uid, city, state, country, zip_prefix, lat, lng, street FROM staging
ON CONFLICT (uid) DO UPDATE SET
    city = excluded.city,
    state = excluded.state,
    country = excluded.country,
    zip_prefix = excluded.zip_prefix,
    lat = excluded.lat,
    lng = excluded.lng,
    street = excluded.street;
