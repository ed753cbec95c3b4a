"""One way of doing the work, on one load: run for some seconds, checked, and told in figures."""
import json
import re
from pathlib import Path

import process
from database import Database, program
from load import Load
from process import Failed

CLIENTS = 16
MICRO = 1e6
FIRST_COUNT = 1000  # executions of a first run, from which the length of the others follows
COUNT_MIN = 100
WARMING_EACH = 60
ALONE_EACH_SECOND = 1000


class Case:
    """A figure: executions, per_second; own_us and database_us an execution; what a kind adds."""

    def __init__(self, database: Database, variant: str, words: str, load: Load):
        self.database = database
        self.variant = variant
        self.words = words
        self.load = load
        self.name = f"{variant} {load.name}"
        self.environment = database.environment
        self.figures: list[dict] = []
        self.failures = 0  # runs that gave no figure, where that does not end the benchmark

    def work(self, seconds: float) -> dict:
        raise NotImplementedError

    def before(self) -> None:
        """What a run wants to have been done."""

    def check(self, figure: dict, found: dict) -> None:
        """What else must hold after a run."""

    def prepare(self) -> int:
        """The counter before a run."""
        return self.database.prepare(self.load.table)

    def found(self) -> dict:
        return self.database.found(self.load.table)

    def compare(self, figure: dict, added: int) -> None:
        """A run that lost an increment is a failed run, not a fast one."""
        if added != figure["executions"]:
            raise Failed(f"{self.name}: {figure['executions']} increments were acknowledged "
                         f"and {added} are there")

    def run(self, seconds: float) -> dict:
        self.before()
        before = self.prepare()
        server_s = self.database.processor_s()
        figure = self.work(seconds)
        figure["database_us"] = ((self.database.processor_s() - server_s) * MICRO
                                 / figure["executions"])
        found = self.found()
        self.compare(figure, found["counter"] - before)
        self.check(figure, found)
        return figure


class ByHand(Case):
    """SQL as people write it, driven by pgbench with prepared statements."""

    def __init__(self, database, variant, words, load, script: str, clients: int = CLIENTS):
        super().__init__(database, variant, words, load)
        self.clients = clients
        self.lately = 0.0  # a second
        text = Path(f"bench/by_hand/{script}.sql").read_text()
        pause = f"\\sleep {load.pause_ms} ms" if load.pause_ms else ""
        values = {"draw": load.draw(), "lock": load.lock, "table": load.table, "pause": pause,
                  "pause_seconds": str(load.pause_ms / 1000)}
        text = re.sub("@([a-z_]+)@", lambda word: values[word[1]], text)
        self.script = database.directory / f"{variant}-{load.name}.sql".replace(" ", "-")
        self.script.write_text(text)

    def pgbench(self, seconds: float, *more: str) -> process.Ended:
        return process.run([program("pgbench"), "-n", "-M", "prepared", "-c", str(self.clients),
                            "-j", str(min(2, self.clients)), *self.length(seconds),
                            "-f", str(self.script), *more], self.database.environment)

    def length(self, seconds: float) -> list[str]:
        # pgbench takes whole seconds. A shorter run does as many as were done lately in the time.
        if seconds == round(seconds):
            return ["-T", str(round(seconds))]
        each = round(self.lately * seconds / self.clients) if self.lately else WARMING_EACH
        return ["-t", str(max(1, each))]

    def work(self, seconds):
        ended = self.pgbench(seconds)
        executions = int(find(r"transactions actually processed: (\d+)", ended.output))
        if int(find(r"number of failed transactions: (\d+)", ended.output)):
            raise Failed(f"{self.name}: failed transactions\n{ended.output}")
        self.lately = float(find(r"tps = ([\d.]+) \(without initial", ended.output))
        return {"executions": executions, "per_second": self.lately,
                "own_us": ended.processor_s * MICRO / executions}


