-- One person as stored, with the field names of the API's view; NULL if there is none. This is a function because
-- Postgres keeps its plan as long as the connection lives: planning took half of the time, and a prepared statement
-- would pin a pooler's connection. Sequential scans are off, so that a plan made while the tables were small does not
-- read whole tables later.
CREATE OR REPLACE FUNCTION person(wanted uuid) RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE
SET enable_seqscan = off
AS $$
BEGIN
    RETURN (
        SELECT json_build_object(
            'uid', uid,
            'version', version,
            'updated_at', iso_utc(updated_at),
            'first_name', first_name,
            'last_name', last_name,
            'username', username,
            'email', email,
            'phone_number', phone_number,
            'social_insurance_number', social_insurance_number,
            'birth_year', birth_year,
            'gender', gender,
            'employment', json_build_object('title', employment_title, 'key_skill', employment_key_skill),
            'subscription', json_build_object(
                'plan', subscription_plan,
                'status', subscription_status,
                'payment_method', subscription_payment_method,
                'term', subscription_term
            ),
            'address', json_build_object(
                'city', city,
                'state', state,
                'country', country,
                'zip_prefix', zip_prefix,
                'street', street,
                'coordinates', json_build_object('lat', lat, 'lng', lng)
            ),
            'custom', custom
        )
        FROM users JOIN users_address USING (uid)
        WHERE uid = wanted
    );
END
$$;
