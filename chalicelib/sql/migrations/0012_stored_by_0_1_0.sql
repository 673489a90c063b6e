-- What version 0.1.0 stored in another way than its successors. The next load of a person corrects what is cleared
-- here by mistake.

-- People whom a replay loaded are as old as their seal.
UPDATE users SET sealed_at = sealing.started_at
FROM runs AS replay JOIN runs AS sealing ON sealing.run_id = replay.replay_of
WHERE replay.run_id = users.last_run_id AND users.sealed_at IS NULL;

-- Kept texts that hold an e-mail address or nine digits, as kept_texts.py recognises them. All digits count as 0 first,
-- since most of Postgres' collations know no others than those of ASCII.
CREATE FUNCTION kept(value text) RETURNS text
    LANGUAGE sql STABLE
    RETURN CASE
        WHEN regexp_replace(
                CASE WHEN getdatabaseencoding() = 'UTF8' THEN normalize(value, NFKC) ELSE value END,
                '[\u0660-\u0669\u06F0-\u06F9\u07C0-\u07C9\u0966-\u096F\u09E6-\u09EF\u0A66-\u0A6F\u0AE6-\u0AEF'
                '\u0B66-\u0B6F\u0BE6-\u0BEF\u0C66-\u0C6F\u0CE6-\u0CEF\u0D66-\u0D6F\u0DE6-\u0DEF\u0E50-\u0E59'
                '\u0ED0-\u0ED9\u0F20-\u0F29\u1040-\u1049\u1090-\u1099\u17E0-\u17E9\u1810-\u1819\u1946-\u194F'
                '\u19D0-\u19D9\u1A80-\u1A89\u1A90-\u1A99\u1B50-\u1B59\u1BB0-\u1BB9\u1C40-\u1C49\u1C50-\u1C59'
                '\uA620-\uA629\uA8D0-\uA8D9\uA900-\uA909\uA9D0-\uA9D9\uA9F0-\uA9F9\uAA50-\uAA59\uABF0-\uABF9]',
                '0', 'g'
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
