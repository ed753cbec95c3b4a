-- What a host persists: definitions, instances, the history of executions, marks of commits, hosts.

CREATE TABLE @schema@.definition (
    workflow     text        NOT NULL,
    version      integer     NOT NULL CHECK (version > 0),
    source       text        NOT NULL,
    checksum     text        NOT NULL,
    published_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_by text        NOT NULL,
    PRIMARY KEY (workflow, version)
);

CREATE TABLE @schema@.instance (
    id            uuid        PRIMARY KEY,
    workflow      text        NOT NULL,
    version       integer     NOT NULL,
    activity      text        NOT NULL,
    status        text        NOT NULL CHECK (status IN ('running', 'idle', 'completed', 'failed', 'blocked')),
    reason        text,
    input         jsonb       NOT NULL,
    vars          jsonb,
    output        jsonb,
    state_version bigint      NOT NULL DEFAULT 1,
    process       uuid,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row an execution, also those that kept nothing. No key: rows are only added and listed.
CREATE TABLE @schema@.execution (
    instance    uuid        NOT NULL,
    workflow    text        NOT NULL,
    version     integer     NOT NULL,
    activity    text        NOT NULL,
    status      text        NOT NULL,
    reason      text,
    paths       text[]      NOT NULL,
    token       bigint,
    waited_ms   real        NOT NULL,
    held_ms     real        NOT NULL,
    attempts    integer     NOT NULL,
    process     uuid        NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX execution_by_instance ON @schema@.execution (instance);

-- One row for each transaction that wrote: the proof that it committed. A look-up whose answer was
-- lost inserts the same attempt as void; whoever comes first decides what happened.
CREATE TABLE @schema@.commit_mark (
    attempt uuid        PRIMARY KEY,
    void    boolean     NOT NULL DEFAULT false,
    at      timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE @schema@.host (
    process    uuid        PRIMARY KEY,
    name       text        NOT NULL,
    pid        integer     NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    beat_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
