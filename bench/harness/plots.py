"""SVG by gnuplot."""
import subprocess

import figures
from process import Failed

COLOURS = ("#7f7f7f", "#b0b0b0", "#d0c0a0", "#1f5fa8", "#5b93d0", "#9cc3ea", "#2f8f5b", "#7cc49b",
           "#c0392b")


def gnuplot(script: str) -> None:
    try:
        subprocess.run(["gnuplot"], input=script, text=True, check=True, capture_output=True)
    except FileNotFoundError as missing:
        raise Failed("gnuplot is not installed") from missing
    except subprocess.CalledProcessError as failed:
        raise Failed(f"gnuplot: {failed.stderr}") from failed


def quoted(text: str) -> str:
    return '"' + text.replace('"', "'") + '"'


def rate_data(cases, variants, loads) -> str:
    """A block a variant: load number, median, least, most."""
    blocks = []
    by_name = {(case.variant, case.load.name): case for case in cases}
    for i, variant in enumerate(variants):
        lines = []
        for n, load in enumerate(loads):
            case = by_name.get((variant, load))
            if case:
                spread = figures.spread_of(case, "per_second")
                at = n + (i + 0.5) / len(variants) * 0.86 - 0.43
                lines.append(f"{at:.4f} {spread.middle} {min(spread.values)} {max(spread.values)}")
        blocks.append(f"$v{i} << EOD\n" + "\n".join(lines) + "\nEOD")
    return "\n".join(blocks)


def draw_rates(cases, out) -> None:
    cases = [case for case in cases if not case.variant.startswith("alone")]
    variants = list(dict.fromkeys(case.variant for case in cases))
    loads = list(dict.fromkeys(case.load.name for case in cases))
    tics = ", ".join(f"{quoted(load)} {n}" for n, load in enumerate(loads))
    width = 0.8 / len(variants)
    parts = []
    for i, variant in enumerate(variants):
        colour = COLOURS[i % len(COLOURS)]
        parts.append(f"$v{i} using 1:2:({width}) with boxes lc rgb '{colour}' "
                     f"title {quoted(variant)}")
    parts += [f"$v{i} using 1:3:(0):($4-$3) with vectors nohead lc rgb 'black' notitle"
              for i in range(len(variants))]
    gnuplot(f"""
{rate_data(cases, variants, loads)}
set terminal svg size {max(700, 150 * len(loads))},460 font 'sans-serif,12' background 'white'
set output '{out}/rates.svg'
set title 'executions a second: medians, least and most'
set logscale y
set format y '%.0f'
set grid ytics lc rgb '#dddddd'
set style fill solid noborder
set key outside right top
set xrange [-0.6:{len(loads) - 0.4}]
set xtics ({tics})
plot {', '.join(parts)}
""")


def draw_ratios(ratios, out) -> None:
    """Each as a share of what is wanted: right of the line it holds."""
    lines = []
    for n, ratio in enumerate(reversed(ratios)):
        def share(value, ratio=ratio):
            return ratio.wanted / value if ratio.at_most else value / ratio.wanted
        shares = [share(value) for value in ratio.values]
        colour = 0x2F8F5B if ratio.holds else 0xC0392B
        lines.append(f"{share(ratio.middle)} {n} {min(shares)} {max(shares)} {colour}")
    tics = ", ".join(f"{quoted(ratio.words)} {n}" for n, ratio in enumerate(reversed(ratios)))
    data = "\n".join(lines)
    gnuplot(f"""
$ratios << EOD
{data}
EOD
set terminal svg size 800,{90 + 26 * len(ratios)} font 'sans-serif,12' background 'white'
set output '{out}/ratios.svg'
set title 'share of what is wanted: 1 = reached'
set logscale x
set xrange [0.05:20]
set xtics (0.1, 0.2, 0.5, 1, 2, 5, 10)
set yrange [-0.7:{len(ratios) - 0.3}]
set ytics ({tics})
set grid xtics lc rgb '#dddddd'
set arrow from 1,-0.7 to 1,{len(ratios) - 0.3} nohead lw 2 lc rgb 'black'
unset key
plot $ratios using 1:2:3:4:5 with xerrorbars pt 7 ps 0.8 lw 2 lc rgb variable
""")


def draw(cases, ratios, out) -> None:
    draw_rates(cases, out)
    draw_ratios(ratios, out)
