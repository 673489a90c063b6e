-- A sealed record (base64), unless its person was erased.
CREATE OR REPLACE FUNCTION unless_erased(sealed text, uid_tokens text[]) RETURNS bytea
    LANGUAGE sql STABLE
    RETURN CASE
        WHEN NOT EXISTS (SELECT FROM erasures WHERE uid_token = ANY (uid_tokens)) THEN decode(sealed, 'base64')
    END;
