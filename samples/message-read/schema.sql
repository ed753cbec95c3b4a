-- The application's own table: latchkey reads and writes its rows, and knows nothing else about it.
-- May be run any number of times.
CREATE TABLE IF NOT EXISTS message (
    id    bigint PRIMARY KEY,
    title text,
    read  bigint NOT NULL DEFAULT 0
);

INSERT INTO message (id, title)
SELECT n, 'Message ' || n FROM generate_series(1, 10000) AS n
ON CONFLICT (id) DO NOTHING;