class AloneByHand(ByHand):
    """One client: its latency."""

    def length(self, seconds):
        return ["-t", str(round(ALONE_EACH_SECOND * seconds))]

    def work(self, seconds):
        prefix = str(self.database.directory / "alone")
        for log in self.database.directory.glob("alone.*"):
            log.unlink()
        ended = self.pgbench(seconds, "-l", "--log-prefix", prefix)
        latencies = sorted(int(line.split()[2]) for log in self.database.directory.glob("alone.*")
                           for line in log.read_text().splitlines())
        return {"executions": len(latencies),
                "per_second": float(find(r"tps = ([\d.]+) \(without initial", ended.output)),
                "own_us": ended.processor_s * MICRO / len(latencies),
                "p50_ms": latencies[len(latencies) // 2] / 1000}


class Latchkey(Case):
    """`latchkey run`, as it is shipped."""

    starting_s: dict[tuple, float] = {}

    def __init__(self, database, variant, words, load, under_way: int, hosts: int = 0):
        super().__init__(database, variant, words, load)
        self.under_way = under_way
        self.hosts = hosts
        self.count = FIRST_COUNT
        self.under: list[str] = []  # a command that runs it

    def latchkey_run(self, count: int) -> process.Ended:
        hosts = ["--hosts", str(self.hosts)] if self.hosts else []
        return process.run(
            [*self.under, self.database.latchkey, "run", self.load.definition, "--json", "--quiet",
             *self.load.input_options(self.database.directory), "--count", str(count),
             "--concurrency", str(self.under_way), *hosts], self.environment)

    def work(self, seconds):
        ended = self.latchkey_run(self.count)
        totals = json.loads(ended.output)
        if totals["completed"] != self.count:
            raise Failed(f"{self.name}: {ended.output}")
        own_s = max(0.0, ended.processor_s - self.starting_s[self.starts_as()])
        self.count = max(COUNT_MIN, round(totals["per_second"] * seconds))
        return {"executions": totals["completed"], "per_second": totals["per_second"],
                "own_us": own_s * MICRO / totals["completed"],
                "p50_ms": totals["latency_ms"]["p50"], "p99_ms": totals["latency_ms"]["p99"]}

    def starts_as(self) -> tuple:
        return self.hosts, self.load.zipf  # whose inputs are a long file

    def before(self):
        """Processor time of a start and an end, which are no part of an execution."""
        if self.starts_as() not in self.starting_s:
            n = max(1, self.hosts)
            self.latchkey_run(n)  # publishes the definition
            self.starting_s[self.starts_as()] = min(self.latchkey_run(n).processor_s
                                                    for _ in range(3))

    def check(self, figure, found):
        workflows = figure.get("workflows", figure["executions"])
        if (found["instances"], found["executions"]) != (workflows, figure["executions"]):
            raise Failed(f"{self.name}: {workflows} workflows, {figure['executions']} executions, "
                         f"{found}")
        figure["batch"] = figure["executions"] / max(1, found["batches"])
        if self.hosts > 1:
            missing = self.hosts - len(found["shares"])
            figure["shares"] = [0] * missing + found["shares"]


class Limit(Case):
    """bench/limit.c, with the connections and the size of batch that latchkey had."""

    def __init__(self, database, load, path: str, connections: int, like: Latchkey):
        super().__init__(database, "limit", "bench/limit.c, batches as latchkey's", load)
        self.path = path
        self.connections = connections
        self.like = like

    def work(self, seconds):
        batch = round(self.like.figures[-1]["batch"] if self.like.figures else 128)
        ended = process.run([self.path, "--connections", str(self.connections),
                             "--batch", str(batch), "--keys", str(self.load.n_keys),
                             "--seconds", str(seconds)], self.database.environment)
        told = json.loads(ended.output)
        return {"executions": told["count"], "per_second": told["per_second"],
                "own_us": told["processor_us"], "batch": told["count"] / told["batches"]}


def find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if not found:
        raise Failed(f"no '{pattern}' in:\n{text}")
    return found[1]
