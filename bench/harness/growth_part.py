"""What grows, one part each: its sizes, and how each of them is run."""
from dataclasses import dataclass, field
from typing import Callable

import figures
from growth_case import MESSAGES, UNDER_WAY, Growing
from growth_history import History

KIB = 1024
UNDER_WAY_OF_MANY = 128  # workflows of many activities
WAITERS_FEW = 1000
WAITED_FOR = 2  # times as many executions as wait at a time, so that most of a run is full


@dataclass
class Stage:
    """Cases that are run in turn, round after round."""

    cases: list[Growing]
    before: Callable[[], None] = lambda: None
    of_ratios: list[Growing] = field(default_factory=list)


@dataclass
class Part:
    name: str
    head: str  # of the column of sizes
    words: str
    stages: list[Stage]
    shown: list[Growing]
    compared: dict[str, Growing] = field(default_factory=dict)  # by name, with which; else first
    more: dict[str, Callable[[Growing], str]] = field(default_factory=dict)  # columns

    def base(self, case: Growing) -> Growing:
        return self.compared.get(case.name, self.shown[0])


def middle(case, key) -> float:
    return figures.spread_of(case, key).middle


def one_stage(name, head, words, cases, of_ratios=(), **more) -> Part:
    return Part(name, head, words, [Stage(cases, of_ratios=list(of_ratios))], cases, **more)


def keys(database, sizes) -> Part:
    database.ask("CREATE TABLE message_many (LIKE message INCLUDING ALL);"
                 "INSERT INTO message_many SELECT n, 'Message ' || n, 0"
                 f" FROM generate_series(1, {sizes[-1]}) AS n; VACUUM ANALYZE message_many;")
    return one_stage("keys", "keys", f"one host, {UNDER_WAY} under way, keys drawn uniformly",
                     [Growing(database, "keys", n, n_keys=n, table="message_many")
                      for n in sizes])


def bytes_a_waiter(case: Growing, base: Growing) -> float:
    return (middle(case, "peak_mib") - middle(base, "peak_mib")) * KIB * KIB / case.size


def waiters(database, sizes) -> Part:
    least = WAITED_FOR * sizes[-1]
    compared = (WAITERS_FEW, sizes[-1])
    cases = [Growing(database, "waiters", n, n_keys=1, under_way=n,
                     least=least if n in compared else 0) for n in sizes]
    return one_stage(
        "waiters", "waiting", "one host, one path; so many submitted and unanswered at a time",
        cases, [case for case in cases if case.size in (sizes[0], *compared)],
        more={"bytes each": lambda case: figures.short(bytes_a_waiter(case, cases[0]))
                     if case.size >= 1000 else ""})


def shares(case: Growing) -> str:
    return " ".join(map(str, case.figures[-1].get("shares", [])))


def hosts(database, sizes) -> Part:
    return one_stage("hosts", "hosts",
                     f"{MESSAGES:,} keys, {UNDER_WAY} under way together, one machine; peak: of "
                     "the largest host",
                     [Growing(database, "hosts", n, hosts=n) for n in sizes],
                     more={"shares": shares})


def hosts_hot(database, sizes) -> Part:
    return one_stage("hosts-hot", "hosts", "the same on one path",
                     [Growing(database, "hosts-hot", n, n_keys=1, hosts=n) for n in sizes],
                     more={"shares": shares})


def history(database, sizes) -> Part:
    past = History(database)
    stages, shown, compared = [], [], {}
    for n in sizes[1:]:
        none = Growing(database, f"history-none-beside-{n}", 0)
        full = Growing(database, "history", n, history=past)
        compared[full.name] = none
        stages.append(Stage([none, full], lambda n=n: past.fill(n, sizes[-1]),
                            [none, full] if n == sizes[-1] else []))
        shown = [none, *[case for case in shown if case.size], full]
    return Part("history", "rows", f"one host, {MESSAGES:,} keys; so many completed instances, "
                "each with one history row, beforehand; compared in turns with none", stages,
                shown, compared)


def activities(database, sizes) -> Part:
    cases = [Growing(database, "activities", n, n_activities=n, under_way=UNDER_WAY_OF_MANY,
                     least=4 * UNDER_WAY_OF_MANY) for n in sizes]
    return one_stage(
        "activities", "activities", f"a workflow of so many, {UNDER_WAY_OF_MANY} under way, each "
        "activity with the lock and a commit of its own; figures are of one activity, p50 is of "
        "a workflow", cases,
        more={"workflows a second": lambda case: figures.short(middle(case, "per_second")
                                                               / case.size)})


def paths(database, sizes) -> Part:
    return one_stage(
        "paths", "paths", f"an activity of so many, {MESSAGES:,} keys; with two more for shared "
        "locks on their prefixes", [Growing(database, "paths", n, n_paths=n) for n in sizes],
        more={"own µs a path": lambda case: figures.short(middle(case, "own_us") / case.size)})


PARTS = {
    "keys": (keys, (10, 100, 1000, 10000, 100000, 1000000), (10, 1000, 10000)),
    "waiters": (waiters, (10, 100, 1000, 10000, 100000), (10, 1000, 10000)),
    "hosts": (hosts, (1, 2, 4, 8), (1, 4)),
    "hosts-hot": (hosts_hot, (1, 2, 4, 8), (1, 4)),
    "history": (history, (0, 100000, 1000000, 10000000), (0, 100000)),
    "activities": (activities, (1, 2, 5, 10, 20), (1, 5, 20)),
    "paths": (paths, (1, 2, 4, 8, 16, 32), (1, 8, 32)),
}


def make(name: str, database, quick: bool) -> Part:
    new, full_sizes, quick_sizes = PARTS[name]
    return new(database, quick_sizes if quick else full_sizes)


def ratios(part: Part) -> list[figures.Ratio]:
    """What is wanted of the largest size."""
    last = part.shown[-1]
    if part.name == "waiters":
        few = next(case for case in part.shown if case.size == WAITERS_FEW)
        values = [(a["peak_mib"] - b["peak_mib"]) * KIB * KIB / last.size
                  for a, b in zip(last.figures, part.shown[0].figures)]
        return [
            figures.ratio(f"rate: {last.size:,} waiting / {few.size:,}", 0.9, "per_second", last,
                          few),
            figures.alone(f"memory of each of {last.size:,} waiting", 1.5 * KIB, values, "bytes",
                          at_most=True),
        ]
    if part.name == "history":
        return [figures.ratio(f"rate: {last.size:,} history rows / none", 0.9, "per_second", last,
                              part.base(last))]
    return []
