"""Reads the prices of a config, which come before those that are shipped."""

from __future__ import annotations

import yaml

from ..costs.price import Price, Rates
from .yaml_reader import ConfigReader

RATE_KEYS = ("input", "output", "cache_read", "cache_write", "reasoning")
PRICE_KEYS = ("match", "provider", *RATE_KEYS, "image", "source", "date")


def read_prices(reader: ConfigReader, node: yaml.Node, path: str) -> tuple[Price, ...]:
    """Reads a list of prices, in dollars per million tokens."""
    if not isinstance(node, yaml.SequenceNode):
        reader.text_list(node, path, None)  # complains
        return ()
    found = (_read_price(reader, item, f"{path}[{index}]") for index, item in enumerate(node.value))
    return tuple(price for price in found if price is not None)


def _read_price(reader: ConfigReader, node: yaml.Node, path: str) -> Price | None:
    found = reader.mapping(node, path, PRICE_KEYS)
    missing = [key for key in ("match", "input", "output") if key not in found]
    if missing:
        if isinstance(node, yaml.MappingNode):
            reader.complain(node, path, f"lacks {', '.join(missing)}; prices are in dollars per million tokens")
        return None
    texts = {
        key: reader.text(found[key], f"{path}.{key}") for key in ("match", "provider", "source", "date") if key in found
    }
    numbers = {key: reader.number(found[key], f"{path}.{key}", 0) for key in (*RATE_KEYS, "image") if key in found}
    if None in texts.values() or None in numbers.values():
        return None
    rates = {key: value for key, value in numbers.items() if key != "image" and value is not None}
    return Price(
        match=texts["match"] or "",
        rates=Rates(**rates),
        provider=texts.get("provider"),
        image=numbers.get("image") or 0.0,
        source=texts.get("source") or "the config",
        date=texts.get("date") or "",
    )
