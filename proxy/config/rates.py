"""Reads limits of requests and tokens, and budgets, wherever a config has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from ..costs.budget import Budget, Period
from ..costs.price import NANO
from ..limits.bounds import NO_LIMITS, AtOnce, LimitSet, Rate, parse_rate
from .yaml_reader import ConfigReader, child_path, quote_safely

LIMIT_KEYS = ("requests", "tokens", "concurrent")
BUDGET_KEYS = ("usd", "per", "rolling", "zone")


def read_limit_fields(reader: ConfigReader, fields: Mapping[str, yaml.Node], path: str) -> LimitSet:
    """Reads the limits among the keys of a client, a model or a backend."""
    found: dict[str, Any] = {}
    for key in ("requests", "tokens"):
        if key in fields:
            found[key] = read_rate(reader, fields[key], f"{path}.{key}")
    if "concurrent" in fields and (most := reader.integer(fields["concurrent"], f"{path}.concurrent", 1)) is not None:
        found["concurrent"] = AtOnce(most)
    return LimitSet(**found) if found else NO_LIMITS


def read_rate(reader: ConfigReader, node: yaml.Node, path: str) -> Rate | None:
    """Reads a number in a period."""
    wanted = "give a number in a period, such as 60/min, 1000/h, 20/10s or 5000/day"
    text = reader.text(node, path, wanted)
    if text is None:
        return None
    rate = parse_rate(text)
    if rate is None:
        reader.complain(node, path, f"is no rate; {wanted}")
    return rate


def read_model_limits(reader: ConfigReader, node: yaml.Node, path: str) -> tuple[tuple[str, LimitSet], ...]:
    """Reads limits by a pattern of the model's name."""
    found = []
    for pattern, value in reader.mapping(node, path, None).items():
        place = child_path(path, pattern)
        found.append((pattern, read_limit_fields(reader, reader.mapping(value, place, LIMIT_KEYS), place)))
    return tuple(found)


def read_budgets(reader: ConfigReader, node: yaml.Node, path: str) -> tuple[Budget, ...]:
    """Reads one budget, or a list of them."""
    is_list = isinstance(node, yaml.SequenceNode)
    items = enumerate(node.value) if is_list else [(0, node)]
    read = (_read_budget(reader, item, f"{path}[{index}]" if is_list else path) for index, item in items)
    return tuple(budget for budget in read if budget is not None)


def _read_budget(reader: ConfigReader, node: yaml.Node, path: str) -> Budget | None:
    found = reader.mapping(node, path, BUDGET_KEYS)
    missing = [key for key in ("usd", "per") if key not in found]
    if missing:
        if isinstance(node, yaml.MappingNode):
            reader.complain(node, path, f"lacks {' and '.join(missing)}; write it as {{usd: 20, per: month}}")
        return None
    amount = reader.number(found["usd"], f"{path}.usd", 0)
    periods: tuple[Period, ...] = get_args(Period)
    per = reader.choice(found["per"], f"{path}.per", periods)
    rolling = reader.flag(found["rolling"], f"{path}.rolling") if "rolling" in found else False
    zone = _read_zone(reader, found["zone"], f"{path}.zone") if "zone" in found else "UTC"
    if amount is None or per is None or rolling is None or zone is None:
        return None
    if rolling and "zone" in found:
        reader.complain(found["zone"], f"{path}.zone", "is for periods of the calendar; a rolling one has none")
    return Budget(round(amount * NANO), per, rolling, zone)


def _read_zone(reader: ConfigReader, node: yaml.Node, path: str) -> str | None:
    name = reader.text(node, path, "give a time zone, such as Europe/Berlin")
    if name is None:
        return None
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        reader.complain(node, path, f"{quote_safely(name)} is no time zone; give one such as Europe/Berlin or UTC")
        return None
    return name


def read_tag_budgets(reader: ConfigReader, node: yaml.Node, path: str) -> tuple[tuple[str, tuple[Budget, ...]], ...]:
    """Reads the budgets that the clients of a tag share."""
    found = reader.mapping(node, path, None)
    return tuple((tag, read_budgets(reader, value, child_path(path, tag))) for tag, value in found.items())
