"""The JSON Schema of a config, made of the reference of its keys and of the tables that its readers use."""

from __future__ import annotations

import re
import typing
from collections.abc import Collection
from typing import Any

from ..balance.strategy import KEY_STRATEGIES, STRATEGIES
from ..clients.tokens import ALGORITHMS
from ..costs.budget import Period
from ..headers import ROUTING
from ..ir import CAPABILITIES
from ..ir.loss_tables import LOSS_RULES, Action
from ..limits.bounds import RATE
from ..protocols import PROTOCOLS
from ..routing.score import THRESHOLDS, WEIGHTS
from ..state.settings import SCHEMES, Fails
from ..traits.row import DEFAULTS, EFFORTS, FORCES, LIMITS, RENAMES, WORDS
from . import PROTOCOL_SPECS
from .backends import BACKEND_NAME, HEADER_NAME
from .clients import CLIENT_NAME, MOMENT, TOKEN_KEYS
from .fetch import MEDIA_TYPE
from .prices import PRICE_KEYS, RATE_KEYS
from .rates import BUDGET_KEYS
from .reference import KEYS_REFERENCE, REQUIRED, KeyInfo, section_of
from .routes import HEDGE_KEYS, STICKY_BY, TARGET_KEYS
from .secret_sources import SECRET_KEYS
from .settings import LISTEN, ORIGIN, SIZE, STORE_URL, Cache, Relay, Unpriced

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

REFERENCE: Schema = {"type": "string", "pattern": r"\$\{"}
"""A value that an environment variable gives, whole or in part."""

TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "minLength": 1, "pattern": r"^\S(.*\S)?$"}


def matching(pattern: re.Pattern[str]) -> Schema:
    """Returns the schema of text that a pattern of the readers takes as a whole."""
    return or_reference({"type": "string", "pattern": f"^(?:{pattern.pattern})$"})


def or_reference(schema: Schema) -> Schema:
    """Returns a schema that also takes a variable of the environment."""
    return {"anyOf": [schema, REFERENCE]}


def closed(properties: dict[str, Schema], required: Collection[str] = ()) -> Schema:
    """Returns the schema of a mapping of these keys alone."""
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return found | ({"required": sorted(required)} if required else {})


def by_name(schema: Schema, pattern: str | None = None) -> Schema:
    """Returns the schema of a mapping from names to values."""
    named: Schema = {"type": "object", "additionalProperties": schema}
    return named | ({"propertyNames": {"pattern": f"^(?:{pattern})$"}} if pattern else {})


def list_of(schema: Schema) -> Schema:
    """Returns the schema of a list."""
    return {"type": "array", "items": schema}


def words_of(words: Collection[str]) -> Schema:
    """Returns the schema of one of these words."""
    return or_reference({"enum": list(words)})


def distinct(schema: Schema) -> Schema:
    """Returns the schema of a list in which nothing stands twice."""
    return {**list_of(schema), "uniqueItems": True}


def number(low: float | None = None, kind: str = "number") -> Schema:
    """Returns the schema of a number of at least `low`."""
    return or_reference({"type": kind} | ({} if low is None else {"minimum": low}))


def either(*schemas: Schema) -> Schema:
    """Returns the schema of what one of these takes."""
    return {"anyOf": list(schemas)}


FLAG = or_reference({"type": "boolean"})
SECONDS = or_reference({"type": "number", "exclusiveMinimum": 0})
SOURCE: Schema = {
    **closed(
        dict(zip(SECRET_KEYS, (TEXT, either(TEXT, {**list_of(TEXT), "minItems": 1}), number(1)), strict=True)),
    ),
    "oneOf": [{"required": ["file"]}, {"required": ["command"]}],
}
SECRET = either(TEXT, SOURCE)
WEB_ADDRESS: Schema = or_reference({"type": "string", "pattern": "^https?://"})
BUDGET = closed(
    dict(zip(BUDGET_KEYS, (number(0), words_of(typing.get_args(Period)), FLAG, TEXT), strict=True)), ("usd", "per")
)
BUDGETS = either(BUDGET, list_of(BUDGET))
TARGET = closed({key: number(0) if key == "weight" else NAME for key in TARGET_KEYS})
HEDGE: Schema = {
    **closed(dict(zip(HEDGE_KEYS, (SECONDS, SECONDS, number(0)), strict=True))),
    "anyOf": [{"required": [key]} for key in HEDGE_KEYS[:2]],
}
MODEL_LIMITS = by_name(
    closed({"requests": matching(RATE), "tokens": matching(RATE), "concurrent": number(1, "integer")})
)
PRICE = closed(
    {key: number(0) if key in (*RATE_KEYS, "image") else TEXT for key in PRICE_KEYS}, ("match", "input", "output")
)
TRAIT = closed(
    {
        **dict.fromkeys(("refuses", "refuses_while_thinking", "takes"), distinct(words_of(WORDS))),
        "forces": closed(dict.fromkeys(FORCES, TEXT)),
        "renames": closed(dict.fromkeys(RENAMES, TEXT)),
        "defaults": closed(dict.fromkeys(DEFAULTS, TEXT)),
        "limits": closed(dict.fromkeys(LIMITS, number(0))),
        "efforts": distinct(words_of((*EFFORTS, "default"))),
        "replaces": FLAG,
    }
)
CAPABILITY_LIST = distinct(words_of(CAPABILITIES))
HOSTS = list_of({"type": "string", "minLength": 1})

