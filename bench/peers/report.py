"""The table, the figures as JSON, and the page docs/performance/peers.md."""
import json
from pathlib import Path

import figures
from figures import short, spread_of
from systems import WAYS

HEAD = ["load", "by", "a second", "by hand = 1", "own µs", "database µs", "batch", "p50 ms",
        "submitted a second", "lost"]


def lost(case) -> str:
    """Over all counted rounds, of all that was acknowledged."""
    n = sum(figure.get("lost", 0) for figure in case.figures)
    done = sum(figure["executions"] + figure.get("warmed", 0) for figure in case.figures)
    return f"**{n:,} of {done:,}**" if n else "0"


def failures(cases) -> str:
    failed = [f"{case.name} ({case.failures})" for case in cases if case.failures]
    return f"Runs that failed and are not in the table: {', '.join(failed)}.\n\n" if failed else ""


def rounds(about: dict) -> str:
    if about["rounds"] == 1:
        return f"One round of {about['seconds']} s each"
    return (f"The median of {about['rounds']} rounds of {about['seconds']} s each with the least "
            "and the most")


def warning(about: dict) -> str:
    """Processes that wait for each other lose more on a busy machine than one that does not."""
    if about["load_before"][0] <= about["cores"]:
        return ""
    return """
**The machine was busy with other things.** The rates are far too low, and the ratios between
systems say little: those that need several processes for an increment lose most. What is lost is
lost.
"""


def row(case, by_hand) -> list[str]:
    cells = figures.rate_row(case, by_hand)[:8]  # without the shares of hosts
    submitted = "submitted_per_second"
    cells.append(short(spread_of(case, submitted).middle) if submitted in case.figures[0] else "")
    return [*cells, lost(case)]


def table(cases) -> str:
    by_hand = {case.load.name: case for case in cases
               if case.variant == "by hand" and case.figures}
    measured = [case for case in cases if case.figures]
    return figures.table(HEAD, [row(case, by_hand.get(case.load.name)) for case in measured],
                         left=2)


def ways_table(cases) -> str:
    used = {case.variant for case in cases}
    return figures.table(
        ["by", "submitted", "settings", "leaves", "a process dies in the middle"],
        [[way.variant, way.submitted, way.settings, way.leaves, way.crash] for way in WAYS
         if way.variant in used], left=5)


def version_table(versions: dict[str, dict]) -> str:
    return figures.table(
        ["package", "version", "wants Node", "licence"],
        [[name, told["version"], told.get("engines", {}).get("node", ""), told["license"]]
         for name, told in versions.items()], left=4)


def page(about: dict, cases, versions: dict[str, dict]) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in about["postgresql"].items()
                         if name != "server_version")
    return f"""# Other systems: figures

Written by `./dev bench-peers`; [performance.md](../performance.md#other-systems) says how to read
them. {rounds(about)}, after a
round of warming up, all cases in turn in one run of {about['took_seconds']} s.
{warning(about)}
- {about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB, Linux {about['kernel']},
  {about['disk']}; load average {about['load_before'][0]} before and {about['load_after'][0]} after;
  clients and servers on this one machine
- {about['latchkey']} ({about['commit']}), {about['compiler']}, Node {about['node']}
- PostgreSQL {about['postgresql']['server_version']}, {about['pgbench']}; {settings}

{version_table(versions)}

## Rates

{table(cases)}

{failures(cases)}*a second*: of awaited work, answers; of queued work, jobs worked off, from the
start of the workers in their process to the last job, when all had been submitted before. What a
driver in JavaScript does first (half a second, or a fifth of the jobs) warms it up and is not
timed. *own µs*: processor time an execution of the client's process or processes, without its start
and, for queued work, without submitting; Restate's with its server's, latchkey's jobs with the start
of the process. *database µs*: the same of PostgreSQL's sessions; where work is queued, without
submitting. *batch*: executions a transaction. *lost*: increments that were acknowledged and are not
in the counter, in all counted rounds.

Loads: *spread* is 10,000 keys, uniform; *hot* is one key.

## How each was used

{ways_table(cases)}
"""


def write(about: dict, cases, versions: dict[str, dict], out: Path) -> None:
    print(f"{table(cases)}\n{failures(cases)}")
    out.mkdir(parents=True, exist_ok=True)
    document = {
        "about": about,
        "versions": {name: told["version"] for name, told in versions.items()},
        "cases": [{"load": case.load.name, "variant": case.variant, "submitted": case.words,
                   "failures": case.failures, "rounds": case.figures} for case in cases],
    }
    (out / "peers.json").write_text(json.dumps(document, indent=1) + "\n")
    (out / "peers.md").write_text(page(about, cases, versions))
