"""Reads the key `tracing`: where traces go, which share of them, and how many spans may wait."""

from __future__ import annotations

from typing import Any

import yaml

from ..observability.trace_settings import TraceSettings
from .urls import parse_base_url
from .yaml_reader import FORBIDDEN_IN_NAMES, ConfigReader, child_path

KEYS = ("endpoint", "headers", "sample", "service", "queue", "timeout_s")

ENDPOINT = "give the full URL of the collector, such as http://127.0.0.1:4318/v1/traces"


def read_tracing(reader: ConfigReader, node: yaml.Node, path: str) -> TraceSettings | None:
    """Reads the settings of traces."""
    found = reader.mapping(node, path, KEYS)
    if "endpoint" not in found:
        reader.complain(node, f"{path}.endpoint", f"is missing; {ENDPOINT}")
        return None
    given: dict[str, Any] = {"endpoint": _read_endpoint(reader, found["endpoint"], f"{path}.endpoint")}
    if "headers" in found:
        given["headers"] = _read_headers(reader, found["headers"], f"{path}.headers")
    if "sample" in found:
        given["sample"] = _read_share(reader, found["sample"], f"{path}.sample")
    if "service" in found:
        given["service"] = reader.text(found["service"], f"{path}.service")
    if "queue" in found:
        given["queue"] = reader.integer(found["queue"], f"{path}.queue", 1)
    if "timeout_s" in found:
        given["timeout_s"] = reader.number(found["timeout_s"], f"{path}.timeout_s", 0.1)
    if given["endpoint"] is None:
        return None
    return TraceSettings(**{key: value for key, value in given.items() if value is not None})


def _read_endpoint(reader: ConfigReader, node: yaml.Node, path: str) -> str | None:
    text = reader.text(node, path, ENDPOINT)
    if text is None:
        return None
    url, wrong = parse_base_url(text)
    if wrong is not None:
        reader.complain(node, path, wrong.replace("put the key under api_key", f"put the key under {path[:-8]}headers"))
        return None
    return url


def _read_headers(reader: ConfigReader, node: yaml.Node, path: str) -> dict[str, str]:
    headers = {}
    for name, value in reader.mapping(node, path, None).items():
        text = reader.text(value, child_path(path, name))
        if text is None:
            continue
        if not name.isascii() or not name.replace("-", "").isalnum():
            reader.complain(value, child_path(path, name), "is not a valid header name; use letters, digits and '-'")
        elif FORBIDDEN_IN_NAMES.search(text) or not text.isascii():
            what = "is not a valid header value; use printable ASCII on one line"
            reader.complain(value, child_path(path, name), what)
        else:
            headers[name.lower()] = text
    return headers


def _read_share(reader: ConfigReader, node: yaml.Node, path: str) -> float | None:
    value = reader.number(node, path, 0)
    if value is not None and value > 1:
        reader.complain(node, path, "is more than 1; give the share of the traces, such as 0.1 for every tenth")
        return None
    return value
