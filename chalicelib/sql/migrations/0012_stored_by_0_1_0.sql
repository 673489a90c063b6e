-- What version 0.1.0 stored in another way than its successors. The next load of a person corrects what is cleared
-- here by mistake.

-- Kept texts that hold an e-mail address or nine digits, as kept_texts.py recognises them.
CREATE FUNCTION pg_temp.kept(value text) RETURNS text
    LANGUAGE sql STABLE
    RETURN CASE
        WHEN CASE WHEN getdatabaseencoding() = 'UTF8' THEN normalize(value, NFKC) ELSE value END
            ~ '\d((\W|_){0,3}\d){8}|[^\s@](@[^\s@]|\s*@\s*[^\s@]+\.\w)'
        THEN NULL
        ELSE value
    END;

WITH cleared AS (
    UPDATE users_address
    SET city = pg_temp.kept(city), state = pg_temp.kept(state), country = pg_temp.kept(country)
    WHERE (city, state, country) IS DISTINCT FROM (pg_temp.kept(city), pg_temp.kept(state), pg_temp.kept(country))
    RETURNING uid
), kept AS (
    SELECT
        uid, pg_temp.kept(gender) AS gender, pg_temp.kept(employment_title) AS employment_title,
        pg_temp.kept(employment_key_skill) AS employment_key_skill,
        pg_temp.kept(subscription_plan) AS subscription_plan, pg_temp.kept(subscription_status) AS subscription_status,
        pg_temp.kept(subscription_payment_method) AS subscription_payment_method,
        pg_temp.kept(subscription_term) AS subscription_term
    FROM users
)
UPDATE users SET
    gender = kept.gender,
    employment_title = kept.employment_title,
    employment_key_skill = kept.employment_key_skill,
    subscription_plan = kept.subscription_plan,
    subscription_status = kept.subscription_status,
    subscription_payment_method = kept.subscription_payment_method,
    subscription_term = kept.subscription_term,
    content_hash = '', -- so that the next load compares nothing
    version = users.version + 1,
    updated_at = now()
FROM kept
WHERE users.uid = kept.uid
    AND (
        users.uid IN (SELECT uid FROM cleared)
        OR (
            users.gender, users.employment_title, users.employment_key_skill, users.subscription_plan,
            users.subscription_status, users.subscription_payment_method, users.subscription_term
        ) IS DISTINCT FROM (
            kept.gender, kept.employment_title, kept.employment_key_skill, kept.subscription_plan,
            kept.subscription_status, kept.subscription_payment_method, kept.subscription_term
        )
    );

DROP FUNCTION pg_temp.kept(text);

-- People whom a replay loaded are as old as their seal.
UPDATE users SET sealed_at = sealing.started_at
FROM runs AS replay JOIN runs AS sealing ON sealing.run_id = replay.replay_of
WHERE replay.run_id = users.last_run_id AND users.sealed_at IS NULL;
