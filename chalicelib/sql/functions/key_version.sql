-- The version of the key that made a token.
CREATE OR REPLACE FUNCTION key_version(made token) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN substring(made FROM 2 FOR position('_' IN made) - 2)::integer;
