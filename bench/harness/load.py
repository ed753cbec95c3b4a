"""What is worked on: which keys, under which lock, in which table, with which pause."""
import bisect
import itertools
import json
import random
from dataclasses import dataclass
from pathlib import Path

N_MESSAGES = 10000
ZIPF_EXPONENT = 1.1
ZIPF_LINES = 50000
SAMPLE = "samples/message-read/message-read.yaml"


@dataclass(frozen=True)
class Load:
    name: str
    words: str
    n_keys: int = N_MESSAGES
    zipf: bool = False
    definition: str = SAMPLE
    table: str = "message"
    lock: str = ":id"  # the advisory key by hand
    pause_ms: int = 0

    def draw(self) -> str:
        """The key as an expression of pgbench."""
        if self.zipf:
            return f"random_zipfian(1, {self.n_keys}, {ZIPF_EXPONENT})"
        return f"random(1, {self.n_keys})"

    def input_options(self, directory: Path) -> list[str]:
        """The key as options of `latchkey run`."""
        if self.zipf:
            return ["--inputs", str(directory / "zipf.ndjson")]
        return ["--vary", f"message_id=1..{self.n_keys}"]


LOADS = {
    load.name: load
    for load in (
        Load("spread", "10,000 keys, uniform"),
        Load("hot", "one key", n_keys=1),
        Load("zipf", f"10,000 keys, Zipf with s = {ZIPF_EXPONENT}", zipf=True),
        Load("system", "10,000 keys under one system-wide lock", lock="0",
             definition="bench/definitions/system.yaml"),
        Load("sleep", "30 keys, a script that sleeps 5 ms", n_keys=30, pause_ms=5,
             definition="samples/message-read/lock-context.yaml"),
        Load("check", "one key, a table with a CHECK", n_keys=1, table="message_check",
             definition="bench/definitions/check.yaml"),
        Load("check-spread", "10,000 keys, a table with a CHECK", table="message_check",
             definition="bench/definitions/check.yaml"),
        Load("trigger", "one key, a table with a CHECK and a trigger", n_keys=1,
             table="message_trigger", definition="bench/definitions/trigger.yaml"),
        Load("trigger-spread", "10,000 keys, a table with a CHECK and a trigger",
             table="message_trigger", definition="bench/definitions/trigger.yaml"),
    )
}


def write_zipf(directory: Path) -> None:
    """Inputs of the same distribution as random_zipfian of pgbench: P(k) ~ k^-s, k = 1..n."""
    weights = itertools.accumulate(k**-ZIPF_EXPONENT for k in range(1, N_MESSAGES + 1))
    sums = list(weights)
    source = random.Random(1)
    with open(directory / "zipf.ndjson", "w", encoding="ascii") as file:
        for _ in range(ZIPF_LINES):
            key = min(bisect.bisect(sums, source.random() * sums[-1]), N_MESSAGES - 1) + 1
            file.write(json.dumps({"message_id": key}) + "\n")