STATE_URL = or_reference(
    either({"const": "memory"}, {"type": "string", "pattern": f"^({'|'.join(SCHEMES)})://"}),
)

TYPES: dict[str, Schema] = {
    "URL": WEB_ADDRESS,
    "URL of an HTTP proxy, or environment": or_reference(
        either({"const": "environment"}, {"type": "string", "pattern": "^http://"})
    ),
    "a mapping of usd, per, rolling, zone, or a list of them": BUDGETS,
    "agents, auto or off": words_of(typing.get_args(Cache)),
    "auto or never": words_of(typing.get_args(Relay)),
    "auto, or a list": either({"const": "auto"}, REFERENCE, CAPABILITY_LIST),
    "backend": NAME,
    "capability, refuse, or a backend": NAME,
    "conversation or client": words_of(STICKY_BY),
    "database URL": either(
        matching(STORE_URL),
        closed({"url": TEXT, "create": FLAG}, ("url",)),
    ),
    "date or date and time": matching(MOMENT),
    "file, or -": TEXT,
    "host:port": matching(LISTEN),
    "integer": number(0, "integer"),
    "integer, 0 allowed": number(0, "integer"),
    "integer, at least 1": number(1, "integer"),
    "lazy or start": words_of(("lazy", "start")),
    "list of host names": HOSTS,
    "list of hosts": HOSTS,
    "list of mappings": list_of({"$ref": "#/$defs/routes"}),
    "list of match, provider, input, output, cache_read, cache_write, reasoning, image, source, date": list_of(PRICE),
    "list of media types": list_of(matching(MEDIA_TYPE)),
    "list of numbers": list_of(number(0)),
    "list of patterns": distinct(TEXT),
    "list of protocols": distinct(words_of(PROTOCOLS)),
    "list of quirks": distinct(words_of(sorted({quirk for spec in PROTOCOL_SPECS.values() for quirk in spec.quirks}))),
    "list of targets": {
        **list_of(either(NAME, {**TARGET, "required": ["backend"]})),
        "minItems": 1,
    },
    "list of texts": distinct(TEXT),
    "local, open or closed": words_of(typing.get_args(Fails)),
    "mapping of after_s, whole_after_s and budget": HEDGE,
    "mapping of claim to text": by_name(TEXT),
    "mapping of header to text": by_name(TEXT, HEADER_NAME.pattern),
    "mapping of jwks, audience, issuer, algorithms": closed(
        dict(zip(TOKEN_KEYS, (TEXT, TEXT, TEXT, distinct(words_of(ALGORITHMS))), strict=True)), ("jwks", "audience")
    ),
    "mapping of limit to number": closed(
        {limit: number(0) for limit in sorted({limit for spec in PROTOCOL_SPECS.values() for limit in spec.limits})}
    ),
    "mapping of loss to action": closed({word: words_of(typing.get_args(Action)) for word in LOSS_RULES}),
    "mapping of model pattern to requests, tokens, concurrent": MODEL_LIMITS,
    "mapping of model patterns to traits": by_name(TRAIT),
    "mapping of name or pattern to name": by_name(NAME),
    "mapping of name to client": by_name({"$ref": "#/$defs/clients"}, CLIENT_NAME.pattern),
    "mapping of name to name": by_name(NAME),
    "mapping of origins": closed({"origins": list_of(matching(ORIGIN))}),
    "mapping of part to points": closed({part: number(0) for part in WEIGHTS}),
    "mapping of tag to budgets": by_name(BUDGETS),
    "mapping of text": by_name(TEXT),
    "mapping of tier to points": closed({tier: number(0) for tier in THRESHOLDS}),
    "mapping of word to backend or false": by_name(either(NAME, {"const": False}), "[^/]+"),
    "memory, URL, or mapping": either(STATE_URL, {"$ref": "#/$defs/state"}),
    "memory, or URL": STATE_URL,
    "mapping or list of names": either(by_name(NAME), distinct(NAME)),
    "name": NAME,
    "name of a mode": NAME,
    "name or pattern": NAME,
    "number": number(0),
    "number from 0 to 1": or_reference({"type": "number", "minimum": 0, "maximum": 1}),
    "order, weighted, least_busy or sticky": words_of(KEY_STRATEGIES),
    "order, weighted, least_busy, latency, cost or sticky": words_of(STRATEGIES),
    "path": TEXT,
    "protocol": words_of(PROTOCOL_SPECS),
    "provider or backend": NAME,
    "rate": matching(RATE),
    "refuse or allow": words_of(typing.get_args(Unpriced)),
    "seconds": SECONDS,
    "seconds, 0 allowed": number(0),
    "seconds, at least 1": number(1),
    "secret": SECRET,
    "secret, or a list of them": either(SECRET, list_of(SECRET)),
    "size": either({"type": "integer", "minimum": 1}, matching(SIZE)),
    "target": TARGET,
    "text": TEXT,
    "text, a mapping of file or command, or a list of them": either(SECRET, list_of(SECRET)),
    "true or false": FLAG,
    "true, false, or a list of headers": either(FLAG, distinct(words_of(ROUTING))),
    "true, false, or a list of networks": either(FLAG, list_of(TEXT)),
}
"""Type of a key, as the reference names it, to the schema of its values."""

