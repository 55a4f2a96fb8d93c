"""Reads the clients of a config and of the store, and how their tokens are checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import yaml
from msgspec.structs import replace

from ..clients.client import ALL, Client
from ..clients.keys import digest, new_hash_key
from ..clients.registry import ClientRegistry, KeyRow, KeyTable
from ..clients.tokens import ALGORITHMS, JwtChecker, TokenSettings, read_key_set
from ..costs.budget import Budget
from ..errors import ConfigError
from ..limits.bounds import LimitSet
from ..protocols import PROTOCOLS
from ..store.snapshot import Snapshot, StoredClient
from .rates import LIMIT_KEYS, read_budgets, read_limit_fields, read_model_limits
from .secret_sources import read_secret_source
from .settings import Settings, read_flag
from .yaml_reader import INVALID_KEY, ConfigReader, child_path, is_valid_key, line_of

T = TypeVar("T")

GRANT_KEYS = (
    *("models", "backends", "frontends", "modes", "pins", "expires", "enabled", "tags", "claims"),
    *(*LIMIT_KEYS, "model_limits", "budgets"),
)
"""The keys of a client beside its own key, which the store keeps too."""

CLIENT_KEYS = ("key", *GRANT_KEYS)
TOKEN_KEYS = ("jwks", "audience", "issuer", "algorithms")

KEY_LENGTH = 16
"""The fewest characters of a client's key: one that cannot be guessed."""

CLIENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d)?)?")

_HASH_KEY = new_hash_key()
"""Hashes the keys of the config, which are hashed anew in each process; those of the store have a key there."""


def read_clients(
    reader: ConfigReader, nodes: Mapping[str, yaml.Node], stored: Snapshot, settings: Settings
) -> ClientRegistry | None:
    """Reads the clients of the file and of the store; None where neither names any, so that nobody needs a key."""
    if "clients" not in nodes and not stored.clients:
        if "jwt" in nodes:
            reader.complain(nodes["jwt"], "jwt", "checks the tokens of clients, and there are none; add clients")
        return None
    clients: dict[str, Client] = {}
    keys: dict[bytes, tuple[Client, str]] = {}
    found = reader.mapping(nodes["clients"], "clients", None) if "clients" in nodes else {}
    for name, node in found.items():
        path = child_path("clients", name)
        fields = reader.mapping(node, path, CLIENT_KEYS)
        client = clients[name] = _read_client(reader, name, fields, path, line_of(node))
        if "key" not in fields and not client.claims and isinstance(node, yaml.MappingNode):
            reader.complain(node, path, "has neither a key nor claims, so nobody is it; give one")
        for key in _read_keys(reader, fields["key"], f"{path}.key") if "key" in fields else ():
            if key == settings.admin_key:
                reader.complain(fields["key"], f"{path}.key", "is the admin_key; give the client another")
            if (other := keys.setdefault(digest(key, _HASH_KEY), (client, path)))[0] is not client:
                reader.complain(fields["key"], f"{path}.key", f"is the key of {other[1]} too; give each its own")
    rows = []
    for each in stored.clients:
        if each.name in clients:
            reader.complain(reader.key_lines["clients", each.name], f"clients.{each.name}", "is in the store too")
            continue
        client = clients[each.name] = stored_client(reader, each)
        rows += [KeyRow(each.digest, client)]
        if each.former is not None:
            rows.append(KeyRow(each.former, client, each.former_ends))
    tokens = _read_tokens(reader, nodes["jwt"]) if "jwt" in nodes else None
    if tokens is None and (by_claims := next((c for c in clients.values() if c.claims), None)) is not None:
        reader.complain(0, f"clients.{by_claims.name}.claims", "needs the key jwt, by which tokens are checked")
    tables = [KeyTable(_HASH_KEY, [KeyRow(hashed, client) for hashed, (client, _) in keys.items()])] if keys else []
    if rows and stored.hash_key is not None:
        tables.append(KeyTable(stored.hash_key, rows))
    return ClientRegistry(clients.values(), tables, tokens)


def stored_client(reader: ConfigReader, stored: StoredClient) -> Client:
    """Reads a client of the store, whose grants are YAML; errors name the store."""
    path = child_path("clients", stored.name)
    node = reader.compose(stored.grants, path)
    fields = reader.mapping(node, path, GRANT_KEYS) if node is not None else {}
    client = _read_client(reader, stored.name, fields, path, 0)
    return client if stored.enabled else Client(name=client.name, enabled=False)


