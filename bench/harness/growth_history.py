"""A schema with as much history as is wanted, beside the one that is emptied before every run."""
import process

MARKS_EACH = 100  # executions a transaction

# Ids as hosts draw them, so in the order of time: one row each 250 ms, the last an hour ago.
ROWS = """
INSERT INTO {schema}.{table}
SELECT {columns}
  FROM generate_series({first}::bigint, {last}, {step}) AS n,
       LATERAL (SELECT pg_catalog.lpad(pg_catalog.to_hex({began_ms} + n * 250), 12, '0') || '7'
                    || pg_catalog.lpad(pg_catalog.to_hex(n % 4096), 3, '0') || '8'
                    || pg_catalog.lpad(pg_catalog.to_hex(n * 2654435761), 15, '0')) AS i(hex),
       LATERAL (SELECT i.hex::uuid AS id, 1 + n % 10000 AS message,
                       pg_catalog.to_timestamp(({began_ms} + n * 250) / 1000.0) AS at) AS r;
"""
INSTANCE = """id, 'growth-past', 1, 'read', 'completed', NULL,
       pg_catalog.jsonb_build_object('message_id', message), NULL, NULL, 1,
       '00000000-0000-7000-8000-000000000000', at, at, NULL, 1, false, NULL"""
EXECUTION = """id, 'growth-past', 1, 'read', 'completed', NULL, ARRAY['message/' || message], NULL,
       12.5, 0.5, 1, '00000000-0000-7000-8000-000000000000', at"""
MARK = "id, false, at"


class History:
    schema = "past"

    def __init__(self, database):
        self.database = database
        self.environment = {**database.environment, "LATCHKEY_SCHEMA": self.schema}
        self.n_rows = 0

    def fill(self, n_rows: int, most: int) -> None:
        """So many executions, of which there will be `most`, have completed here before."""
        if not self.n_rows:
            process.run([self.database.latchkey, "migrate"], self.environment)
        now_ms = int(self.database.ask(
            "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000);")[0][0])
        told = {"schema": self.schema, "first": self.n_rows + 1, "last": n_rows,
                "began_ms": now_ms - 3600 * 1000 - most * 250}
        scripts = [ROWS.format(table=table, columns=columns, step=step, **told)
                   for table, columns, step in (("instance", INSTANCE, 1),
                                                ("execution", EXECUTION, 1),
                                                ("commit_mark", MARK, MARKS_EACH))]
        self.database.ask_together(scripts)
        # Otherwise autovacuum would do it during the runs.
        self.database.ask_together([f"VACUUM ANALYZE {self.schema}.{table};"
                                    for table in ("instance", "execution", "commit_mark")])
        self.n_rows = n_rows

    def next_id(self) -> str:
        """No smaller one will be drawn."""
        return self.database.ask(f"SELECT {self.schema}.id_floor(clock_timestamp());")[0][0]
