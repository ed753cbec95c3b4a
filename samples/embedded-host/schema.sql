-- What visit.yaml works on: a house has doors, and each door lets in so many.
CREATE TABLE door (
    id integer PRIMARY KEY,
    visitors integer NOT NULL DEFAULT 0 CHECK (visitors <= capacity),
    capacity integer NOT NULL
);
INSERT INTO door (id, capacity) VALUES (1, 30), (2, 1000);
