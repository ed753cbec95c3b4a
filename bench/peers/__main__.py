"""latchkey beside other systems that do the same job, in one run: ./dev bench-peers

The counter is read after every run; a run that has lost increments is marked. All cases are run in
turn, round after round, every second round backwards. The first round warms up, sets how many jobs
are submitted, and is not counted.
"""
import argparse
import json
import signal
import sys
import time
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "harness"))

# pylint: disable=wrong-import-position # they are found through the line above
import machine
import report
from database import Database
from peer import node
from process import Failed
from systems import Systems

WARMING_SECONDS = 0.5


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench-peers", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds (3)")
    parser.add_argument("--seconds", type=int, default=2, help="of one run (2)")
    parser.add_argument("--only", help="only variants whose name contains this")
    parser.add_argument("--minutes", type=float, default=7.5,
                        help="no round is begun that would end later than this (7.5)")
    parser.add_argument("--out", type=Path, default=Path("build/bench"),
                        help="where peers.json and peers.md go (build/bench)")
    parser.add_argument("--build", type=Path, default=Path("build/release"),
                        help="the build that is measured (build/release)")
    given = parser.parse_args()
    if given.rounds < 1 or given.seconds < 1:
        parser.error("at least one round of a second")
    return given


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run_round(cases: list, number: int, seconds: float) -> float:
    """Takes so long."""
    began = time.monotonic()
    for case in reversed(cases) if number % 2 == 0 and number > 0 else cases:
        try:
            figure = case.run(seconds)
        except Failed as failed: # of one system; the others are measured all the same
            say(f"round {number}: {case.name}: FAILED: {failed}")
            case.failures += 1
            continue
        lost = f", {figure['lost']} LOST" if figure.get("lost") else ""
        say(f"round {number or 'of warming up'}: {case.name}: {figure['per_second']:,.0f} /s{lost}")
        case.figures.append(figure)
    return time.monotonic() - began


def measure(given: argparse.Namespace, database: Database, systems: Systems) -> None:
    began = time.monotonic()
    cases = [case for case in systems.cases if not given.only or given.only in case.variant]
    about = machine.about(database, given) | {"node": machine.first_line(node(), "--version")}
    took = run_round(cases, 0, WARMING_SECONDS)
    for case in cases:
        case.figures.clear()
    rounds = 0
    for number in range(1, given.rounds + 1):
        if number > 1 and time.monotonic() - began + took > given.minutes * 60:
            say(f"bench: the time is over after {rounds} rounds")
            break
        took = run_round(cases, number, given.seconds)
        rounds = number
    about |= {"rounds": rounds, "load_after": machine.load_average(),
              "took_seconds": round(time.monotonic() - began)}
    report.write(about, cases, systems.versions(), given.out)
    say(f"written: {given.out}/peers.json, peers.md, after {about['took_seconds']} s")


def main() -> int:
    given = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers are stopped on the way
    database = Database(given.build)
    systems = None
    try:
        database.start()
        systems = Systems(database)
        measure(given, database, systems)
    except Failed as failed:
        say(f"bench: {failed}")
        return 1
    finally:
        if systems is not None:
            systems.restate.stop()
        database.stop()
    return 0


sys.exit(main())
