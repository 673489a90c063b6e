-- Two rows of one person, as a tutorial inserts them.
INSERT INTO users (
    uid, first_name, last_name, username, email, phone_number, social_insurance_number, birth_year, gender,
    employment_title, employment_key_skill, subscription_plan, subscription_status,
    subscription_payment_method, subscription_term, key_version, content_hash, first_run_id, last_run_id
) VALUES (
    %(uid)s, %(first_name)s, %(last_name)s, %(username)s, %(email)s, %(phone_number)s,
    %(social_insurance_number)s, %(birth_year)s, %(gender)s, %(employment_title)s, %(employment_key_skill)s,
    %(subscription_plan)s, %(subscription_status)s, %(subscription_payment_method)s, %(subscription_term)s,
    1, '', gen_random_uuid(), gen_random_uuid()
) ON CONFLICT DO NOTHING;

INSERT INTO users_address (uid, city, state, country, zip_prefix, lat, lng, street)
VALUES (%(uid)s, %(city)s, %(state)s, %(country)s, %(zip_prefix)s, %(lat)s, %(lng)s, %(street)s)
ON CONFLICT DO NOTHING;
