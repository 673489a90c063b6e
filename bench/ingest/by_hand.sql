-- An upsert of many people; execute_values writes their rows.
INSERT INTO users AS old (
    uid, first_name, last_name, username, email, phone_number, social_insurance_number, birth_year, gender,
    employment_title, employment_key_skill, subscription_plan, subscription_status,
    subscription_payment_method, subscription_term, key_version, content_hash, first_run_id, last_run_id
) VALUES %s
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
    version = old.version + 1,
    updated_at = now()
