"""Top-level keys that stand outside of the file: the environment's beat the file's, the store's beat both.

Each becomes a node as if the file had said it, so that one reader reads it, whoever says it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

from ..store.snapshot import Setting
from .nodes import Reader, meant

VARIABLES: dict[str, str] = {
    "LLM_BACKEND": "llm_backend",
    "LLM_MODEL": "llm_model",
    "LLM_CHEAP_BACKEND": "llm_cheap_backend",
    "LLM_CHEAP_MODEL": "llm_cheap_model",
    "CROSSWIRE_STORE": "store",
}
"""The environment's variables, and the key that each stands for; an empty one counts as unset."""

FILE_ONLY: dict[str, str] = {
    "admin_key": "it is a secret, and settings are not sealed; keep it in the file as ${NAME}",
    "backends": "keep them in the file; what the store has of them are credentials",
    "body_limit": "it changes only at a start",
    "listen": "it changes only at a start",
    "records": "it changes only at a start",
    "routes": "keep them as mappings: crosswire mappings add",
    "store": "it says where the store is",
    "store_poll_s": "it says how often the store is looked at",
}
"""Keys that no setting of the store may have, and why."""


def overlaid(
    reader: Reader, found: Mapping[str, yaml.Node], stored: Sequence[Setting], known: Sequence[str]
) -> dict[str, yaml.Node]:
    """The file's nodes by key, with the environment's and the store's laid over them; wrong ones are complaints."""
    nodes = dict(found)
    for variable, key in VARIABLES.items():
        if value := reader.env.get(variable):
            nodes[key] = _quoted(value)
            reader.origins[key] = f"environment: {variable}"
    allowed = [key for key in known if key not in FILE_ONLY]
    for setting in stored:
        if not setting.enabled:
            continue
        reader.origins[setting.key] = "store: settings"
        if (wrong := unfit(setting.key, setting.value, allowed)) is not None:
            reader.complain(0, setting.key, wrong)
            continue
        node = reader.compose(setting.value, setting.key)
        if node is not None:
            nodes[setting.key] = node
    return nodes


def unfit(key: str, value: str, allowed: Sequence[str]) -> str | None:
    """Why the store may not hold this, or None; a value that is wrong in itself is its reader's to find."""
    if key in FILE_ONLY:
        return f"cannot be kept in the store: {FILE_ONLY[key]}"
    if key not in allowed:
        return f"is no key here; {meant(key, allowed)}"
    if "${" in value:
        return "has a ${…}, which is resolved in the file only; give the value itself"
    if "api_key" in value:
        return "has an api_key, and settings are not sealed; keep it with: crosswire credentials add"
    return None


def _quoted(text: str) -> yaml.ScalarNode:
    """A variable's text, taken as it is."""
    mark = yaml.Mark("environment", 0, 0, 0, None, 0)
    return yaml.ScalarNode("tag:yaml.org,2002:str", text.replace("${", "$${"), mark, mark, style='"')
