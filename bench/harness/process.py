"""Running a program and knowing what it cost."""
import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass


STOPPING_SECONDS = 20


class Failed(Exception):
    """A run that must not be counted."""


@dataclass
class Ended:
    output: str
    processor_s: float  # user and system, with the processes that it waited for
    seconds: float


def run(arguments: list[str], environment: dict[str, str], text: str | None = None,
        seconds_max: float | None = None) -> Ended:
    """Fails unless the program exits 0, and in time."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began = time.monotonic()
        source = subprocess.PIPE if text is not None else subprocess.DEVNULL
        process = subprocess.Popen(arguments, env=environment, stdin=source, stdout=out,
                                   stderr=err, text=True)
        late = threading.Timer(seconds_max, process.kill) if seconds_max else None
        try:
            if late:
                late.start()
            if text is not None:
                process.stdin.write(text)
                process.stdin.close()
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            if late:
                late.cancel()
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            raise Failed(f"{' '.join(arguments)}: exit {process.returncode}\n"
                         f"{err.read()}{out.read()}")
        return Ended(out.read(), usage.ru_utime + usage.ru_stime, seconds)


class Background:
    """A program that runs until it is stopped, also at the end of a `with`."""

    def __init__(self, arguments: list[str], environment: dict[str, str]):
        self.output = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(arguments, env=environment, stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=subprocess.STDOUT)
        self.pid = self.process.pid
        self.processor_s = 0.0  # known when it has ended

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def said(self) -> str:
        self.output.seek(0)
        return self.output.read()

    def stop(self) -> None:
        """Asks it to end, and does not ask for ever."""
        if self.process.returncode is not None:
            return
        self.process.terminate()
        until = time.monotonic() + STOPPING_SECONDS
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        while pid == 0 and time.monotonic() < until:
            time.sleep(0.01)
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        if pid == 0:
            self.process.kill()
            _, status, usage = os.wait4(self.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.processor_s = usage.ru_utime + usage.ru_stime


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
