"""Words on the way: figures go to the standard output, these do not."""
import sys


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
