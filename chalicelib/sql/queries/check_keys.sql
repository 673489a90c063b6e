-- Compares the keys at hand with those that the database was written under, and remembers new ones. A version
-- that is missing is forgotten if nothing needs it any more. Returns what is wrong: (version, people,
-- erasures), where both counts are NULL if the version's key is another one than it was.
WITH given AS (
    SELECT key::integer AS version, value AS proof FROM json_each_text(%(proofs)s)
), remembered AS (
    INSERT INTO key_versions (version, proof)
    SELECT version, proof FROM given
    WHERE version = %(newest)s
    ON CONFLICT DO NOTHING
), missing AS MATERIALIZED (
    SELECT
        version,
        (SELECT count(*) FROM users WHERE key_version = known.version) AS people,
        (SELECT count(*) FROM erasures WHERE key_version(uid_token) = known.version) AS erasures
    FROM key_versions AS known
    WHERE version NOT IN (SELECT version FROM given) AND version <> ALL (%(given_up)s::integer[])
), forgotten AS (
    DELETE FROM key_versions WHERE version IN (SELECT version FROM missing WHERE people + erasures = 0)
)
SELECT version, people, erasures FROM missing WHERE people + erasures > 0
UNION ALL
SELECT version, NULL, NULL FROM key_versions AS known JOIN given USING (version)
WHERE known.proof <> given.proof
ORDER BY version;
