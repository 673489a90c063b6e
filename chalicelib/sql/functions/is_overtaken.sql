-- Whether this version shows that the caller's newest key, {"version": …, "proof": …, "given_up": [versions]}, may
-- no longer be used to make tokens.
CREATE OR REPLACE FUNCTION is_overtaken(version integer, proof text, newest jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN version = (newest ->> 'version')::integer THEN proof <> newest ->> 'proof'
        ELSE version > (newest ->> 'version')::integer AND NOT newest -> 'given_up' @> to_jsonb(version)
    END;
