-- Kept texts whose e-mail address or long number is written as in a URL or in HTML (jane%40example.com, &#64;), also if
-- encoded repeatedly, which version 0.2.0 did not recognise. The next load of a person corrects what is cleared here by
-- mistake.
CREATE FUNCTION kept(value text) RETURNS text
    LANGUAGE sql STABLE
    RETURN CASE
        WHEN value ~ '[%&]' AND regexp_replace(
                regexp_replace(
                    regexp_replace(value, '%(25)*40|&(amp;)*(#0*64(?!\d);?|#x0*40(?![\da-f]);?|commat;)', '@', 'gi'),
                    '%(?:25)*3(\d)', '\1', 'g'
                ),
                '(%(25)*[\da-f]{2}|&(amp;)*#?\w+;)+', '-', 'gi'
            ) ~ '\d((\W|_){0,3}\d){8}|[^\s@](@[^\s@]|\s*@\s*[^\s@]+\.\w)'
        THEN NULL
        ELSE value
    END;

WITH cleared AS (
    UPDATE users_address
    SET city = kept(city), state = kept(state), country = kept(country)
    WHERE (city, state, country) IS DISTINCT FROM (kept(city), kept(state), kept(country))
    RETURNING uid
)
UPDATE users SET
    gender = kept(gender),
    employment_title = kept(employment_title),
    employment_key_skill = kept(employment_key_skill),
    subscription_plan = kept(subscription_plan),
    subscription_status = kept(subscription_status),
    subscription_payment_method = kept(subscription_payment_method),
    subscription_term = kept(subscription_term),
    content_hash = '', -- so that the next load compares nothing
    sealed_at = coalesce(sealed_at, updated_at), -- the record is no newer than it was
    version = version + 1,
    updated_at = now()
WHERE uid IN (SELECT uid FROM cleared)
    OR (
        gender, employment_title, employment_key_skill, subscription_plan,
        subscription_status, subscription_payment_method, subscription_term
    ) IS DISTINCT FROM (
        kept(gender), kept(employment_title), kept(employment_key_skill), kept(subscription_plan),
        kept(subscription_status), kept(subscription_payment_method), kept(subscription_term)
    );

DROP FUNCTION kept(text);
