"""Tables, page and plot of what grows."""
import figures
import machine
import rounds
from growth_part import Part, middle
from plots import gnuplot

HEAD = ["a second", "first = 1", "own µs", "database µs", "batch", "p50 ms", "peak MiB"]


def row(part: Part, case) -> list[str]:
    def cell(key):
        return figures.short(middle(case, key))

    base = part.base(case)
    against = middle(case, "per_second") / middle(base, "per_second")
    return [f"{case.size:,}", figures.spread_of(case, "per_second").text(), figures.short(against),
            *[cell(key) for key in ("own_us", "database_us", "batch", "p50_ms", "peak_mib")],
            *[column(case) for column in part.more.values()]]


def table(part: Part) -> str:
    return figures.table([part.head, *HEAD, *part.more],
                         [row(part, case) for case in part.shown], left=0)


def page(told: dict, parts: list[Part], ratios) -> str:
    sections = "\n\n".join(f"## {part.name.capitalize()}\n\n{part.words[0].upper()}"
                           f"{part.words[1:]}.\n\n{table(part)}" for part in parts)
    wanted = f"{figures.ratio_table(ratios)}\n\n" if ratios else ""
    return f"""# As it grows

Written by `./dev bench growth`; [performance.md](../performance.md) says what the figures mean.

{rounds.words(told)}, {told['seconds']} s a size: the median with the least and the most. The sizes of
a table in turn, every second round backwards, after a round of warming up. After every run the counter
was checked against what was acknowledged, and instances and history rows were counted.

{machine.origin(told)}

{wanted}![rate and memory](growth.svg)

{sections}
"""


def panel(part: Part, number: int) -> str:
    """The rate on the left, the memory on the right. Zero has no logarithm: it stands before 1."""
    lines = []
    for case in part.shown:
        rate = figures.spread_of(case, "per_second")
        lines.append(f"{case.size or 1} {rate.middle} {min(rate.values)} {max(rate.values)} "
                     f"{middle(case, 'peak_mib')}")
    sizes = [case.size for case in part.shown]
    tics = ", ".join(f"'{short_number(size)}' {size or 1}" for size in sizes)
    data = "\n".join(lines)
    return f"""
$part{number} << EOD
{data}
EOD
set title '{part.name}'
set xtics ({tics})
set xrange [{(sizes[0] or 1) * 0.7}:{sizes[-1] * 1.4}]
plot $part{number} using 1:2:3:4 with yerrorlines pt 7 ps 0.6 lc rgb '#1f5fa8' title 'a second', \\
     $part{number} using 1:5 axes x1y2 with linespoints pt 6 ps 0.6 lc rgb '#c0392b' title 'MiB'
"""


def short_number(size: int) -> str:
    for unit, letter in ((1000000, "M"), (1000, "k")):
        if size >= unit and size % unit == 0:
            return f"{size // unit}{letter}"
    return str(size)


def draw(parts: list[Part], out) -> None:
    columns = min(2, len(parts))
    rows = -(-len(parts) // columns)
    panels = "".join(panel(part, number) for number, part in enumerate(parts))
    gnuplot(f"""
set terminal svg size {450 * columns},{260 * rows} font 'sans-serif,12' background 'white'
set output '{out}/growth.svg'
set multiplot layout {rows},{columns}
set logscale x
set yrange [0:*]
set y2range [0:*]
set format y '%.0s%c'
set ytics nomirror
set y2tics
set grid ytics lc rgb '#dddddd'
set key bottom left
{panels}
unset multiplot
""")
