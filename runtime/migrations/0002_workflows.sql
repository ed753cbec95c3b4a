-- What whole workflows need: instances that go on later and elsewhere, background jobs, triggers,
-- idempotency keys, leases.

-- An open instance stands before `activity`, a completed one has ended in it. Each change of its
-- state raises state_version and names the version it starts from. process is who runs it; a
-- running one without is gone on with by a job.
ALTER TABLE @schema@.instance
    ADD wait_for  text,                           -- idle: the event it waits for
    ADD steps     integer NOT NULL DEFAULT 0,     -- activities run so far
    ADD has_idled boolean NOT NULL DEFAULT false,
    ADD key       text,                           -- idempotency key, if its caller gave one
    ADD CHECK (status <> 'idle' OR wait_for IS NOT NULL);
CREATE INDEX instance_open ON @schema@.instance (id) WHERE status <> 'completed';
CREATE INDEX instance_running ON @schema@.instance (process) WHERE status = 'running';

-- The same key, workflow and input is one instance and one answer. result is the answer as it was
-- first given; NULL = the instance has not ended.
CREATE TABLE @schema@.idempotency_key (
    workflow   text        NOT NULL,
    key        text        NOT NULL,
    input      jsonb       NOT NULL,
    instance   uuid        NOT NULL,
    result     jsonb,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (workflow, key)
);
CREATE INDEX idempotency_key_by_instance ON @schema@.idempotency_key (instance);

-- Work for the background. It is deleted in the transaction that commits the work.
CREATE TABLE @schema@.job (
    id            uuid        PRIMARY KEY,
    kind          text        NOT NULL CHECK (kind IN ('start', 'event', 'resume')),
    workflow      text        NOT NULL,
    version       integer,               -- NULL = the latest when it runs
    instance      uuid        NOT NULL,  -- of a start: the id that the new instance gets
    event         text,
    payload       jsonb,                 -- of the event
    input         jsonb,                 -- of a start
    key           text,                  -- idempotency key of a start
    priority      integer     NOT NULL DEFAULT 0, -- larger ones first
    run_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts      integer     NOT NULL DEFAULT 0,
    attempts_max  integer     NOT NULL DEFAULT 5,
    claimed_by    uuid,                  -- a process, softly: only the lock of the row counts
    claimed_until timestamptz,
    alone         boolean     NOT NULL DEFAULT false, -- a process died with it: no neighbours
    dead          boolean     NOT NULL DEFAULT false,
    last_status   text,
    last_error    text,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (kind <> 'start' OR input IS NOT NULL),
    CHECK (kind <> 'event' OR event IS NOT NULL)
);
CREATE INDEX job_due ON @schema@.job (priority DESC, run_at) WHERE NOT dead;
CREATE INDEX job_claimed ON @schema@.job (claimed_by) WHERE claimed_by IS NOT NULL;
CREATE INDEX job_by_instance ON @schema@.job (instance);

-- What starts workflows: of the latest version of each.
CREATE TABLE @schema@.trigger (
    workflow text        NOT NULL,
    version  integer     NOT NULL,
    ordinal  integer     NOT NULL, -- its place in the definition
    event    text,
    every_ms bigint CHECK (every_ms > 0),
    next_at  timestamptz,
    PRIMARY KEY (workflow, ordinal),
    CHECK ((event IS NULL) <> (every_ms IS NULL)),
    CHECK ((every_ms IS NULL) = (next_at IS NULL))
);
CREATE INDEX trigger_by_event ON @schema@.trigger (event) WHERE event IS NOT NULL;

-- Locks that are held over several transactions. One execution's rows have one token and one
-- holder. Any row on an equal, ancestor or descendant path refuses, expired or not: who wants the
-- path removes expired rows first, in a transaction of its own.
CREATE SEQUENCE @schema@.lease_token;
CREATE TABLE @schema@.lease (
    path       text COLLATE "C" PRIMARY KEY,
    token      bigint      NOT NULL,
    holder     uuid        NOT NULL,
    process    uuid        NOT NULL,
    instance   uuid        NOT NULL,
    workflow   text        NOT NULL,
    activity   text        NOT NULL,
    taken_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);
