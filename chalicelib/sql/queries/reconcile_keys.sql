-- Compares the given keys with those that the database was written with. A missing version is forgotten if nothing
-- needs it any more; one newer than the given keys is in use elsewhere. Returns what is wrong: (version, people,
-- erasures, sealed records), with NULL counts if the version now has another key.
--
-- If nothing is wrong, ends the seals whose person only a given-up key could recognise, since no erasure would find
-- them. It ends a limited number at a time, so that this takes a moment only.
--
-- If a known version is missing, this waits for the loads and erasures in progress, which may still need it.
-- The newest key is remembered first, in a separate statement, so that the second of two concurrent callers sees the
-- first one's. If something is wrong it is forgotten again: a refused key must not lock the right ones out.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- a snapshot for each statement
SET LOCAL lock_timeout = '4s'; -- for each of four waits; the client gives up after 20 s, and nothing may happen later
SELECT pg_advisory_xact_lock(hashtext('decant.erasures'))
WHERE EXISTS (
    SELECT FROM key_versions
    WHERE version NOT IN (SELECT key::integer FROM json_object_keys(%(proofs)s) AS key)
        AND version <> ALL (%(given_up)s::integer[]) AND version < %(newest)s
);

INSERT INTO key_versions (version, proof)
SELECT key::integer, value FROM json_each_text(%(proofs)s) WHERE key::integer = %(newest)s
ON CONFLICT DO NOTHING;

WITH given AS (
    SELECT key::integer AS version, value AS proof FROM json_each_text(%(proofs)s)
), missing AS MATERIALIZED (
    SELECT
        version,
        (SELECT count(*) FROM users WHERE key_version = known.version) AS people,
        ( -- one that moved to a version that was given up needs its old one again
            SELECT count(*) FROM erasures
            WHERE key_version(uid_token) = known.version
                AND (moved_to IS NULL OR key_version(moved_to) = ANY (%(given_up)s::integer[]))
        ) AS erasures,
        (SELECT count(*) FROM rejects WHERE key_version(uid_token) = known.version) AS sealed
    FROM key_versions AS known
    WHERE version NOT IN (SELECT version FROM given) AND version <> ALL (%(given_up)s::integer[])
), needed AS (
    SELECT * FROM missing WHERE people + erasures + sealed > 0 OR version > %(newest)s
), forgotten AS (
    DELETE FROM key_versions
    WHERE version IN (SELECT version FROM missing) AND version NOT IN (SELECT version FROM needed)
    RETURNING version
), unneeded AS (
    DELETE FROM erasures WHERE moved_to IS NOT NULL AND key_version(uid_token) IN (SELECT version FROM forgotten)
), wrong AS MATERIALIZED (
    SELECT * FROM needed
    UNION ALL
    SELECT version, NULL, NULL, NULL FROM key_versions AS known JOIN given USING (version)
    WHERE known.proof <> given.proof
), refused AS (
    DELETE FROM key_versions WHERE version = %(newest)s AND first_used_at = now() AND EXISTS (SELECT FROM wrong)
), unsealed AS (
    UPDATE rejects SET sealed = NULL, sealed_until = NULL, uid_token = NULL
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM rejects
        WHERE cardinality(%(given_up)s::integer[]) > 0 AND NOT EXISTS (SELECT FROM wrong)
            AND uid_token IS NOT NULL AND key_version(uid_token) = ANY (%(given_up)s::integer[])
        LIMIT 10000
        FOR UPDATE SKIP LOCKED
    ))
)
SELECT * FROM wrong ORDER BY version;
