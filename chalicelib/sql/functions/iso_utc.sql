-- A time in the format of the API. Both the loader and the reader use it, so that their bytes are equal.
CREATE OR REPLACE FUNCTION iso_utc(moment timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
