"""The prices that are shipped with the proxy: `prices.yaml` beside this module."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from .price import Price, Rates

FILE = Path(__file__).with_name("prices.yaml")

RATE_KEYS = ("input", "output", "cache_read", "cache_write", "reasoning")


@cache
def shipped_prices() -> tuple[Price, ...]:
    """The prices of the file, in its order."""
    groups = yaml.safe_load(FILE.read_text("utf-8"))
    return tuple(_price(row, group) for group in groups for row in group["prices"])


def _price(row: dict[str, Any], group: dict[str, Any]) -> Price:
    long = row.get("long")
    return Price(
        match=row["match"],
        provider=group.get("provider"),
        rates=_rates(row),
        long_from=None if long is None else long["from"],
        long=None if long is None else _rates(long),
        image=row.get("image", 0.0),
        source=group["source"],
        date=str(group["date"]),
    )


def _rates(row: dict[str, Any]) -> Rates:
    return Rates(**{key: float(row[key]) for key in RATE_KEYS if key in row})
