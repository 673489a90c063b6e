-- Loads one page, all or nothing, in one round trip: people, addresses, rejects, and the ledger's counts.
-- Returns one row with what happened. Returns no row and writes nothing if the lease, the page itself, newer keys,
-- or the seals of a replay forbid the load; why_not_loaded.sql says which.
--
-- This is a function because Postgres keeps a function's plans as long as the connection lives, and planning takes
-- longer than loading a hundred people. A plan may therefore date from when the tables were small, and must still
-- fit when they are large. So people, erasures and rejects are looked up by their keys, which `= ANY (ARRAY[…])`
-- leaves as the only way. The foreign key's check, whose plan is kept too, does not read all people either.
--
-- A replay (`replay_of` is the run whose sealed rejects are loaded again) does not change people who have changed
-- since the rejects were sealed, does not extend a seal, and ends the seals that it used.
CREATE OR REPLACE FUNCTION load_page(
    run_id uuid, page integer, fetched integer, total integer, rejects json, duplicate integer, filtered integer,
    gone uuid[], key jsonb, key_version integer, seal_days integer, unknown_fields integer, withheld integer, filled json,
    replay_of uuid, replayed integer[], sealed_at timestamptz,
    -- one list per column, under a name that no column has, so that forgetting one below is an error
    uid_list json, first_name_list json, last_name_list json, username_list json, email_list json,
    phone_number_list json, social_insurance_number_list json, birth_year_list json, gender_list json,
    employment_title_list json, employment_key_skill_list json, subscription_plan_list json,
    subscription_status_list json, subscription_payment_method_list json, subscription_term_list json,
    city_list json, state_list json, country_list json, zip_prefix_list json, lat_list json, lng_list json,
    street_list json, custom_list json, content_hash_list json, erasure_tokens_list json
) RETURNS TABLE (
    inserted bigint, updated bigint, unchanged bigint, suppressed bigint, rejected bigint, departed bigint,
    loaded_at text,
    new_uids text, -- separated by spaces; most of a page, and slower as JSON
    changed_versions json -- by uid
) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off -- which Postgres 17 would otherwise consider worthwhile
SET lock_timeout = '14s' -- for each of four waits; the client gives up after 60 s, and nothing may happen later
AS $$
#variable_conflict use_column
BEGIN
-- Keeps an erasure from happening between the look-up in `erasures` and the insert. It is a separate statement, so
-- that the next one takes its snapshot after the lock is granted.
PERFORM pg_advisory_xact_lock_shared(hashtext('decant.erasures'));

-- The pages of a run are loaded one at a time.
PERFORM FROM runs WHERE run_id = load_page.run_id FOR UPDATE;

