-- Loads one page, all or nothing, in one round trip: people, addresses, rejects, and the ledger's counts.
-- Returns one row with what happened; none, and then nothing is written, for a reason that why_not_loaded.sql
-- tells: the lease, the page itself, newer keys, or the seals of a replay.
--
-- The lock keeps an erasure from slipping in between the look at `erasures` and the insert; it must be a
-- statement of its own, so that the next one's snapshot is taken after it is granted.
--
-- A replay (%(replay_of)s is the run whose sealed rejects come again) leaves alone who has changed since the
-- rejects were sealed, does not make a seal last longer, and ends the seals that it used.
SELECT pg_advisory_xact_lock_shared(hashtext('decant.erasures'));

-- The pages of a run are loaded one after the other.
SELECT FROM runs WHERE run_id = %(run_id)s FOR UPDATE;

-- What an earlier try at this page had noted is noted anew.
DELETE FROM rejects
WHERE run_id = %(run_id)s AND page = %(page)s
    AND NOT EXISTS (SELECT FROM pages WHERE run_id = %(run_id)s AND page = %(page)s AND error IS NULL)
    AND EXISTS (
        SELECT FROM runs
        WHERE run_id = %(run_id)s AND status = 'running' AND lease_expires_at > clock_timestamp()
    );

WITH sealed AS MATERIALIZED (
    SELECT position, sealed_until, created_at FROM rejects
    WHERE run_id = %(replay_of)s::uuid AND page = %(page)s AND position = ANY (%(replayed)s::integer[])
        AND sealed IS NOT NULL
    ORDER BY position
    FOR UPDATE
), run AS (
    SELECT run_id FROM runs
    WHERE run_id = %(run_id)s AND status = 'running' AND lease_expires_at > clock_timestamp()
        AND (SELECT count(*) FROM sealed) = cardinality(%(replayed)s::integer[])
        AND NOT EXISTS (SELECT FROM key_versions WHERE is_overtaken(version, proof, %(key)s))
), claimed AS (
    INSERT INTO pages (run_id, page) SELECT run_id, %(page)s FROM run
    ON CONFLICT (run_id, page) DO UPDATE SET error = NULL, worked_at = now() WHERE pages.error IS NOT NULL
    RETURNING run_id
), sent AS (
    SELECT
        uid::uuid, first_name::token, last_name::token, username::token, email::token,
        phone_number::token, social_insurance_number::token, birth_year::integer, gender,
        employment_title, employment_key_skill, subscription_plan, subscription_status,
        subscription_payment_method, subscription_term, city, state, country, zip_prefix,
        lat::numeric, lng::numeric, street::token, content_hash::bytea, erasure_tokens::text[]
    FROM claimed CROSS JOIN ROWS FROM (
        json_array_elements_text(%(uid)s),
        json_array_elements_text(%(first_name)s),
        json_array_elements_text(%(last_name)s),
        json_array_elements_text(%(username)s),
        json_array_elements_text(%(email)s),
        json_array_elements_text(%(phone_number)s),
        json_array_elements_text(%(social_insurance_number)s),
        json_array_elements_text(%(birth_year)s),
        json_array_elements_text(%(gender)s),
        json_array_elements_text(%(employment_title)s),
        json_array_elements_text(%(employment_key_skill)s),
        json_array_elements_text(%(subscription_plan)s),
        json_array_elements_text(%(subscription_status)s),
        json_array_elements_text(%(subscription_payment_method)s),
        json_array_elements_text(%(subscription_term)s),
        json_array_elements_text(%(city)s),
        json_array_elements_text(%(state)s),
        json_array_elements_text(%(country)s),
        json_array_elements_text(%(zip_prefix)s),
        json_array_elements_text(%(lat)s),
        json_array_elements_text(%(lng)s),
        json_array_elements_text(%(street)s),
        json_array_elements_text(%(content_hash)s),
        json_array_elements_text(%(erasure_tokens)s)
    ) AS record (
        uid, first_name, last_name, username, email, phone_number, social_insurance_number,
        birth_year, gender, employment_title, employment_key_skill, subscription_plan,
        subscription_status, subscription_payment_method, subscription_term, city, state, country,
        zip_prefix, lat, lng, street, content_hash, erasure_tokens
    )
), page AS MATERIALIZED (
    SELECT
        sent.*,
        EXISTS (SELECT FROM erasures WHERE uid_token = ANY (sent.erasure_tokens)) AS is_erased,
        (users.content_hash = sent.content_hash) IS TRUE AS is_known
    FROM sent LEFT JOIN users USING (uid)
    ORDER BY uid -- all loads lock rows in the same order, so none waits for another in a circle
), recognised AS ( -- an erasure moves to the newest key as soon as its person is met
    SELECT erasures.uid_token AS old_token, erasure_tokens[1] AS uid_token, erased_at
    FROM page JOIN erasures ON erasures.uid_token = ANY (erasure_tokens[2:])
    WHERE is_erased
    ORDER BY old_token
    FOR UPDATE OF erasures SKIP LOCKED
), renewed AS (
    INSERT INTO erasures (uid_token, erased_at)
    SELECT uid_token, min(erased_at) FROM recognised GROUP BY uid_token ORDER BY uid_token
    ON CONFLICT DO NOTHING
), outdated AS (
    DELETE FROM erasures USING recognised WHERE erasures.uid_token = recognised.old_token
), changed AS (
    INSERT INTO users AS old (
        uid, first_name, last_name, username, email, phone_number, social_insurance_number, birth_year, gender,
        employment_title, employment_key_skill, subscription_plan, subscription_status,
        subscription_payment_method, subscription_term, key_version, content_hash, first_run_id, last_run_id
    )
    SELECT
        uid, first_name, last_name, username, email, phone_number, social_insurance_number, birth_year, gender,
        employment_title, employment_key_skill, subscription_plan, subscription_status,
        subscription_payment_method, subscription_term, %(key_version)s, content_hash, %(run_id)s, %(run_id)s
    FROM page
    WHERE NOT is_erased AND NOT is_known
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
        key_version = excluded.key_version,
        content_hash = excluded.content_hash,
        last_run_id = excluded.last_run_id,
        version = old.version + 1,
        updated_at = excluded.updated_at
    WHERE old.content_hash <> excluded.content_hash
        AND (%(sealed_at)s::timestamptz IS NULL OR old.updated_at <= %(sealed_at)s::timestamptz)
    RETURNING uid, version
), moved AS (
    INSERT INTO users_address (uid, city, state, country, zip_prefix, lat, lng, street)
    SELECT uid, city, state, country, zip_prefix, lat, lng, street FROM page
    WHERE (uid IN (SELECT uid FROM changed)) IS TRUE -- as a join it would be done row by row
    ON CONFLICT (uid) DO UPDATE SET
        city = excluded.city,
        state = excluded.state,
        country = excluded.country,
        zip_prefix = excluded.zip_prefix,
        lat = excluded.lat,
        lng = excluded.lng,
        street = excluded.street
), kept AS (
    SELECT *, unless_erased(sealed, uid_tokens) AS seal
    FROM json_to_recordset(%(rejects)s) AS reject (
        position integer, issues jsonb, fingerprint token, sealed text, uid_tokens text[]
    )
), refused AS (
    INSERT INTO rejects (
        run_id, page, position, issues, fingerprint, sealed, uid_token, sealed_until, created_at
    )
    SELECT
        run.run_id, %(page)s, kept.position, kept.issues, kept.fingerprint, seal,
        CASE WHEN seal IS NOT NULL THEN kept.uid_tokens[1] END,
        CASE WHEN seal IS NOT NULL
            THEN coalesce(earlier.sealed_until, now() + %(seal_days)s * interval '1 day')
        END,
        coalesce(earlier.created_at, now())
    FROM claimed AS run CROSS JOIN kept LEFT JOIN sealed AS earlier USING (position)
    RETURNING position
), replayed AS (
    UPDATE rejects SET sealed = NULL, sealed_until = NULL, uid_token = NULL, replayed_by = claimed.run_id
    FROM claimed
    WHERE rejects.run_id = %(replay_of)s::uuid AND page = %(page)s AND position IN (SELECT position FROM sealed)
), tally AS (
    SELECT
        (SELECT count(*) FROM changed WHERE version = 1) AS inserted,
        (SELECT count(*) FROM changed WHERE version > 1) AS updated,
        (SELECT count(*) FROM page WHERE NOT is_erased) - (SELECT count(*) FROM changed) AS unchanged,
        (SELECT count(*) FROM page WHERE is_erased) AS suppressed,
        (SELECT count(*) FROM refused) AS rejected
), counted AS (
    UPDATE runs SET
        pages_done = pages_done + 1,
        fetched = fetched + (SELECT count(*) FROM page) + tally.rejected + %(duplicate)s,
        inserted = runs.inserted + tally.inserted,
        updated = runs.updated + tally.updated,
        unchanged = runs.unchanged + tally.unchanged,
        duplicate = runs.duplicate + %(duplicate)s,
        rejected = runs.rejected + tally.rejected,
        suppressed = runs.suppressed + tally.suppressed,
        unknown_fields = unknown_fields + %(unknown_fields)s,
        lease_expires_at = clock_timestamp() + lease_seconds * interval '1 second'
    FROM claimed, tally
    WHERE runs.run_id = claimed.run_id
    RETURNING tally.*
)
SELECT
    inserted, updated, unchanged, suppressed, rejected, iso_utc(now()),
    (SELECT coalesce(json_object_agg(uid, version), '{}') FROM changed)
FROM counted;
