-- The keys that this database knows, the quarantine of sealed rejects, and fields unknown to the contract.

CREATE TABLE key_versions (
    version        integer PRIMARY KEY,
    -- a token of a fixed text: shows whether a version still has the same key
    proof          token NOT NULL,
    first_used_at  timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE rejects
    -- the raw record under AES-256-GCM, if the quarantine is on; removed when it expires, is replayed or erased
    ADD COLUMN sealed bytea,
    ADD COLUMN sealed_until timestamptz,
    -- the person of the record, so that an erasure finds it; kept no longer than the seal
    ADD COLUMN uid_token token,
    -- the run that replayed the record; no foreign key, so that old runs can be deleted
    ADD COLUMN replayed_by uuid,
    ADD CONSTRAINT sealed_with_an_end CHECK
        ((sealed IS NULL) = (sealed_until IS NULL) AND (sealed IS NOT NULL OR uid_token IS NULL));

-- Both are small: few rejects stay sealed for long.
CREATE INDEX rejects_sealed_until ON rejects (sealed_until) WHERE sealed IS NOT NULL;
CREATE INDEX rejects_by_uid_token ON rejects (uid_token) WHERE uid_token IS NOT NULL;

ALTER TABLE runs
    -- fields unknown to the contract, each counted once for every record that has it; all were dropped
    ADD COLUMN unknown_fields bigint NOT NULL DEFAULT 0 CHECK (unknown_fields >= 0),
    -- the run whose sealed rejects this run replays
    ADD COLUMN replay_of uuid,
    DROP CONSTRAINT runs_trigger_check,
    ADD CONSTRAINT runs_trigger_check CHECK (trigger IN ('schedule', 'manual', 'backfill', 'replay'));