RETURN QUERY
WITH sealed AS MATERIALIZED (
    SELECT position, sealed_until, created_at FROM rejects
    WHERE run_id = load_page.replay_of AND page = load_page.page AND position = ANY (load_page.replayed)
        AND sealed_until IS NOT NULL -- means `sealed IS NOT NULL`, but the index of all that is sealed cannot answer it
    ORDER BY position
    FOR UPDATE
), run AS (
    SELECT run_id FROM runs
    WHERE run_id = load_page.run_id AND status = 'running' AND lease_expires_at > clock_timestamp()
        AND (SELECT count(*) FROM sealed) = cardinality(load_page.replayed)
        AND NOT EXISTS (SELECT FROM key_versions WHERE is_overtaken(version, proof, load_page.key))
), claimed AS (
    INSERT INTO pages (run_id, page, fetched, total)
    SELECT run_id, load_page.page, load_page.fetched, load_page.total FROM run
    ON CONFLICT (run_id, page) DO UPDATE SET
        error = NULL, fetched = excluded.fetched, total = excluded.total, worked_at = now()
        WHERE pages.error IS NOT NULL
    RETURNING run_id
), sent AS (
    SELECT
        uid::uuid, first_name::token, last_name::token, username::token, email::token,
        phone_number::token, social_insurance_number::token, birth_year::integer, gender,
        employment_title, employment_key_skill, subscription_plan, subscription_status,
        subscription_payment_method, subscription_term, city, state, country, zip_prefix,
        lat::numeric, lng::numeric, street::token, custom::jsonb, content_hash::bytea, erasure_tokens::text[]
    FROM claimed CROSS JOIN ROWS FROM (
        json_array_elements_text(uid_list),
        json_array_elements_text(first_name_list),
        json_array_elements_text(last_name_list),
        json_array_elements_text(username_list),
        json_array_elements_text(email_list),
        json_array_elements_text(phone_number_list),
        json_array_elements_text(social_insurance_number_list),
        json_array_elements_text(birth_year_list),
        json_array_elements_text(gender_list),
        json_array_elements_text(employment_title_list),
        json_array_elements_text(employment_key_skill_list),
        json_array_elements_text(subscription_plan_list),
        json_array_elements_text(subscription_status_list),
        json_array_elements_text(subscription_payment_method_list),
        json_array_elements_text(subscription_term_list),
        json_array_elements_text(city_list),
        json_array_elements_text(state_list),
        json_array_elements_text(country_list),
        json_array_elements_text(zip_prefix_list),
        json_array_elements_text(lat_list),
        json_array_elements_text(lng_list),
        json_array_elements_text(street_list),
        json_array_elements_text(custom_list), -- NULL gives no rows, and ROWS FROM then fills the column with NULL
        json_array_elements_text(content_hash_list),
        json_array_elements_text(erasure_tokens_list)
    ) AS record (
        uid, first_name, last_name, username, email, phone_number, social_insurance_number,
        birth_year, gender, employment_title, employment_key_skill, subscription_plan,
        subscription_status, subscription_payment_method, subscription_term, city, state, country,
        zip_prefix, lat, lng, street, custom, content_hash, erasure_tokens
    )
), page AS MATERIALIZED ( -- what all steps read comes first: a row is unpacked only up to the last column read
    SELECT
        EXISTS (SELECT FROM erasures WHERE uid_token = ANY (sent.erasure_tokens)) AS is_erased,
        ( -- empty if stored under an older key, so that even a person without a token moves to the key in use
            SELECT CASE WHEN users.key_version = load_page.key_version THEN users.content_hash ELSE '' END
            FROM users WHERE users.uid = sent.uid
        ) AS known_hash,
        sent.*
    FROM sent
    ORDER BY uid -- loads with the same new people insert them in the same order, so they cannot deadlock
), recognised AS ( -- an erasure is remembered under the newest key, too, as soon as its person appears
    SELECT old_token, erasure_tokens[1] AS uid_token, erased_at
    FROM page CROSS JOIN LATERAL (
        SELECT uid_token AS old_token, erased_at FROM erasures
        WHERE uid_token = ANY (erasure_tokens[2:]) AND moved_to IS DISTINCT FROM erasure_tokens[1]
        FOR UPDATE SKIP LOCKED
    ) AS remembered
    WHERE is_erased
), erasures_inserted AS (
    INSERT INTO erasures (uid_token, erased_at)
    SELECT uid_token, min(erased_at) FROM recognised GROUP BY uid_token ORDER BY uid_token
    ON CONFLICT (uid_token) DO UPDATE SET erased_at = least(erasures.erased_at, excluded.erased_at)
), erasures_moved AS (
    UPDATE erasures SET moved_to = recognised.uid_token
    FROM recognised
    WHERE erasures.uid_token = ANY (ARRAY[old_token])
), inserted AS ( -- if another load inserted one of them first, this load fails and is retried
    INSERT INTO users (
        uid, first_name, last_name, username, email, phone_number, social_insurance_number, birth_year, gender,
        employment_title, employment_key_skill, subscription_plan, subscription_status,
        subscription_payment_method, subscription_term, custom, key_version, content_hash, first_run_id,
        last_run_id, sealed_at, last_seen_at
    )
    SELECT
        uid, first_name, last_name, username, email, phone_number, social_insurance_number, birth_year, gender,
        employment_title, employment_key_skill, subscription_plan, subscription_status,
        subscription_payment_method, subscription_term, custom, load_page.key_version, content_hash,
        load_page.run_id, load_page.run_id, load_page.sealed_at, coalesce(load_page.sealed_at, now())
    FROM page
    WHERE NOT is_erased AND known_hash IS NULL
    RETURNING uid
), updated AS ( -- looks people up one by one, so it also locks them in the order of the page
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
        custom = page.custom,
        key_version = load_page.key_version,
        content_hash = page.content_hash,
        last_run_id = load_page.run_id,
        sealed_at = load_page.sealed_at,
        version = users.version + 1,
        updated_at = now(),
        last_seen_at = CASE WHEN load_page.replay_of IS NULL THEN now() ELSE users.last_seen_at END
    FROM page
    WHERE users.uid = ANY (ARRAY[page.uid]) AND NOT is_erased AND known_hash <> page.content_hash
        AND ( -- another load may have changed it by now
            users.content_hash <> page.content_hash OR users.key_version <> load_page.key_version
        )
        AND (
            load_page.sealed_at IS NULL
            OR coalesce(users.sealed_at, users.updated_at) <= load_page.sealed_at
        )
    RETURNING users.uid, users.version
), address_inserted AS (
    INSERT INTO users_address (uid, city, state, country, zip_prefix, lat, lng, street)
    SELECT uid, city, state, country, zip_prefix, lat, lng, street FROM page
    WHERE NOT is_erased AND known_hash IS NULL
), address_updated AS (
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
), departed AS ( -- whom the dialect does not want any more
    DELETE FROM users WHERE uid = ANY (load_page.gone) AND EXISTS (SELECT FROM claimed)
    RETURNING uid
), reject_rows AS (
    SELECT *, unless_erased(sealed, uid_tokens) AS seal
    FROM json_to_recordset(load_page.rejects) AS reject (
        position integer, issues jsonb, fingerprint token, uid uuid, sealed text, uid_tokens text[]
    )
), seen AS ( -- whose record is the stored one, or invalid; once a day, so that most runs write nothing about them. A
    -- replay asks the source for nobody
    UPDATE users SET last_seen_at = now()
    FROM (
        SELECT uid FROM page WHERE NOT is_erased AND known_hash = page.content_hash
        UNION ALL
        SELECT uid FROM reject_rows
        WHERE uid IS NOT NULL AND uid NOT IN (SELECT uid FROM page) AND uid <> ALL (load_page.gone)
    ) AS met
    WHERE users.uid = ANY (ARRAY[met.uid]) AND last_seen_at < now() - interval '1 day' AND load_page.replay_of IS NULL
        AND EXISTS (SELECT FROM claimed)
), rejects_deleted AS ( -- the rejects that an earlier try at this page stored; they are replaced
    DELETE FROM rejects
    WHERE run_id = load_page.run_id AND page = load_page.page AND EXISTS (SELECT FROM claimed)
    RETURNING position
), rejects_inserted AS ( -- after all of the deletions, since both have the same keys
    INSERT INTO rejects (
        run_id, page, position, issues, fingerprint, sealed, uid_token, sealed_until, created_at
    )
    SELECT
        claimed.run_id, load_page.page, reject_rows.position, reject_rows.issues, reject_rows.fingerprint, seal,
        CASE WHEN seal IS NOT NULL THEN reject_rows.uid_tokens[1] END,
        CASE WHEN seal IS NOT NULL
            THEN coalesce(earlier.sealed_until, now() + load_page.seal_days * interval '1 day')
        END,
        coalesce(earlier.created_at, now())
    FROM claimed CROSS JOIN (SELECT count(*) FROM rejects_deleted) AS gone
        CROSS JOIN reject_rows LEFT JOIN sealed AS earlier USING (position)
    RETURNING position
), replayed AS (
    UPDATE rejects SET sealed = NULL, sealed_until = NULL, uid_token = NULL, replayed_by = claimed.run_id
    FROM claimed
    WHERE rejects.run_id = load_page.replay_of AND page = load_page.page AND position IN (SELECT position FROM sealed)
), counts AS (
    SELECT
        (SELECT count(*) FROM inserted) AS inserted,
        (SELECT count(*) FROM updated) AS updated,
        (SELECT count(*) FROM rejects_inserted) AS rejected,
        count(*) FILTER (WHERE is_erased) AS suppressed,
        count(*) AS sent
    FROM page
), totals AS MATERIALIZED ( -- otherwise the page would be counted again at each use
    SELECT
        inserted, updated, sent - inserted - updated - suppressed AS unchanged, suppressed, rejected
    FROM counts
), run_updated AS (
    UPDATE runs SET
        pages_done = pages_done + 1,
        fetched = runs.fetched + load_page.fetched,
        inserted = runs.inserted + totals.inserted,
        updated = runs.updated + totals.updated,
        unchanged = runs.unchanged + totals.unchanged,
        duplicate = runs.duplicate + load_page.duplicate,
        rejected = runs.rejected + totals.rejected,
        suppressed = runs.suppressed + totals.suppressed,
        filtered = runs.filtered + load_page.filtered,
        departed = runs.departed + (SELECT count(*) FROM departed),
        unknown_fields = unknown_fields + load_page.unknown_fields,
        withheld = withheld + load_page.withheld,
        filled = (
            SELECT jsonb_object_agg(name, people::integer + coalesce((runs.filled ->> name)::bigint, 0))
            FROM json_each_text(load_page.filled) AS column_filled (name, people)
        ),
        lease_expires_at = clock_timestamp() + lease_seconds * interval '1 second'
    FROM claimed, totals
    WHERE runs.run_id = load_page.run_id
    RETURNING totals.*
)
SELECT
    inserted, updated, unchanged, suppressed, rejected, (SELECT count(*) FROM departed), iso_utc(now()),
    (SELECT coalesce(string_agg(uid::text, ' '), '') FROM inserted),
    (SELECT coalesce(json_object_agg(uid, version), '{}') FROM updated)
FROM run_updated;
END
$$;
