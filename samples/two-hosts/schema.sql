-- The application's own tables: latchkey reads and writes their rows, and knows nothing else about
-- them. May be run any number of times.
CREATE TABLE IF NOT EXISTS ticket (
    id     integer PRIMARY KEY,
    status text NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'open', 'closed'))
);

CREATE TABLE IF NOT EXISTS ticket_message (
    ticket_id integer NOT NULL REFERENCES ticket,
    n         integer NOT NULL, -- 1, 2, 3
    text      text NOT NULL,
    PRIMARY KEY (ticket_id, n)
);

INSERT INTO ticket (id)
SELECT n FROM generate_series(1, 1000) AS n
ON CONFLICT (id) DO NOTHING;
