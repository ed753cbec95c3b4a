"""Rate, processor time and memory as the work grows: ./dev bench growth [--quick] [--part PART]

Each table has sizes of one thing, all else as it is. Its sizes are run in turn, round after round,
every second round backwards; the first round warms up and sets the lengths, and is not counted.
Sizes that ratios are drawn from have more rounds, spread over the time of the others.
"""
import argparse
import json
import time
from pathlib import Path

import figures
import growth_page
import growth_part
import machine
import rounds
from database import Database
from growth_part import Part, Stage
from rounds import Round
from say import say

WARMING_SECONDS = 0.3
QUICK_SECONDS = 0.25
QUICK_TOTAL = 45


def options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench growth", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, under a minute")
    parser.add_argument("--part", action="append", choices=list(growth_part.PARTS),
                        help="only this table; may be repeated")
    parser.add_argument("--rounds", type=int, help="counted rounds of all (3; with --quick 2)")
    parser.add_argument("--ratio-rounds", type=int,
                        help="counted rounds of what ratios are drawn from (7; with --quick 2)")
    parser.add_argument("--seconds", type=int, help="of one run (2; with --quick a quarter)")
    parser.add_argument("--out", type=Path, default=Path("build/bench"),
                        help="where growth.json, growth.md and growth.svg go (build/bench)")
    parser.add_argument("--build", type=Path, default=Path("build/release"),
                        help="the build that is measured (build/release)")
    parser.add_argument("--strict", action="store_true",
                        help="exit 3 when a ratio is not reached")
    given = parser.parse_args(arguments)
    given.part = given.part or list(growth_part.PARTS)
    given.rounds = given.rounds or (2 if given.quick else 3)
    given.ratio_rounds = max(given.rounds, given.ratio_rounds or (2 if given.quick else 7))
    given.seconds = given.seconds or (QUICK_SECONDS if given.quick else 2)
    return given


def run_round(stage: Stage, this: Round, seconds: float) -> None:
    for case in this.in_turn(stage.cases, stage.of_ratios):
        figure = case.run(seconds)
        say(f"{this.words}: {case.variant} {case.size:,}: "
            f"{figure['per_second']:,.0f} /s, {figure['peak_mib']:.1f} MiB")
        if this.number:
            case.figures.append(figure)


def run_stage(stage: Stage, given: argparse.Namespace, until: float) -> None:
    """A quick benchmark leaves further rounds out when its time is over."""
    stage.before()
    run_round(stage, rounds.WARMING_UP, WARMING_SECONDS)
    for this in rounds.counted(given.rounds, given.ratio_rounds if stage.of_ratios else 0):
        if this.number == 1 or not given.quick or time.monotonic() < until:
            run_round(stage, this, given.seconds)


def as_json(part: Part) -> dict:
    return {"part": part.name, "words": part.words,
            "sizes": [{"size": case.size,
                       **{key: figures.spread_of(case, key).as_json()
                          for key in ("per_second", "own_us", "database_us", "peak_mib")},
                       "base_per_second": figures.spread_of(part.base(case),
                                                            "per_second").as_json(),
                       "rounds": case.figures} for case in part.shown]}


def report(parts: list[Part], ratios: list[figures.Ratio], about: dict, out: Path) -> None:
    for part in parts:
        print(f"{part.name}: {part.words}\n{growth_page.table(part)}\n")
    if ratios:
        print(figures.ratio_table(ratios))
    out.mkdir(parents=True, exist_ok=True)
    document = {"about": about, "ratios": [ratio.as_json() for ratio in ratios],
                "parts": [as_json(part) for part in parts]}
    (out / "growth.json").write_text(json.dumps(document, indent=1) + "\n")
    (out / "growth.md").write_text(growth_page.page(about, parts, ratios))
    growth_page.draw(parts, out)
    say(f"written: {out}/growth.json, growth.md, growth.svg")


def measure(given: argparse.Namespace, database: Database) -> bool:
    began = time.monotonic()
    database.start()
    about = machine.about(database, given)
    parts = []
    for n, name in enumerate(given.part, 1):
        part = growth_part.make(name, database, given.quick)
        for stage in part.stages:
            run_stage(stage, given, began + QUICK_TOTAL * n / len(given.part))
        parts.append(part)
        say(f"{name}: done after {time.monotonic() - began:.0f} s")
    about["load_after"] = machine.load_average()
    about["took_seconds"] = round(time.monotonic() - began)
    ratios = [ratio for part in parts for ratio in growth_part.ratios(part)]
    report(parts, ratios, about, given.out)
    return all(ratio.holds for ratio in ratios)
