-- One person as stored, in the order of the API's view.
SELECT
    uid, version, iso_utc(updated_at), first_name, last_name, username, email, phone_number,
    social_insurance_number, birth_year, gender, employment_title, employment_key_skill, subscription_plan,
    subscription_status, subscription_payment_method, subscription_term, city, state, country, zip_prefix,
    lat::float8, lng::float8, street
FROM users JOIN users_address USING (uid)
WHERE uid = %(uid)s;
