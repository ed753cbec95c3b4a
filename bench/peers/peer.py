"""Other systems as cases of the benchmark: drivers in JavaScript do the work, timed alike."""
import json
import os
import platform
from pathlib import Path

import process
from case import MICRO, Case, Latchkey
from process import Failed

HERE = Path(__file__).resolve().parent
FIRST_COUNT = 200  # jobs of a first run, from which the length of the others follows
COUNT_MIN = 50
COUNT_MAX = 60000
DRIVER_SECONDS_MAX = 60
UNDER_WAY_DEFAULT = 64
# One session that looks: a process for each look would be work for the machine that is measured.
UNTIL_EMPTY = """
DO $body$
DECLARE
    until timestamptz := clock_timestamp() + interval '60 s';
BEGIN
    WHILE EXISTS (SELECT FROM latchkey.job) AND clock_timestamp() < until LOOP
        COMMIT;
        PERFORM pg_sleep(0.01);
    END LOOP;
END
$body$;
SELECT extract(epoch FROM clock_timestamp() - started_at) FROM latchkey.host WHERE pid = @pid@;
"""


def node() -> str:
    """Node as the lock file pins it: distributions have older ones than some systems want."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    path = HERE / "node_modules" / f"node-linux-{machine}" / "bin" / "node"
    if not path.exists():
        raise Failed(f"no {path}: run npm ci in bench/peers, or ./dev bench-peers")
    return str(path)


def postmaster(database) -> int:
    return int((database.data / "postgres" / "postmaster.pid").read_text().split()[0])


def server_us(database) -> float:
    """Processor time of PostgreSQL's sessions, those that have ended and those that live."""
    def ticks(pid, first: int) -> int:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return 0  # it has just ended
        return int(fields[first]) + int(fields[first + 1])

    pid = postmaster(database)
    living = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return ((sum(ticks(child, 11) for child in living) + ticks(pid, 13)) * MICRO
            / os.sysconf("SC_CLK_TCK"))


def installed(package: str) -> dict:
    return json.loads((HERE / "node_modules" / package / "package.json").read_text())


class TellsLost(Case):
    """A run that lost an increment is not counted as a failed one here, but told as what it is."""

    def compare(self, figure, added):
        figure["lost"] = figure["executions"] + figure.get("warmed", 0) - added
        if "server_us" in figure:  # without what was done before the work
            figure["database_us"] = figure.pop("server_us") / figure["executions"]


class Peer(TellsLost):
    """A run of drivers/NAME.js. Queued work is submitted first, and the working off is timed."""

    def __init__(self, database, variant, words, load, driver: str, told: dict):
        super().__init__(database, variant, words, load)
        self.driver = driver
        self.told = told
        self.count = FIRST_COUNT

    def work(self, seconds):
        job = {"keys": self.load.n_keys, "seconds": seconds, "count": self.count,
               "postmaster": postmaster(self.database), **self.told}
        environment = {**self.database.environment, "DO_NOT_TRACK": "1"}
        ended = process.run([node(), str(HERE / "drivers" / f"{self.driver}.js"), json.dumps(job)],
                            environment, seconds_max=DRIVER_SECONDS_MAX)
        figure = json.loads(ended.output.splitlines()[-1])
        if figure["executions"] == 0:
            raise Failed(f"{self.name}: nothing was done")
        figure["per_second"] = figure["executions"] / figure["seconds"]
        figure["own_us"] = figure.pop("processor_us") / figure["executions"]
        self.count = min(COUNT_MAX, max(COUNT_MIN, round(figure["per_second"] * seconds)))
        return figure


class Restate(Peer):
    """Its server does the work too: the processor time of both is its own."""

    def __init__(self, *arguments, server, **named):
        super().__init__(*arguments, **named)
        self.server = server

    def work(self, seconds):
        self.told |= self.server.addresses()
        before = self.server.processor_s()
        figure = super().work(seconds)
        figure["own_us"] += (self.server.processor_s() - before) * MICRO / figure["executions"]
        return figure


class LatchkeyAwaited(TellsLost, Latchkey):
    """`latchkey run`: each execution is answered."""


class LatchkeyJobs(TellsLost):
    """`latchkey run --queue`, and then one host of `latchkey serve` that works it off."""

    def __init__(self, database, variant, words, load, workers: int | None):
        super().__init__(database, variant, words, load)
        self.workers = workers
        self.count = FIRST_COUNT

    def submit(self) -> float:
        """A second, as its own."""
        ended = process.run(
            [self.database.latchkey, "run", self.load.definition, "--json", "--quiet", "--queue",
             *self.load.input_options(self.database.directory), "--count", str(self.count),
             "--concurrency", str(UNDER_WAY_DEFAULT)], self.database.environment)
        totals = json.loads(ended.output)
        if totals["queued"] != self.count:
            raise Failed(f"{self.name}: {ended.output}")
        return totals["per_second"]

    def serve(self) -> tuple[float, float]:
        """Seconds from the host's row in the database until no job is left; its processor time."""
        empty = self.database.directory / "empty"
        empty.mkdir(exist_ok=True)
        host = process.Background(
            [self.database.latchkey, "serve", "--listen", "none", "--quiet", "--definitions",
             str(empty), *(["--workers", str(self.workers)] if self.workers else [])],
            self.database.environment)
        with host:
            seconds = float(self.database.ask(UNTIL_EMPTY.replace("@pid@", str(host.pid)))[0][0])
        return seconds, host.processor_s

    def work(self, seconds):
        submitted = self.submit()
        self.database.ask("ANALYZE;")  # what autovacuum does within a minute
        server_before = server_us(self.database)
        took, processor_s = self.serve()
        server_after = server_us(self.database)
        left = int(self.database.ask("SELECT count(*) FROM latchkey.job;")[0][0])
        if left:
            raise Failed(f"{self.name}: {left} jobs are left after {took:.0f} s")
        figure = {"executions": self.count, "seconds": took, "per_second": self.count / took,
                  "submitted_per_second": submitted, "server_us": server_after - server_before,
                  "own_us": processor_s * MICRO / self.count}
        self.count = min(COUNT_MAX, max(COUNT_MIN, round(figure["per_second"] * seconds)))
        return figure

    def check(self, figure, found):
        if found["executions"] != figure["executions"]:
            raise Failed(f"{self.name}: {figure['executions']} jobs, {found}")
        figure["batch"] = figure["executions"] / max(1, found["batches"])
