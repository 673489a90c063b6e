-- The versions of keys under which people are stored but that were given as other keys, or not given at all: whoever is
-- looked up by such keys is not found. Versions that were given up are no surprise.
SELECT version
FROM key_versions AS known LEFT JOIN json_each_text(%(proofs)s) AS given ON given.key::integer = known.version
WHERE given.value IS DISTINCT FROM known.proof AND known.version <> ALL (%(given_up)s::integer[])
    AND EXISTS (SELECT FROM users WHERE key_version = known.version)
ORDER BY version;
