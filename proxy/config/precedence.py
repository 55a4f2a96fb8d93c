"""Precedence of the sources of top-level keys: the store beats the environment, which beats the file.

Values of the environment and the store become YAML nodes, so that one reader parses all three sources.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

from ..store.snapshot import Setting
from .yaml_reader import ConfigReader, did_you_mean

VARIABLES: dict[str, str] = {
    "LLM_BACKEND": "llm_backend",
    "LLM_MODEL": "llm_model",
    "LLM_CHEAP_BACKEND": "llm_cheap_backend",
    "LLM_CHEAP_MODEL": "llm_cheap_model",
    "CROSSWIRE_STORE": "store",
    "CROSSWIRE_STATE": "state",
}
"""Environment variable to the key that it sets; an empty variable counts as unset."""

FILE_ONLY: dict[str, str] = {
    "access_log": "it names a file of this machine",
    "admin_key": "it is a secret, and settings are not encrypted; keep it in the file as ${NAME}",
    "clients": "they have keys; keep them in the file, or add them with: crosswire clients add",
    "backends": "keep them in the file; the store has only their credentials",
    "listen": "it changes only at a start",
    "log_buffer": "it changes only at a start",
    "open": "it changes only at a start",
    "records": "it changes only at a start",
    "routes": "keep them as mappings: crosswire mappings add",
    "state": "it changes only at a start",
    "store": "it is the address of the store",
    "store_poll_s": "it is how often the store is polled",
    "tracing": "it may hold the key of the collector",
}
"""Keys that the store's settings may not contain, and the reason."""


def merge_sources(
    reader: ConfigReader, found: Mapping[str, yaml.Node], stored: Sequence[Setting], known: Sequence[str]
) -> dict[str, yaml.Node]:
    """Returns the nodes by key from all sources in their precedence; reports an error for each invalid setting."""
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
        if (wrong := setting_error(setting.key, setting.value, allowed)) is not None:
            reader.complain(0, setting.key, wrong)
            continue
        node = reader.compose(setting.value, setting.key)
        if node is not None:
            nodes[setting.key] = node
    return nodes


def setting_error(key: str, value: str, allowed: Sequence[str]) -> str | None:
    """Returns an error message if the store may not contain this setting, else None; the value is not validated."""
    if key in FILE_ONLY:
        return f"cannot be kept in the store: {FILE_ONLY[key]}"
    if key not in allowed:
        return f"unknown key; {did_you_mean(key, allowed)}"
    if "${" in value:
        return "has a ${…}, which is resolved in the file only; give the value itself"
    if "api_key" in value:
        return "has an api_key, and settings are not encrypted; keep it with: crosswire credentials add"
    return None


def _quoted(text: str) -> yaml.ScalarNode:
    """Builds a node of a variable's text, without resolving references in it."""
    mark = yaml.Mark("environment", 0, 0, 0, None, 0)
    return yaml.ScalarNode("tag:yaml.org,2002:str", text.replace("${", "$${"), mark, mark, style='"')
