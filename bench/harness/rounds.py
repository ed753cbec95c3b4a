"""Rounds: all cases in turn, and between those rounds of what ratios are drawn from alone.

A machine's speed changes by the minute, and the median of three rounds with it. More rounds of what
is compared, spread over the whole time, are steadier, and cost less than more rounds of everything.
"""
from dataclasses import dataclass


@dataclass(frozen=True)
class Round:
    number: int  # from 1; 0 warms up and is not counted
    of_all: bool  # or only of what ratios are drawn from

    @property
    def words(self) -> str:
        return f"round {self.number or 'of warming up'}"

    def in_turn(self, cases: list, of_ratios: list) -> list:
        """Every second round backwards."""
        chosen = cases if self.of_all else of_ratios
        return chosen[::-1] if self.number % 2 == 0 and self.number else list(chosen)


WARMING_UP = Round(0, of_all=True)


def counted(n_of_all: int, n: int) -> list[Round]:
    """`n`, of which `n_of_all` are of all cases: the first, the last, the others evenly between."""
    last = max(n, n_of_all) - 1
    of_all = {round(k * last / max(1, n_of_all - 1)) for k in range(n_of_all)}
    return [Round(i + 1, i in of_all) for i in range(last + 1)]


def words(told: dict) -> str:
    """How often cases were run, of a benchmark that tells this of itself."""
    more = told["ratio_rounds"]
    also = f" ({more} of what ratios are drawn from)" if more > told["rounds"] else ""
    return f"{told['rounds']} rounds{also}"
