-- Compares the keys at hand with those that the database was written under. A version that is missing is
-- forgotten if nothing needs it any more; one that is newer than those at hand is in use elsewhere. Returns what is
-- wrong: (version, people, erasures, sealed records), the counts NULL if the key is another one than it was.
--
-- If nothing is wrong, seals whose person only a key that was given up could recognise end, since no erasure would find
-- them: so many at a time that it is done in a moment.
--
-- The newest is remembered first, in a statement of its own: of two who come at once, the second sees the first's.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED; -- a snapshot for each statement
INSERT INTO key_versions (version, proof)
SELECT key::integer, value FROM json_each_text(%(proofs)s) WHERE key::integer = %(newest)s
ON CONFLICT DO NOTHING;

WITH given AS (
    SELECT key::integer AS version, value AS proof FROM json_each_text(%(proofs)s)
), missing AS MATERIALIZED (
    SELECT
        version,
        (SELECT count(*) FROM users WHERE key_version = known.version) AS people,
        (SELECT count(*) FROM erasures WHERE key_version(uid_token) = known.version) AS erasures,
        (SELECT count(*) FROM rejects WHERE key_version(uid_token) = known.version) AS sealed
    FROM key_versions AS known
    WHERE version NOT IN (SELECT version FROM given) AND version <> ALL (%(given_up)s::integer[])
), needed AS (
    SELECT * FROM missing WHERE people + erasures + sealed > 0 OR version > %(newest)s
), forgotten AS (
    DELETE FROM key_versions
    WHERE version IN (SELECT version FROM missing) AND version NOT IN (SELECT version FROM needed)
), wrong AS MATERIALIZED (
    SELECT * FROM needed
    UNION ALL
    SELECT version, NULL, NULL, NULL FROM key_versions AS known JOIN given USING (version)
    WHERE known.proof <> given.proof
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
