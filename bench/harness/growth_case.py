"""One size of what grows: a run of latchkey on it, checked as every run is."""
import growth_definition
from case import Latchkey
from growth_history import History
from load import Load

UNDER_WAY = 512
MESSAGES = 10000


class Growing(Latchkey):
    """Figures as Latchkey's; `executions` are activities that ran, `per_second` is of them too."""

    def __init__(self, database, part: str, size: int, *, n_keys: int = MESSAGES,
                 table: str = "message", under_way: int = UNDER_WAY, hosts: int = 0,
                 n_activities: int = 1, n_paths: int = 1, least: int = 0,
                 history: History | None = None):
        name = f"growth-{part}-{size}".replace(" ", "-").replace(",", "")
        definition = growth_definition.write(database.directory, name, table, n_activities,
                                             n_paths)
        load = Load(str(size), f"{n_keys:,} keys", n_keys=n_keys, table=table,
                    definition=definition)
        super().__init__(database, part, part, load, under_way, hosts)
        self.size = size
        self.n_activities = n_activities
        self.n_paths = n_paths
        self.least = least
        self.history = history
        self.since = ""
        self.peak = database.directory / "peak"
        self.under = [str(database.build / "bench" / "bench_peak"), str(self.peak)]
        if history:
            self.environment = history.environment

    def work(self, seconds):
        figure = super().work(seconds)
        self.count = max(self.count, self.least)
        figure["workflows"] = figure["executions"]
        figure["peak_mib"] = int(self.peak.read_text()) / 1024
        for key, factor in (("executions", self.n_activities), ("per_second", self.n_activities),
                            ("own_us", 1 / self.n_activities)):
            figure[key] *= factor
        return figure

    def starts_as(self):
        return self.hosts, "growth"  # which definition makes no difference

    def prepare(self):
        if not self.history:
            return super().prepare()
        self.since = self.history.next_id()
        return self.database.settle(self.load.table)

    def found(self):
        if not self.history:
            return super().found()
        return self.database.found(self.load.table, self.history.schema, self.since)
