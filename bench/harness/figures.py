"""Figures of several rounds: medians with least and most, ratios, tables."""
from dataclasses import dataclass, field
from statistics import median


@dataclass
class Spread:
    """Of one figure over the rounds."""

    values: list[float]

    @property
    def middle(self) -> float:
        return median(self.values)

    def text(self) -> str:
        return f"{short(self.middle)} ({short(min(self.values))} to {short(max(self.values))})"

    def as_json(self) -> dict:
        return {"median": self.middle, "min": min(self.values), "max": max(self.values),
                "rounds": self.values}


def short(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


@dataclass
class Ratio:
    """A figure to be reached. `values`: one a round; what counts is the ratio of medians."""

    words: str
    wanted: float
    at_most: bool = False
    unit: str = "x"
    middle: float = 0
    values: list[float] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return self.middle <= self.wanted if self.at_most else self.middle >= self.wanted

    def cells(self) -> list[str]:
        sign = "at most" if self.at_most else "at least"
        return [self.words, f"{sign} {short(self.wanted)} {self.unit}", short(self.middle),
                f"{short(min(self.values))} to {short(max(self.values))}",
                "holds" if self.holds else "DOES NOT HOLD"]

    def as_json(self) -> dict:
        return {"what": self.words, "wanted": self.wanted, "at_most": self.at_most,
                "unit": self.unit, "median": self.middle, "rounds": self.values,
                "holds": self.holds}


def spread_of(case, key: str) -> Spread:
    return Spread([figure[key] for figure in case.figures])


def ratio(words, wanted, key, of, to, at_most=False) -> Ratio:
    """Of medians; the rounds show how far it may be trusted."""
    a, b = spread_of(of, key), spread_of(to, key)
    return Ratio(words, wanted, at_most, "x", a.middle / b.middle,
                 [x / y for x, y in zip(a.values, b.values)])


def alone(words, wanted, values: list[float], unit: str, at_most=False) -> Ratio:
    return Ratio(words, wanted, at_most, unit, median(values), values)


def of_pairs(words, wanted, pairs: list[tuple[float, float]], at_most=False) -> Ratio:
    middle = median(a for a, _ in pairs) / median(b for _, b in pairs)
    return Ratio(words, wanted, at_most, "x", middle, [a / b for a, b in pairs])


def table(head: list[str], rows: list[list[str]], left: int = 1) -> str:
    """Markdown that is aligned for reading as it is."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(cells):
        padded = [cell.ljust(width) if i < left else cell.rjust(width)
                  for i, (cell, width) in enumerate(zip(cells, widths))]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (width + 2) if i < left else "-" * (width + 1) + ":"
                          for i, width in enumerate(widths)) + "|"
    return "\n".join([line(head), rule, *map(line, rows)])


RATE_HEAD = ["load", "by", "a second", "by hand = 1", "own µs", "database µs", "batch", "p50 ms",
             "hosts' shares"]


def rate_row(case, by_hand) -> list[str]:
    def cell(key):
        return short(spread_of(case, key).middle) if key in case.figures[0] else ""

    against = ""
    if by_hand:
        against = short(spread_of(case, "per_second").middle
                        / spread_of(by_hand, "per_second").middle)
    shares = case.figures[-1].get("shares", [])
    return [case.load.name, case.variant, spread_of(case, "per_second").text(), against,
            cell("own_us"), cell("database_us"), cell("batch"), cell("p50_ms"),
            " ".join(map(str, shares))]


def rate_table(cases) -> str:
    by_hand = {case.load.name: case for case in cases if case.variant == "by hand"}
    return table(RATE_HEAD, [rate_row(case, by_hand.get(case.load.name)) for case in cases], left=2)


def ratio_table(ratios) -> str:
    return table(["what", "wanted", "median", "rounds", ""], [each.cells() for each in ratios])
