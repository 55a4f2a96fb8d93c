"""The badge of a run: an SVG image that says how many of the cells that the gateway offers are fine."""

from __future__ import annotations

from html import escape

from .verdict import TargetRun

LABEL = "conformance"

COLOURS = ((95.0, "#1b7a43"), (80.0, "#8a5a00"), (0.0, "#b3261e"))
"""Least share of fine cells, in per cent -> colour; white text on each has a contrast above 4.5."""

CHARACTER = 6.6
"""Width of a character of the font, about."""


def share(run: TargetRun) -> float | None:
    """Returns the share of fine cells of those that the gateway offers, in per cent; None where it offers none."""
    offered = [cell for cell in run.cells if cell.outcome != "not-offered"]
    return 100 * sum(cell.fine for cell in offered) / len(offered) if offered else None


def shown_share(run: TargetRun) -> str:
    """Returns that share as text, rounded down, so that 100 % means every cell."""
    found = share(run)
    return "no cells" if found is None else f"{int(found * 10) / 10:g} %"


def badge(run: TargetRun) -> str:
    """Returns the image."""
    value = shown_share(run)
    colour = next(colour for least, colour in COLOURS if (share(run) or 0.0) >= least)
    left, right = (round(len(text) * CHARACTER + 12) for text in (LABEL, value))
    title = escape(f"{run.gateway.name} {run.gateway.version}".strip() + f": {LABEL} {value}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{title}">'
        f"<title>{title}</title>"
        f'<clipPath id="r"><rect width="{left + right}" height="20" rx="3"/></clipPath><g clip-path="url(#r)">'
        f'<rect width="{left}" height="20" fill="#444c56"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{colour}"/></g>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="{left / 2:g}" y="14">{LABEL}</text><text x="{left + right / 2:g}" y="14">{escape(value)}</text>'
        "</g></svg>\n"
    )
