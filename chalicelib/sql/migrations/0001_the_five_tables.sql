-- The five tables: people, their addresses, the ledger of runs, the rejects, the erasures.

-- The form of a token: v, the key's version, _, 24 characters. The check proves nothing, but no ordinary raw name,
-- number or e-mail address passes it. It is not a regular expression: that took a third of a replay's time.
CREATE DOMAIN token AS text
    CHECK (VALUE LIKE 'v%\_________________________' AND length(VALUE) BETWEEN 27 AND 30);

CREATE TABLE runs (
    run_id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    source            text NOT NULL,
    trigger           text NOT NULL CHECK (trigger IN ('schedule', 'manual', 'backfill')),
    status            text NOT NULL DEFAULT 'running'
                      CHECK (status IN ('running', 'succeeded', 'partial', 'failed', 'lost', 'skipped')),
    contract_hash     text NOT NULL,
    key_version       integer NOT NULL,
    pages_planned     integer NOT NULL CHECK (pages_planned >= 0),
    pages_done        integer NOT NULL DEFAULT 0 CHECK (pages_done >= 0),
    fetched           bigint NOT NULL DEFAULT 0 CHECK (fetched >= 0),
    inserted          bigint NOT NULL DEFAULT 0 CHECK (inserted >= 0),
    updated           bigint NOT NULL DEFAULT 0 CHECK (updated >= 0),
    unchanged         bigint NOT NULL DEFAULT 0 CHECK (unchanged >= 0),
    duplicate         bigint NOT NULL DEFAULT 0 CHECK (duplicate >= 0),
    rejected          bigint NOT NULL DEFAULT 0 CHECK (rejected >= 0),
    suppressed        bigint NOT NULL DEFAULT 0 CHECK (suppressed >= 0),
    -- why the run did not succeed; the text holds no personal value
    error             text,
    -- milliseconds by step
    timings           jsonb NOT NULL DEFAULT '{}',
    started_at        timestamptz NOT NULL DEFAULT now(),
    finished_at       timestamptz,
    -- a running run whose lease has run out is lost; the database's clock decides
    lease_expires_at  timestamptz,
    CONSTRAINT conservation CHECK
        (fetched = inserted + updated + unchanged + duplicate + rejected + suppressed),
    CONSTRAINT finished_or_leased CHECK
        ((status = 'running') = (finished_at IS NULL) AND (status <> 'running' OR lease_expires_at IS NOT NULL))
);

-- One run per source at a time.
CREATE UNIQUE INDEX one_run_per_source ON runs (source) WHERE status = 'running';

-- The ledger is read newest first.
CREATE INDEX runs_newest_first ON runs (started_at DESC, run_id DESC);

-- Every request to /health asks how long ago a run last succeeded.
CREATE INDEX runs_succeeded ON runs (finished_at) WHERE status = 'succeeded';

CREATE TABLE users (
    uid                          uuid PRIMARY KEY,
    first_name                   token,
    last_name                    token,
    username                     token,
    email                        token,
    phone_number                 token,
    social_insurance_number      token,
    birth_year                   integer NOT NULL,
    gender                       text,
    employment_title             text,
    employment_key_skill         text,
    subscription_plan            text,
    subscription_status          text,
    subscription_payment_method  text,
    subscription_term            text,
    -- the key under which this row's tokens were made
    key_version                  integer NOT NULL,
    -- identifies the content of this row and of its address: with an equal hash there is nothing to write
    content_hash                 bytea NOT NULL,
    -- counts changes of the content, from 1
    version                      integer NOT NULL DEFAULT 1,
    -- the runs that inserted the row and last changed it; no foreign key, so that old runs can be deleted
    first_run_id                 uuid NOT NULL,
    last_run_id                  uuid NOT NULL,
    created_at                   timestamptz NOT NULL DEFAULT now(),
    updated_at                   timestamptz NOT NULL DEFAULT now()
);

-- For look-ups by e-mail address. Look-ups by other tokens are rare enough to read the whole table.
CREATE INDEX users_by_email ON users (email);

CREATE TABLE users_address (
    uid         uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    city        text,
    state       text,
    country     text,
    zip_prefix  text CHECK (length(zip_prefix) <= 3),
    -- the type itself is no finer than a tenth of a degree
    lat         numeric(4, 1) NOT NULL CHECK (lat BETWEEN -90 AND 90),
    lng         numeric(4, 1) NOT NULL CHECK (lng BETWEEN -180 AND 180),
    street      token
);

CREATE TABLE rejects (
    run_id       uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    page         integer NOT NULL,
    -- the record's place in its page, from 0
    position     integer NOT NULL,
    -- [{"path": …, "rule": …}]: what was wrong and where, never a value
    issues       jsonb NOT NULL,
    -- identifies a raw record that comes again
    fingerprint  token NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, page, position)
);

CREATE TABLE erasures (
    -- the erased person as a keyed token: enough to recognise the person, but not to find out who it was
    uid_token  token PRIMARY KEY,
    erased_at  timestamptz NOT NULL DEFAULT now()
);
