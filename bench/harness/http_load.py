"""The HTTP API under the load of wrk, beside an evhttp server that answers a constant.

Starts a PostgreSQL and a host of its own, posts to it over 64 connections for SECONDS, and checks
that every answer is in the counter, that none was another than 200 and that the host ends in order.
The constant server is driven the same way, half of the time before and half after. All share this
machine's processors: the host, PostgreSQL, wrk. Exits 1 when a check fails.
"""
import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import process
from database import Database
from process import Failed

CONNECTIONS = 64
KEYS = 1000
RATIO_WANTED = 0.5
PATIENCE_SECONDS = 60
NO_ERRORS = ("statuses", "connects", "reads", "writes", "timeouts")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev load", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", nargs="?", type=int, default=10, metavar="SECONDS",
                        help="of the load on the host (10)")
    parser.add_argument("--build", type=Path, default=Path("build/release"),
                        help="the build that is measured (build/release)")
    given = parser.parse_args()
    if given.seconds < 2:
        parser.error("less than two seconds say nothing")
    return given


class Server:
    """A process that says where it listens, and when it is ready for requests."""

    def __init__(self, arguments: list[str], environment: dict[str, str], said: Path, ready: str):
        self.said = said
        self.ready = ready
        with open(said, "wb") as file:
            self.process = subprocess.Popen(arguments, env=environment, stdin=subprocess.DEVNULL,
                                            stdout=file, stderr=file)
        self.url = self.wait_for_url()

    def wait_for_url(self) -> str:
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            said = self.said.read_text(encoding="utf-8")
            if self.ready in said:
                return re.search(r"listening on (http://[0-9.:]+)", said)[1]
            time.sleep(0.05)
        self.process.kill()
        raise Failed(f"it does not listen:\n{self.said.read_text(encoding='utf-8')}")

    def stop(self) -> float:
        """The processor time that it used, in seconds. Fails unless it ends in order."""
        self.process.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if self.process.returncode != 0:
            raise Failed(f"the server exited with {self.process.returncode}")
        return usage.ru_utime + usage.ru_stime

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@dataclass
class Driven:
    """What wrk tells."""
    told: dict
    driver_s: float  # processor time of wrk
    server_s: float = 0.0
    database_s: float = 0.0

    @property
    def per_second(self) -> float:
        return self.told["answers"] / self.told["seconds"]

    def check(self, name: str) -> None:
        for kind in NO_ERRORS:
            if self.told[kind]:
                raise Failed(f"{name}: {self.told[kind]} errors of the kind '{kind}'")
        if not self.told["answers"]:
            raise Failed(f"{name}: no answer")

    def microseconds(self, seconds: float) -> float:
        return seconds * 1e6 / self.told["answers"]


def drive(url: str, seconds: int, environment: dict[str, str]) -> Driven:
    ended = process.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s",
                         f"--timeout={PATIENCE_SECONDS}s", "-s", "bench/post.lua", url, "--",
                         str(KEYS)], environment)
    return Driven(json.loads(ended.output.splitlines()[-1]), ended.processor_s)


def drive_constant(given: argparse.Namespace, database: Database, seconds: int) -> Driven:
    server = Server([str(given.build / "bench/bench_constant")], database.environment,
                    database.directory / "constant.log", "listening on")
    try:
        driven = drive(server.url, seconds, database.environment)
        driven.server_s = server.stop()
    finally:
        server.kill()
    driven.check("constant")
    return driven


def drive_host(given: argparse.Namespace, database: Database) -> Driven:
    log = database.directory / "serve.log"
    before, used_before = database.prepare("message"), database.processor_s()
    server = Server([str(given.build / "latchkey"), "serve", "--listen", "127.0.0.1:0",
                     "--definitions", "samples/message-read"], database.environment, log,
                    "ready: process")
    try:
        driven = drive(server.url, given.seconds, database.environment)
        driven.server_s = server.stop()
    finally:
        server.kill()
    wait_for_sessions(database)
    driven.database_s = database.processor_s() - used_before
    driven.check("the host")
    check_counter(driven, database.found("message"), before)
    return driven


def wait_for_sessions(database: Database) -> None:
    """The server knows what a session has used when it has ended, a little after its client."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if database.ask("SELECT count(*) FROM pg_stat_activity"
                        " WHERE backend_type = 'client backend';") == [["1"]]:
            return
        time.sleep(0.05)
    raise Failed("sessions of the host are still there")


def check_counter(driven: Driven, found: dict, before: int) -> None:
    """wrk ends without waiting for what it has asked last on each connection."""
    answered, counted = driven.told["answers"], found["counter"] - before
    say(f"{answered} answers, {counted} in the counter, {found['instances']} instances, "
        f"{found['executions']} executions in {found['batches']} transactions")
    if not answered <= counted <= answered + CONNECTIONS:
        raise Failed(f"{answered} answers, but the counter rose by {counted}")
    if not counted == found["instances"] == found["executions"]:
        raise Failed(f"the counter rose by {counted}, and there are {found['instances']} instances "
                     f"and {found['executions']} executions")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def row(name: str, driven: Driven) -> str:
    told = driven.told
    return (f"| {name} | {driven.per_second:,.0f} | {told['p50_ms']:.1f} | {told['p99_ms']:.1f} "
            f"| {driven.microseconds(driven.server_s):.0f} "
            f"| {driven.microseconds(driven.driver_s):.0f} "
            f"| {driven.microseconds(driven.database_s):.0f} |")


def report(constants: list[Driven], host: Driven) -> None:
    print("| server | answers a second | p50 ms | p99 ms | µs of the server | of wrk "
          "| of PostgreSQL |\n|---|---|---|---|---|---|---|")
    for name, driven in (("constant, before", constants[0]), ("host", host),
                         ("constant, after", constants[1])):
        print(row(name, driven))
    constant = (sum(driven.told["answers"] for driven in constants)
                / sum(driven.told["seconds"] for driven in constants))
    ratio = host.per_second / constant
    print(f"\nhost to constant: {ratio:.2f} (wanted: {RATIO_WANTED}); load average "
          + " ".join(f"{load:.1f}" for load in os.getloadavg()))


def main() -> int:
    given = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers are stopped on the way
    database = Database(given.build)
    try:
        database.start()
        before = drive_constant(given, database, given.seconds // 2)
        host = drive_host(given, database)
        after = drive_constant(given, database, given.seconds - given.seconds // 2)
    except Failed as failed:
        say(f"load: {failed}")
        return 1
    finally:
        database.stop()
    report([before, after], host)
    return 0


sys.exit(main())
