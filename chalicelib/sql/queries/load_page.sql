-- Loads one page, all or nothing, in one round trip: people, addresses, rejects, and the ledger's counts.
-- Returns one row with what happened; none, and then nothing is written, for a reason that why_not_loaded.sql
-- tells: the lease, the page itself, newer keys, or the seals of a replay.
--
-- The lock keeps an erasure from slipping in between the look at `erasures` and the insert; it must be a
-- statement of its own, so that the next one's snapshot is taken after it is granted, which only this isolation does.
--
-- The foreign key's check keeps its plan as long as the connection lives. Made while `users` is small, it would read
-- the whole table for each row, and would go on to do so when it is large, until Postgres next analyses it.
--
-- A replay (%(replay_of)s is the run whose sealed rejects come again) leaves alone who has changed since the
-- rejects were sealed, does not make a seal last longer, and ends the seals that it used.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET LOCAL enable_seqscan = off;
SET LOCAL jit = off; -- which Postgres 17 would think worth its while
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
), page AS MATERIALIZED ( -- first what all ask for: a row is taken apart no further than what is asked of it
    SELECT
        EXISTS (SELECT FROM erasures WHERE uid_token = ANY (sent.erasure_tokens)) AS is_erased,
        (SELECT users.content_hash FROM users WHERE users.uid = sent.uid) AS known_hash,
        sent.*
    FROM sent
    ORDER BY uid -- loads that bring the same new people insert them in the same order, so none waits in a circle
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
), inserted AS ( -- if another load was quicker with one of them, this one is refused and tried again
    INSERT INTO users (
        uid, first_name, last_name, username, email, phone_number, social_insurance_number, birth_year, gender,
        employment_title, employment_key_skill, subscription_plan, subscription_status,
        subscription_payment_method, subscription_term, key_version, content_hash, first_run_id, last_run_id
    )
    SELECT
        uid, first_name, last_name, username, email, phone_number, social_insurance_number, birth_year, gender,
        employment_title, employment_key_skill, subscription_plan, subscription_status,
        subscription_payment_method, subscription_term, %(key_version)s, content_hash, %(run_id)s, %(run_id)s
    FROM page
    WHERE NOT is_erased AND known_hash IS NULL
    RETURNING uid
), updated AS ( -- locks rows in the order of the join; two that wait in a circle are told so, and tried again
    UPDATE users SET
        first_name = page.first_name,
        last_name = page.last_name,
        username = page.username,
        email = page.email,
        phone_number = page.phone_number,
        social_insurance_number = page.social_insurance_number,
        birth_year = page.birth_year,
        gender = page.gender,
        employment_title = page.employment_title,
        employment_key_skill = page.employment_key_skill,
        subscription_plan = page.subscription_plan,
        subscription_status = page.subscription_status,
        subscription_payment_method = page.subscription_payment_method,
        subscription_term = page.subscription_term,
        key_version = %(key_version)s,
        content_hash = page.content_hash,
        last_run_id = %(run_id)s,
        version = users.version + 1,
        updated_at = now()
    FROM page
    WHERE users.uid = page.uid AND NOT is_erased AND known_hash <> page.content_hash
        AND users.content_hash <> page.content_hash -- which another load may have changed by now
        AND (%(sealed_at)s::timestamptz IS NULL OR users.updated_at <= %(sealed_at)s::timestamptz)
    RETURNING users.uid, users.version
), housed AS (
    INSERT INTO users_address (uid, city, state, country, zip_prefix, lat, lng, street)
    SELECT uid, city, state, country, zip_prefix, lat, lng, street FROM page
    WHERE NOT is_erased AND known_hash IS NULL
), moved AS (
    UPDATE users_address SET
        city = page.city,
        state = page.state,
        country = page.country,
        zip_prefix = page.zip_prefix,
        lat = page.lat,
        lng = page.lng,
        street = page.street
    FROM page
    WHERE users_address.uid = page.uid AND page.uid IN (SELECT uid FROM updated)
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
), counts AS (
    SELECT
        (SELECT count(*) FROM inserted) AS inserted,
        (SELECT count(*) FROM updated) AS updated,
        (SELECT count(*) FROM refused) AS rejected,
        count(*) FILTER (WHERE is_erased) AS suppressed,
        count(*) AS sent
    FROM page
), tally AS MATERIALIZED ( -- else the page would be counted again for each use
    SELECT
        inserted, updated, sent - inserted - updated - suppressed AS unchanged, suppressed, rejected,
        sent + rejected + %(duplicate)s AS fetched
    FROM counts
), counted AS (
    UPDATE runs SET
        pages_done = pages_done + 1,
        fetched = runs.fetched + tally.fetched,
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
    (SELECT coalesce(string_agg(uid::text, ' '), '') FROM inserted), -- most of a page; as JSON it took longer
    (SELECT coalesce(json_object_agg(uid, version), '{}') FROM updated)
FROM counted;
