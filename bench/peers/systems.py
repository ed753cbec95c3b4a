"""The systems that are compared, the ways in which they are used, and what each way promises."""
from dataclasses import dataclass

from case import ByHand
from database import Database
from load import LOADS, Load
from peer import LatchkeyAwaited, LatchkeyJobs, Peer, Restate, UNDER_WAY_DEFAULT, installed
from restate_server import RestateServer

CLIENTS = 16  # of what is called and awaited, as in ./dev bench
UNDER_WAY = 512  # of latchkey, as there
CLAIMANTS = 2  # workers that claim jobs of one key
CALLERS = 64  # of a server that is called over HTTP
AWAITED = "each is called and awaited"
QUEUED = "all are queued, then worked off"


@dataclass(frozen=True)
class Way:
    """A row of the table, on each load. The words are for the reader of the page."""

    variant: str
    submitted: str
    settings: str  # which are not the defaults; how many at once
    leaves: str  # what is there afterwards, for how long
    crash: str  # what is done again when a process dies in the middle
    packages: tuple[str, ...] = ()


WAYS = [
    Way("by hand", AWAITED, f"pgbench -M prepared, {CLIENTS} clients, a round trip a statement",
        "the row", "nothing: the caller is not answered and does not know"),
    Way("latchkey", AWAITED, f"`latchkey run`, {UNDER_WAY} under way, 12 connections",
        "the row; an instance and a history row each, 30 days",
        "nothing, and a lost answer is looked up"),
    Way("latchkey, 16 under way", AWAITED, "`latchkey run --concurrency 16`",
        "as above", "as above"),
    Way("latchkey jobs", QUEUED, "`run --queue`, then `serve`: 64 workers, up to 512 while it goes fast",
        "as above", "the job is run again; it is deleted in the transaction of the work, so once"),
    Way("latchkey jobs, 512 workers", QUEUED, "the same with `--workers 512`", "as above",
        "as above"),
    Way("pg, advisory lock", AWAITED,
        f"pool of {CLIENTS}, prepared; the statements of *by hand*", "the row",
        "nothing: the caller is not answered and does not know", ("pg",)),
    Way("graphile-worker", QUEUED,
        "queue named by the key; `concurrentJobs` 24, `maxPoolSize` 25, `localQueue.size` 500, "
        "`completeJobBatchDelay` 0 (its page on performance), `pollInterval` 1 ms",
        "the row; a finished job is deleted",
        "the job is run again, 4 hours later, also when its work had been committed",
        ("graphile-worker", "pg")),
    Way("graphile-worker, default poll", QUEUED, "the same with the default `pollInterval`, 2 s",
        "as above", "as above", ("graphile-worker", "pg")),
    Way("pg-boss, singleton", QUEUED,
        f"policy `singleton`, `singletonKey` the key; `localConcurrency` {CLIENTS}, on the hot key "
        f"{CLAIMANTS} (more of them fail at their claims and take the server's time), "
        "`transactional`, `burstWhenReadyExceeds` 1, `pollingIntervalSeconds` 0.5",
        "the row; the completed job, 7 days",
        "the job is run again when it has expired (15 min); completed with its work, so once",
        ("pg-boss", "pg")),
    Way("pg-boss, group of one", QUEUED,
        f"`group.id` the key, `groupConcurrency` 1, `localConcurrency` {CLIENTS}, the rest the "
        "same",
        "as above", "as above",
        ("pg-boss", "pg")),
    Way("DBOS, partitioned queue", QUEUED,
        "partition key the key, `partitionConcurrency` 1, `workerConcurrency` 50, "
        "`minPollingIntervalMs` 10, pools of 20 and 16",
        "the row; the workflow, its step and the transaction's result, until they are deleted",
        "the workflow goes on; the transaction is recorded with its work, so once",
        ("@dbos-inc/dbos-sdk", "@dbos-inc/postgres-datasource")),
    Way("DBOS, advisory lock", AWAITED,
        f"{CLIENTS} callers of a workflow whose transaction takes `pg_advisory_xact_lock`",
        "as above", "as above", ("@dbos-inc/dbos-sdk", "@dbos-inc/postgres-datasource")),
    Way("Restate, called", AWAITED,
        f"virtual object named by the key, one step; {CALLERS} callers over HTTP; "
        "`restate-server --production`, one node",
        "the row; in the server a journal of each call, 1 day",
        "the step is run again if the server has not its result, also when its work had been "
        "committed", ("@restatedev/restate-server", "@restatedev/restate-sdk",
                      "@restatedev/restate-sdk-clients", "pg")),
    Way("Restate, sent", "all are sent, and worked off meanwhile", "the same, sent one way",
        "as above", "as above", ("@restatedev/restate-server", "@restatedev/restate-sdk",
                                 "@restatedev/restate-sdk-clients", "pg")),
]


class Systems:
    def __init__(self, database: Database):
        self.database = database
        self.restate = RestateServer(database.directory)
        self.cases = [self.case(way, LOADS[name]) for name in ("spread", "hot") for way in WAYS]

    def case(self, way: Way, load: Load):
        database, words = self.database, way.submitted

        def peer(driver: str, kind=Peer, clients=CLIENTS, variant=None, **more):
            return kind(database, way.variant, words, load, driver=driver,
                        told={"clients": clients, "variant": variant}, **more)

        make = {
            "by hand": lambda: ByHand(database, way.variant, words, load, "round_trips", CLIENTS),
            "latchkey": lambda: LatchkeyAwaited(database, way.variant, words, load, UNDER_WAY),
            "latchkey, 16 under way": lambda: LatchkeyAwaited(database, way.variant, words, load,
                                                              CLIENTS),
            "latchkey jobs": lambda: LatchkeyJobs(database, way.variant, words, load,
                                                  workers=None),
            "latchkey jobs, 512 workers": lambda: LatchkeyJobs(database, way.variant, words, load,
                                                               UNDER_WAY),
            "pg, advisory lock": lambda: peer("plain_pg"),
            "graphile-worker": lambda: peer("graphile_worker", variant="short-poll"),
            "graphile-worker, default poll": lambda: peer("graphile_worker", variant="default"),
            "pg-boss, singleton": lambda: peer(
                "pg_boss", variant="singleton", clients=CLIENTS if load.n_keys > 1 else CLAIMANTS),
            "pg-boss, group of one": lambda: peer("pg_boss", variant="group"),
            "DBOS, partitioned queue": lambda: peer("dbos", variant="queue"),
            "DBOS, advisory lock": lambda: peer("dbos", variant="advisory-lock"),
            "Restate, called": lambda: peer("restate", Restate, clients=CALLERS, variant="called",
                                            server=self.restate),
            "Restate, sent": lambda: peer("restate", Restate, clients=CALLERS, variant="sent",
                                          server=self.restate),
        }
        return make[way.variant]()

    def versions(self) -> dict[str, dict]:
        """Of the packages that are used directly, and of Node."""
        names = dict.fromkeys(name for way in WAYS for name in way.packages)
        return {name: installed(name) for name in names}
