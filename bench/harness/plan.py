"""What is run, and which ratios are drawn from it."""
import re

import figures
import process
from case import AloneByHand, ByHand, Case, Latchkey, Limit
from database import Database
from load import LOADS
from process import Failed

UNDER_WAY = 512  # executions submitted and unanswered: enough that batches are full
UNDER_WAY_DEFAULT = 64
# What the scheduler uses: three transactions side by side, and one path is in one of them.
CONNECTIONS = {"spread": 3, "hot": 1}

QUICK = {
    "spread": ("by hand", "pipelined", "one host", "limit", "four hosts"),
    "hot": ("by hand", "one host", "limit", "four hosts"),
    "check": ("by hand", "one host"),
}
FULL = {
    "spread": ("by hand", "pipelined", "in the server", "one host", "one host, 64 under way",
               "one host, 16 under way", "two hosts", "four hosts", "limit"),
    "hot": ("by hand", "pipelined", "in the server", "one host", "one host, 64 under way",
            "one host, 16 under way", "two hosts", "four hosts", "limit"),
    "zipf": ("by hand", "pipelined", "in the server", "one host", "two hosts", "four hosts"),
    "system": ("by hand", "pipelined", "in the server", "one host", "two hosts", "four hosts"),
    "sleep": ("by hand", "in the server", "one host", "two hosts", "four hosts"),
    "check": ("by hand", "pipelined", "one host", "four hosts"),
    "check-spread": ("by hand", "pipelined", "one host", "four hosts"),
    "trigger": ("by hand", "pipelined", "one host", "four hosts"),
    "trigger-spread": ("by hand", "pipelined", "one host", "four hosts"),
}


class Plan:
    def __init__(self, database: Database, loads: dict):
        self.database = database
        self.cases: dict[str, Case] = {}
        self.starts: list[tuple[float, float]] = []  # ms of latchkey and of psql
        self.evaluations: list[float] = []
        for load, variants in loads.items():
            for variant in variants:
                self.add(variant, load)
        for load in ("hot", "spread"):
            self.add("alone by hand", load)
            self.add("alone", load)

    def of_ratios(self) -> list[Case]:
        """A quick benchmark is these alone."""
        return [case for case in self.cases.values()
                if case.variant.startswith("alone")
                or case.variant in QUICK.get(case.load.name, ())]

    def add(self, variant: str, load_name: str) -> None:
        database, load = self.database, LOADS[load_name]
        clients = "pgbench -M prepared, 16 clients"
        run = f"latchkey run, {UNDER_WAY} under way"
        make = {
            "by hand": lambda: ByHand(database, variant, f"{clients}, a round trip a statement",
                                      load, "round_trips"),
            "pipelined": lambda: ByHand(database, variant, f"{clients}, one pipeline", load,
                                        "pipelined"),
            "in the server": lambda: ByHand(database, variant, f"{clients}, one plpgsql function",
                                            load, "in_server"),
            "one host": lambda: Latchkey(database, variant, run, load, UNDER_WAY),
            "one host, 64 under way": lambda: Latchkey(database, variant,
                                                       "latchkey run as it is by default", load,
                                                       UNDER_WAY_DEFAULT),
            "one host, 16 under way": lambda: Latchkey(database, variant,
                                                       "latchkey run --concurrency 16", load, 16),
            "two hosts": lambda: Latchkey(database, variant, f"{run}, --hosts 2", load, UNDER_WAY,
                                          2),
            "four hosts": lambda: Latchkey(database, variant, f"{run}, --hosts 4", load, UNDER_WAY,
                                           4),
            "limit": lambda: Limit(database, load, str(self.database.build / "bench" / "bench_limit"),
                                   CONNECTIONS[load_name], self.cases[f"one host {load_name}"]),
            "alone": lambda: Latchkey(database, variant, "latchkey run --concurrency 1", load, 1),
            "alone by hand": lambda: AloneByHand(database, variant, "pgbench, one client, one "
                                                 "pipeline", load, "pipelined", clients=1),
        }
        case = make[variant]()
        self.cases[case.name] = case

    def measure_start(self, times: int) -> None:
        """Of the process to its first completed execution, and of psql to its first row."""
        environment = self.database.environment
        run = [self.database.latchkey, "run", LOADS["hot"].definition, "--json", "--quiet",
               "--input", '{"message_id":1}']
        psql = [self.database.psql, "-qXAt", "-c", "SELECT 1"]
        for _ in range(times):
            self.starts.append((process.time_to_first_line(run, environment),
                                process.time_to_first_line(psql, environment)))

    def measure_evaluations(self, n: int) -> None:
        output = process.run([str(self.database.build / "bench" / "bench_expr"), str(n)],
                             self.database.environment).output
        found = re.search(r"evaluations, fresh values each +(\d+) /s", output)
        if not found:
            raise Failed(f"bench_expr says:\n{output}")
        self.evaluations.append(float(found[1]))

    def ratios(self) -> list[figures.Ratio]:
        def rate(words, wanted, of, to):
            return figures.ratio(words, wanted, "per_second", self.cases[of], self.cases[to])

        shares = [figure["shares"] for figure in self.cases["four hosts hot"].figures]
        return [
            rate("spread: one host / by hand", 5, "one host spread", "by hand spread"),
            rate("spread: one host / pipelined", 3, "one host spread", "pipelined spread"),
            rate("hot: one host / by hand", 20, "one host hot", "by hand hot"),
            rate("spread: one host / limit", 0.6, "one host spread", "limit spread"),
            rate("hot: one host / limit", 0.6, "one host hot", "limit hot"),
            rate("hot, CHECK: one host / by hand", 8, "one host check", "by hand check"),
            rate("spread: four hosts / one host", 0.8, "four hosts spread", "one host spread"),
            rate("hot: four hosts / by hand", 8, "four hosts hot", "by hand hot"),
            figures.alone("hot: slowest of four hosts / fastest", 1 / 3,
                          [min(share) / max(share) for share in shares], "x"),
            figures.ratio("latency alone, p50: latchkey / pipelined", 1.5, "p50_ms",
                          self.cases["alone hot"], self.cases["alone by hand hot"], at_most=True),
            figures.ratio("the same, of rows that were not saved just before", 1.5, "p50_ms",
                          self.cases["alone spread"], self.cases["alone by hand spread"],
                          at_most=True),
            figures.alone("own processor time, spread", 12,
                          figures.spread_of(self.cases["one host spread"], "own_us").values, "µs",
                          at_most=True),
            figures.alone("lock contexts, one core", 500000, self.evaluations, "/s"),
            figures.of_pairs("start to first completed / psql", 3, self.starts, at_most=True),
        ]
