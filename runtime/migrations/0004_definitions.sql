-- What several hosts must agree on when they publish, reload and refresh definitions.

-- Beside a workflow's versions, which are never edited: what is known of it as a whole.
CREATE TABLE @schema@.definition_state (
    workflow  text   PRIMARY KEY,
    file      text,                      -- in the definitions directory, when a reload found it last
    refreshes bigint NOT NULL DEFAULT 0  -- so many times hosts were told to read it again
);

-- Requests to reload that met a reload under way. Who holds the lock carries out all that were
-- asked before it read the directory, and looks again after it has let go. No row: none was asked.
CREATE TABLE @schema@.reload (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    asked    bigint  NOT NULL DEFAULT 0,
    done     bigint  NOT NULL DEFAULT 0,
    CHECK (done <= asked)
);
