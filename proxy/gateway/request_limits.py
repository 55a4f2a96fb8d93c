"""Refuses a decoded request whose names or tools are beyond the limits of the config."""

from __future__ import annotations

import re

from ..config.limits import Limits
from ..errors import ClientError, failure
from ..ir import Request, Tool

_SEPARATOR = re.compile(r"[/\\]")


def check_model(model: str, limits: Limits) -> None:
    """Raises ClientError for a name that is too long or that no model has: paths, logs and headers hold it."""
    if len(model) > limits.name_length:
        raise _too_much("model", f"has more than {limits.name_length} characters", "name_length")
    if not model.isprintable() or (".." in model and ".." in _SEPARATOR.split(model)):
        text = "Invalid request: model: is no model's name: it has a control character, or `..` between slashes."
        raise ClientError(failure("bad_request", text, param="model"))


def check_request(request: Request, limits: Limits) -> None:
    """Raises ClientError where the model's name, a tool's name or the number of tools is beyond the limits."""
    check_model(request.model, limits)
    if len(request.tools) > limits.tools:
        raise _too_much("tools", f"has more than {limits.tools} entries", "tools")
    for index, tool in enumerate(request.tools):
        if isinstance(tool, Tool) and len(tool.name) > limits.name_length:
            what = f"has a name of more than {limits.name_length} characters"
            raise _too_much(f"tools[{index}]", what, "name_length")


def _too_much(path: str, what: str, key: str) -> ClientError:
    text = f"Invalid request: {path}: {what}; raise limits.{key} to allow it."
    return ClientError(failure("bad_request", text, param=path))
