"""A PostgreSQL of the benchmark's own, with the default, durable settings, and its tables."""
import os
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import process
from process import Failed

SETTINGS = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method",
            "shared_buffers", "max_connections", "wal_buffers", "max_wal_size", "autovacuum")

NIL_ID = "00000000-0000-0000-0000-000000000000"


def program(name: str) -> str:
    """The program itself: Debian's wrapper in PATH is a script and takes longer to start."""
    for directory in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (directory / name).exists():
            return str(directory / name)
    found = shutil.which(name)
    if not found:
        raise Failed(f"{name} is not installed")
    return found


class Database:
    def __init__(self, build: Path):
        self.build = build
        self.latchkey = str(build / "latchkey")
        # On a disk, and where the unprivileged account of the server may go.
        self.directory = Path(tempfile.mkdtemp(prefix="latchkey-bench.", dir="/var/tmp"))
        self.directory.chmod(0o755)
        self.data = self.directory / "data"
        self.psql = program("psql")
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith(("PG", "LATCHKEY_"))}
        self.started = False

    def start(self) -> None:
        url = process.run([self.latchkey, "db", "start", "--data-dir", str(self.data)],
                          self.environment).output.strip()
        self.started = True
        names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE"}
        for part in url.split():
            name, _, value = part.partition("=")
            self.environment[names[name]] = value
        process.run([self.latchkey, "migrate"], self.environment)
        for file in ("samples/message-read/schema.sql", "bench/tables.sql"):
            process.run([self.psql, "-qX", "-v", "ON_ERROR_STOP=1", "-f", file], self.environment)

    def stop(self) -> None:
        if self.started:
            process.run([self.latchkey, "db", "stop", "--data-dir", str(self.data)],
                        self.environment)
        shutil.rmtree(self.directory, ignore_errors=True)

    def ask(self, script: str) -> list[list[str]]:
        """Rows of the statements of a script."""
        output = process.run([self.psql, "-qXAt", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-f", "-"],
                             self.environment, script).output
        return [line.split("\t") for line in output.splitlines()]

    def ask_together(self, scripts: list[str]) -> None:
        """Each in a session of its own, all at a time."""
        with ThreadPoolExecutor(len(scripts)) as pool:
            list(pool.map(self.ask, scripts))

    def prepare(self, table: str) -> int:
        """Each run begins alike: no history, no dead rows, nothing to write out. The counter."""
        self.ask("TRUNCATE latchkey.instance, latchkey.execution, latchkey.commit_mark;")
        return self.settle(table)

    def settle(self, table: str) -> int:
        return int(self.ask(f"VACUUM {table}; CHECKPOINT; SELECT sum(read) FROM {table};")[0][0])

    def found(self, table: str, schema: str = "latchkey", since: str = NIL_ID) -> dict:
        """What a run has left behind: the counter, and the history of latchkey from an id on."""
        rows = self.ask(
            f"SELECT 'counter', sum(read) FROM {table};"
            f"SELECT 'instances', count(*) FROM {schema}.instance"
            f" WHERE status = 'completed' AND id >= '{since}';"
            f"SELECT 'executions', count(*) FROM {schema}.execution"
            f" WHERE status = 'completed' AND instance >= '{since}';"
            f"SELECT 'batches', count(*) FROM {schema}.commit_mark"
            f" WHERE NOT void AND attempt >= '{since}';"
            f"SELECT 'share', count(*) FROM {schema}.execution WHERE instance >= '{since}'"
            " GROUP BY process;")
        found = {name: int(value) for name, value in rows if name != "share"}
        found["shares"] = sorted(int(value) for name, value in rows if name == "share")
        return found

    def processor_s(self) -> float:
        """What the server's ended sessions have used so far."""
        time.sleep(0.02)  # a session ends a little after its client
        pid = (self.data / "postgres" / "postmaster.pid").read_text().split()[0]
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")

    def settings(self) -> dict[str, str]:
        return dict(self.ask("".join(f"SELECT '{name}', current_setting('{name}');"
                                     for name in SETTINGS)))
