-- The versions of keys under which people are stored but that were given as other keys, or not given at all: whoever is
-- looked up by such keys is not found. Versions that were given up are no surprise.
-- Usually no version differs, and then no person is looked at; LIMIT ends the search at the first one.
WITH different AS MATERIALIZED (
    SELECT version
    FROM key_versions AS known LEFT JOIN json_each_text(%(proofs)s) AS given ON given.key::integer = known.version
    WHERE given.value IS DISTINCT FROM known.proof AND known.version <> ALL (%(given_up)s::integer[])
)
SELECT version FROM different
WHERE (SELECT true FROM users WHERE key_version = different.version LIMIT 1)
ORDER BY version;
