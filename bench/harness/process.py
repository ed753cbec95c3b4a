"""Running a program and knowing what it cost."""
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass


class Failed(Exception):
    """A run that must not be counted."""


@dataclass
class Ended:
    output: str
    processor_s: float  # user and system, with the processes that it waited for
    seconds: float


def run(arguments: list[str], environment: dict[str, str], text: str | None = None) -> Ended:
    """Fails unless the program exits 0."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began = time.monotonic()
        source = subprocess.PIPE if text is not None else subprocess.DEVNULL
        process = subprocess.Popen(arguments, env=environment, stdin=source, stdout=out,
                                   stderr=err, text=True)
        try:
            if text is not None:
                process.stdin.write(text)
                process.stdin.close()
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            raise Failed(f"{' '.join(arguments)}: exit {process.returncode}\n"
                         f"{err.read()}{out.read()}")
        return Ended(out.read(), usage.ru_utime + usage.ru_stime, seconds)


def time_to_first_line(arguments: list[str], environment: dict[str, str]) -> float:
    """Milliseconds from the start of the process to its first line of output."""
    began = time.monotonic()
    with subprocess.Popen(arguments, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        line = process.stdout.readline()
        took = time.monotonic() - began
        process.stdout.read()
    if not line or process.returncode != 0:
        raise Failed(f"{' '.join(arguments)}: exit {process.returncode}")
    return took * 1000
