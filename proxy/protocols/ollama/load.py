"""Answers the requests by which clients of Ollama load and unload a model: those without anything to generate.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md#load-a-model
"""

from __future__ import annotations

import re

from ...ir import Reply, Request
from .tables import NAME

_ZERO = re.compile(r"[+-]?0+(\.0*)?(ns|us|µs|ms|s|m|h)?")


def reply_to_load(request: Request, relayed: bool) -> Reply | None:
    """Returns the reply to a request without a prompt, where no Ollama server loads the model.

    "If an empty prompt is provided, the model will be loaded into memory" and "If an empty prompt is provided and the
    keep_alive parameter is set to 0, a model will be unloaded from memory."
    """
    if relayed or request.turns:
        return None
    keep = (request.extra or {}).get("keep_alive")
    unloads = keep == 0 or (type(keep) is str and _ZERO.fullmatch(keep) is not None)
    return Reply(
        protocol=NAME, id=None, model=request.model, blocks=(), stop="end", native="unload" if unloads else "load"
    )
