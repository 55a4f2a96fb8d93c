"""The config and the losses as they are in force, with every secret masked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from ..gateway.runtime import Runtime
from ..ir.loss_tables import LOSS_RULES
from ..wire import json_fields


def show_config(runtime: Runtime) -> dict[str, Any]:
    """Settings, backends, rules and clients in force, errors of a newer config, and what is done about each loss."""
    config = runtime.config
    plan = config.plan
    shown = {
        "settings": _plain(config.settings),
        "backends": [_plain(backend) for backend in plan.backends],
        "routes": _plain(plan.routes),
        "modes": _plain(plan.modes),
        "mode": plan.mode,
        "smart": _plain(plan.smart),
        "aliases": _plain(plan.aliases),
        "clients": None if config.clients is None else [_plain(each) for each in config.clients.clients.values()],
        "warnings": list(config.warnings),
        "notes": list(config.notes),
        "complaints": list(runtime.config_complaints),
        "losses": [
            {"feature": word, "action": action, "default": LOSS_RULES[word].action, "meaning": LOSS_RULES[word].meaning}
            for word, action in runtime.loss_actions.items()
        ],
        "seen": dict(runtime.metrics.totals().losses),
    }
    # what a value repeats although it is no secret's own field, such as a key within a URL
    found = json_fields.parse_object(runtime.without_keys(json_fields.encode(shown)))
    return found


def _plain(value: Any) -> Any:
    """A value as JSON has it; a struct that masks its secrets shows what it prints of itself."""
    if isinstance(value, Struct):
        printed = getattr(value, "__rich_repr__", None)
        fields = asdict(value) if printed is None else dict(printed())
        return {name: _plain(each) for name, each in fields.items()}
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(map(str, value))
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
