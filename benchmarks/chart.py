"""Draws a small line chart as an SVG, to be read on a light page and on a dark one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import floor, log10

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 58, 110, 34, 40
"""Room around the lines: for the numbers, the names of the lines, the title, and the number of things."""

TICKS = 4

STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.grid { stroke: #d0d7de; stroke-width: 1; }
.line { fill: none; stroke-width: 2; }
.a { stroke: #0969da; } .b { stroke: #bc4c00; } .c { stroke: #57606a; }
.dot { stroke: none; }
circle.a, text.a { fill: #0969da; stroke: none; } circle.b, text.b { fill: #bc4c00; stroke: none; }
circle.c, text.c { fill: #57606a; stroke: none; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .grid { stroke: #30363d; }
  .a { stroke: #58a6ff; } .b { stroke: #f0883e; } .c { stroke: #8b949e; }
  circle.a, text.a { fill: #58a6ff; } circle.b, text.b { fill: #f0883e; } circle.c, text.c { fill: #8b949e; }
}
"""

CLASSES = ("a", "b", "c")

Line = Sequence[tuple[float, float]]
"""Points: a number of things, and the cost."""


def svg(title: str, things: str, lines: Mapping[str, Line]) -> str:
    """The chart of up to three lines, whose axes begin at 0."""
    most_x = max(x for line in lines.values() for x, _ in line)
    step = _step(max(y for line in lines.values() for _, y in line) / TICKS)
    most_y = step * TICKS

    def at(x: float, y: float) -> tuple[float, float]:
        across = LEFT + x / most_x * (WIDTH - LEFT - RIGHT)
        return round(across, 1), round(HEIGHT - BOTTOM - y / most_y * (HEIGHT - TOP - BOTTOM), 1)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<text x="{LEFT}" y="18">{escape(title)}</text>',
    ]
    for tick in range(TICKS + 1):
        left, height = at(0, tick * step)
        out.append(f'<line class="grid" x1="{left}" y1="{height}" x2="{WIDTH - RIGHT}" y2="{height}"/>')
        out.append(f'<text x="{left - 6}" y="{height + 4}" text-anchor="end">{tick * step:g}</text>')
    for x in (0, most_x / 2, most_x):
        out.append(f'<text x="{at(x, 0)[0]}" y="{HEIGHT - 22}" text-anchor="middle">{x:,g}</text>')
    out.append(f'<text x="{at(most_x / 2, 0)[0]}" y="{HEIGHT - 6}" text-anchor="middle">{escape(things)}</text>')
    for line, color in zip(lines.values(), CLASSES, strict=False):
        points = [at(x, y) for x, y in line]
        out.append(f'<polyline class="line {color}" points="{" ".join(f"{x},{y}" for x, y in points)}"/>')
        out += [f'<circle class="{color}" cx="{x}" cy="{y}" r="2.5"/>' for x, y in points]
    places = _apart([(at(*line[-1])[1], name) for name, line in lines.items()])
    for name, color in zip(lines, CLASSES, strict=False):
        out.append(f'<text class="{color}" x="{WIDTH - RIGHT + 6}" y="{places[name] + 4}">{escape(name)}</text>')
    return "\n".join([*out, "</svg>", ""])


def _step(least: float) -> float:
    """The least of 1, 2, 2.5 and 5, times a power of ten, that is not smaller."""
    power = 10 ** floor(log10(least)) if least > 0 else 1.0
    return next((times * power for times in (1, 2, 2.5, 5) if times * power >= least), 10 * power)


def _apart(wanted: list[tuple[float, str]]) -> dict[str, float]:
    """The heights of names beside their lines, so that none stands on another."""
    places: dict[str, float] = {}
    last = float("-inf")
    for height, name in sorted(wanted):
        last = places[name] = max(height, last + 14)
    return places
