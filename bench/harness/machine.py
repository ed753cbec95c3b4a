"""Where figures come from: without that they mean nothing."""
import os
import platform
import re
import subprocess
from pathlib import Path

import rounds


def load_average() -> list[float]:
    return [round(value, 2) for value in os.getloadavg()]


def first_line(*arguments: str) -> str:
    try:
        output = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return output.splitlines()[0] if output else "unknown"


def about(database, given) -> dict:
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return {
        "processor": processor[1] if processor else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory[1]) / 1024**2) if memory else None,
        "kernel": platform.release(),
        "disk": first_line("findmnt", "-n", "-o", "SOURCE,FSTYPE", "-T", str(database.directory)),
        "latchkey": first_line(database.latchkey, "--version"),
        "commit": first_line("git", "describe", "--always", "--dirty"),
        "compiler": first_line("gcc", "--version"),
        "pgbench": first_line("pgbench", "--version"),
        "postgresql": database.settings(),
        "rounds": given.rounds,
        "ratio_rounds": given.ratio_rounds,
        "seconds": given.seconds,
        "load_before": load_average(),
    }


def origin(told: dict) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in told["postgresql"].items()
                         if name != "server_version")
    return f"""- {told['processor']}, {told['cores']} cores, {told['memory_gib']} GiB,
  Linux {told['kernel']}, {told['disk']}; load average {told['load_before'][0]} before
  and {told['load_after'][0]} after; clients and server on this one machine
- {told['latchkey']} ({told['commit']}), {told['compiler']}
- PostgreSQL {told['postgresql']['server_version']}, {told['pgbench']}; {settings}"""


def page(told: dict, cases, rates: str, ratios: str) -> str:
    words = {}
    for case in cases:
        words.setdefault(case.variant, case.words)
    legend = "\n".join(f"- **{variant}**: {text}" for variant, text in words.items())
    loads = {case.load.name: case.load.words for case in cases}
    load_words = "\n".join(f"- **{name}**: {text}" for name, text in loads.items())
    return f"""# Figures

Written by `./dev bench`; [performance.md](../performance.md) says what they mean.

{rounds.words(told)}, {told['seconds']} s a case: the median with the least and the most.
All cases in turn in one run, after a round of warming up. After every run the counter was checked
against what was acknowledged, and latchkey's instances and history rows were counted.

{origin(told)}

## Ratios

{ratios}

![ratios](ratios.svg)

## Rates

{rates}

*own µs*: processor time an execution of the client's process or processes, without its start;
*database µs*: the same of the server's sessions. *batch*: executions a transaction.

![rates](rates.svg)

{legend}

Loads:

{load_words}
"""
