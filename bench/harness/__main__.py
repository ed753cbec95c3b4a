"""latchkey beside SQL written by hand, in one run: ./dev bench [--quick]

./dev bench growth measures it as the work grows; ./dev bench growth --help tells how.

All cases are run in turn, round after round, every second round backwards, so that what else
happens on the machine meets all of them. The first round warms up and sets the lengths; it is not
counted. Cases that ratios are drawn from have more rounds, spread over the time of the others.
"""
import argparse
import json
import signal
import sys
import time
from pathlib import Path

import figures
import growth
import machine
import plots
import rounds
from database import Database
from load import write_zipf
from plan import FULL, QUICK, Plan
from process import Failed
from rounds import Round
from say import say

WARMING_SECONDS = 0.5
QUICK_SECONDS = 0.9  # of one run, at most
QUICK_TOTAL = 55  # of all


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true",
                        help="only what the ratios need, under a minute")
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds of all cases (3)")
    parser.add_argument("--ratio-rounds", type=int,
                        help="counted rounds of what ratios are drawn from (7; with --quick 3)")
    parser.add_argument("--seconds", type=int, help="of one run (3; with --quick 1)")
    parser.add_argument("--out", type=Path, default=Path("build/bench"),
                        help="where figures.json, figures.md and the plots go (build/bench)")
    parser.add_argument("--build", type=Path, default=Path("build/release"),
                        help="the build that is measured (build/release)")
    parser.add_argument("--strict", action="store_true",
                        help="exit 3 when a ratio is not reached")
    given = parser.parse_args()
    if given.rounds < 3:
        parser.error("fewer than three rounds say nothing")
    given.ratio_rounds = max(given.rounds, given.ratio_rounds or (3 if given.quick else 7))
    if given.seconds is not None and given.seconds < 1:
        parser.error("pgbench takes whole seconds")
    given.seconds = given.seconds or (QUICK_SECONDS if given.quick else 3)
    return given


class Pace:
    """How long a run takes, so that a quick benchmark ends in time on a busy machine too."""

    def __init__(self, given: argparse.Namespace):
        self.given = given
        self.until = time.monotonic() + QUICK_TOTAL
        self.seconds = WARMING_SECONDS

    def next_round(self, number: int, round_took: float, n_cases: int) -> None:
        """Before round `number`, from 1; the round before it took so long."""
        beside = max(0.0, round_took - n_cases * self.seconds)
        self.seconds = self.given.seconds
        if self.given.quick:
            left = (self.until - time.monotonic()) / (self.given.ratio_rounds - number + 1)
            self.seconds = min(self.seconds, max(0.25, (left - beside) / n_cases))


def run_round(plan: Plan, this: Round, given: argparse.Namespace, seconds: float) -> float:
    """Takes so long."""
    began = time.monotonic()
    for case in this.in_turn(list(plan.cases.values()), plan.of_ratios()):
        figure = case.run(seconds)
        say(f"{this.words}: {case.name}: {figure['per_second']:,.0f} /s")
        case.figures.append(figure)
    plan.measure_start(5 if this.number else 1)
    plan.measure_evaluations(100000 if given.quick else 1000000)
    return time.monotonic() - began


def forget_warming(plan: Plan) -> None:
    for case in plan.cases.values():
        case.figures.clear()
    plan.starts.clear()
    plan.evaluations.clear()


def report(plan: Plan, ratios: list[figures.Ratio], about: dict, out: Path) -> None:
    cases = list(plan.cases.values())
    ratio_text, rate_text = figures.ratio_table(ratios), figures.rate_table(cases)
    print(f"{rate_text}\n\n{ratio_text}")
    out.mkdir(parents=True, exist_ok=True)
    starts = {"latchkey_ms": [ours for ours, _ in plan.starts],
              "psql_ms": [psql for _, psql in plan.starts]}
    document = {
        "about": about,
        "ratios": [ratio.as_json() for ratio in ratios],
        "cases": [{"load": case.load.name, "variant": case.variant, "words": case.words,
                   "per_second": figures.spread_of(case, "per_second").as_json(),
                   "rounds": case.figures} for case in cases],
        "start": starts,
        "lock_contexts_per_second": plan.evaluations,
    }
    (out / "figures.json").write_text(json.dumps(document, indent=1) + "\n")
    (out / "figures.md").write_text(machine.page(about, cases, rate_text, ratio_text))
    plots.draw(cases, ratios, out)
    say(f"written: {out}/figures.json, figures.md, rates.svg, ratios.svg")


def measure(given: argparse.Namespace, database: Database) -> bool:
    began = time.monotonic()
    pace = Pace(given)
    database.start()
    write_zipf(database.directory)
    plan = Plan(database, QUICK if given.quick else FULL)
    about = machine.about(database, given)
    took = run_round(plan, rounds.WARMING_UP, given, pace.seconds)
    forget_warming(plan)
    for this in rounds.counted(given.rounds, given.ratio_rounds):
        pace.next_round(this.number, took, len(plan.cases))
        took = run_round(plan, this, given, pace.seconds)
    about["load_after"] = machine.load_average()
    about["took_seconds"] = round(time.monotonic() - began)
    ratios = plan.ratios()
    report(plan, ratios, about, given.out)
    return all(ratio.holds for ratio in ratios)


def main() -> int:
    grows = sys.argv[1:2] == ["growth"]
    given = growth.options(sys.argv[2:]) if grows else options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the server is stopped on the way
    database = Database(given.build)
    reached = False
    try:
        reached = (growth.measure if grows else measure)(given, database)
    except Failed as failed:
        say(f"bench: {failed}")
        return 1
    finally:
        database.stop()
    return 0 if reached or not given.strict else 3


sys.exit(main())