def _read_client(reader: ConfigReader, name: str, fields: Mapping[str, yaml.Node], path: str, line: int) -> Client:
    if not CLIENT_NAME.fullmatch(name):
        what = "is no name of a client; use up to 64 letters, digits, '.', '_', '@' and '-'"
        reader.complain(reader.key_lines.get(("clients", name), line), path, what)

    def get(key: str, read: Callable[[ConfigReader, yaml.Node, str], T | None], default: T) -> T:
        value = read(reader, fields[key], f"{path}.{key}") if key in fields else None
        return default if value is None else value

    no_claims: dict[str, str] = {}
    no_limits: tuple[tuple[str, LimitSet], ...] = ()
    no_budgets: tuple[Budget, ...] = ()
    return Client(
        name=name,
        models=get("models", _read_patterns, ALL),
        backends=get("backends", _read_patterns, ALL),
        frontends=get("frontends", _read_frontends, ALL),
        modes=get("modes", _read_patterns, ALL),
        pins=get("pins", read_flag, True),
        expires=get("expires", _read_moment, None),
        enabled=get("enabled", read_flag, True),
        tags=get("tags", lambda r, n, p: tuple(r.text_list(n, p, None)), ()),
        claims=get("claims", _read_claims, no_claims),
        limits=read_limit_fields(reader, fields, path),
        model_limits=get("model_limits", read_model_limits, no_limits),
        budgets=get("budgets", read_budgets, no_budgets),
    )


def _read_keys(reader: ConfigReader, node: yaml.Node, path: str) -> list[str]:
    """Reads one key or several, each as text, from a file, or of a command."""
    keys = []
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    for index, item in enumerate(nodes):
        here = f"{path}[{index}]" if item is not node else path
        is_source = isinstance(item, yaml.MappingNode)
        key = read_secret_source(reader, item, here) if is_source else reader.text(item, here)
        if key is None:
            continue
        if not is_valid_key(key):
            reader.complain(item, here, INVALID_KEY)
        elif len(key) < KEY_LENGTH:
            what = f"has fewer than {KEY_LENGTH} characters, so it can be guessed"
            reader.complain(item, here, f"{what}; make one with: openssl rand -hex {KEY_LENGTH}")
        else:
            keys.append(key)
    return keys


def _read_patterns(reader: ConfigReader, node: yaml.Node, path: str) -> tuple[str, ...]:
    return tuple(reader.text_list(node, path, None))


def _read_frontends(reader: ConfigReader, node: yaml.Node, path: str) -> tuple[str, ...]:
    return tuple(reader.text_list(node, path, PROTOCOLS))


def _read_claims(reader: ConfigReader, node: yaml.Node, path: str) -> dict[str, str]:
    read = {
        name: reader.text(value, child_path(path, name)) for name, value in reader.mapping(node, path, None).items()
    }
    return {name: value for name, value in read.items() if value is not None}


def _read_moment(reader: ConfigReader, node: yaml.Node, path: str) -> float | None:
    text = reader.text(node, path, "give a date such as 2027-01-31")
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text) if MOMENT.fullmatch(text) else None
    except ValueError:
        moment = None
    if moment is None:
        reader.complain(node, path, "is no date; give one such as 2027-01-31, or 2027-01-31T12:00:00Z")
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


# ---- tokens ----------------------------------------------------------------------------------------------------------


def _read_tokens(reader: ConfigReader, node: yaml.Node) -> JwtChecker | None:
    found = reader.mapping(node, "jwt", TOKEN_KEYS)
    missing: Sequence[str] = [key for key in ("jwks", "audience") if key not in found]
    if missing:
        if isinstance(node, yaml.MappingNode):
            reader.complain(node, "jwt", f"lacks {' and '.join(missing)}")
        return None
    texts = {key: reader.text(found[key], f"jwt.{key}") for key in ("jwks", "audience", "issuer") if key in found}
    given = {key: text for key, text in texts.items() if text is not None}
    if len(given) < len(texts):
        return None
    if "://" in given["jwks"] and not given["jwks"].startswith("https://"):
        reader.complain(found["jwks"], "jwt.jwks", "must be a file, or an address that begins with https://")
        return None
    settings = TokenSettings(jwks=given["jwks"], audience=given["audience"], issuer=given.get("issuer"))
    if "algorithms" in found:
        algorithms = reader.text_list(found["algorithms"], "jwt.algorithms", ALGORITHMS)
        settings = replace(settings, algorithms=tuple(algorithms))
    try:
        return JwtChecker(settings, read_key_set(settings.jwks))
    except ConfigError as fault:
        reader.complaints += ((line_of(node), f"{reader.file}:{line_of(node)}: {text}") for text in fault.complaints)
        return None