MAPPING = "mapping"
"""The type of a key under which others stand that have rows of their own."""

REQUIRED_TOGETHER: dict[str, Schema] = {
    # a route has either one backend and what follows it, or a list of targets, with others behind it if it balances
    "routes[]": {
        "anyOf": [
            {"required": ["backend"]},
            {"required": ["to"], "not": {"required": ["fallback"]}},
            {"required": ["to", "strategy"]},
        ],
        "not": {"required": ["to", "backend"]},
    },
    "modes.*": {"minProperties": 1},
    "clients.*": {"anyOf": [{"required": ["key"]}, {"required": ["claims"]}]},
}
"""Section to what must be there beside the keys that are always required."""

NAMES: dict[str, str] = {
    "backends.*": BACKEND_NAME.pattern,
    "llm_custom_providers.*": BACKEND_NAME.pattern,
    "clients.*": CLIENT_NAME.pattern,
}
"""Section to the pattern of the names that a config chooses for its entries."""


def config_schema() -> Schema:
    """Returns the schema of a config."""
    rows: dict[str, list[KeyInfo]] = {}
    for info in KEYS_REFERENCE:
        rows.setdefault(section_of(info.path), []).append(info)
    sections = {prefix: _section(prefix, infos, rows) for prefix, infos in rows.items()}
    top = sections.pop("")
    return {
        "$schema": DIALECT,
        "title": "Config of Crosswire",
        "description": "crosswire.yaml; docs/configuration-keys.md explains every key.",
        **top,
        "$defs": {_definition(prefix): section for prefix, section in sections.items()},
    }


def _definition(prefix: str) -> str:
    return prefix.removesuffix(".*").removesuffix("[]")


def _section(prefix: str, infos: list[KeyInfo], rows: Collection[str]) -> Schema:
    properties: dict[str, Schema] = {}
    for info in infos:
        schema = _mapping_under(info.path, rows) if info.type == MAPPING else TYPES[info.type]
        described = {"description": info.meaning, **schema}
        properties[info.path.rpartition(".")[2]] = described
    required = [info.path.rpartition(".")[2] for info in infos if info.without == REQUIRED]
    return closed(properties, required) | REQUIRED_TOGETHER.get(prefix, {})


def _mapping_under(path: str, rows: Collection[str]) -> Schema:
    """Returns the schema of a mapping whose keys, or whose entries' keys, have rows of their own."""
    if path in rows:
        return {"$ref": f"#/$defs/{path}"}
    section = f"{path}.*"
    least: Schema = {"minProperties": 1} if path == "backends" else {}
    return by_name({"$ref": f"#/$defs/{path}"}, NAMES.get(section)) | least
