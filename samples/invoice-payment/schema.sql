-- The application's own tables: latchkey reads and writes their rows, and knows nothing else about
-- them. May be run any number of times.
CREATE TABLE IF NOT EXISTS invoice (
    id     bigint PRIMARY KEY,
    amount numeric(12, 2) NOT NULL,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'paid'))
);

-- An invoice may be paid in several instalments, so no unique index here could stop a second payment.
CREATE TABLE IF NOT EXISTS payment (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    invoice_id bigint NOT NULL REFERENCES invoice,
    amount     numeric(12, 2) NOT NULL,
    paid_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

INSERT INTO invoice (id, amount)
SELECT n, 10 * n FROM generate_series(1, 1000) AS n
ON CONFLICT (id) DO NOTHING;
