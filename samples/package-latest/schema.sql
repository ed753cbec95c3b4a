-- The application's own table: latchkey reads and writes its rows, and knows nothing else about it.
-- May be run any number of times.
CREATE TABLE IF NOT EXISTS package_version (
    package_id       text NOT NULL CHECK (package_id = lower(package_id)), -- normalised
    version          text COLLATE "C" NOT NULL, -- without build metadata, which orders nothing
    major            bigint NOT NULL,
    minor            bigint NOT NULL,
    patch            bigint NOT NULL,
    prerelease       text NOT NULL,             -- '' = stable
    listed           boolean NOT NULL DEFAULT true,
    deleted          boolean NOT NULL DEFAULT false,
    is_latest        boolean NOT NULL DEFAULT false,
    is_latest_stable boolean NOT NULL DEFAULT false,
    PRIMARY KEY (package_id, version)
);
