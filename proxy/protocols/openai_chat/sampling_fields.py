"""Puts the sampling, the stop sequences and the bound of the answer's length into a Chat Completions request."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ...ir import Loss, Request
from ...ir.bounded_values import bounded_temperature
from ...ir.losses import declare_loss
from ...ir.stop_sequences import said_stops
from ...wire import json_fields
from ..protocol import UpstreamTarget
from .tables import LIMITS, NAME, SAMPLERS


def samplers(request: Request, target: UpstreamTarget) -> tuple[Request, dict[str, Any]]:
    """Returns the request without the samplers that this host has, and those under the names that it has for them."""
    names = {
        key: name for quirk, table in SAMPLERS.items() if quirk in target.traits.takes for key, name in table.items()
    }
    if not names or not request.extra:
        return request, {}
    found, rest = json_fields.renamed(request.extra, names)
    return (replace(request, extra=rest), found) if found else (request, found)


def put_sampling(request: Request, target: UpstreamTarget, payload: dict[str, Any], losses: list[Loss]) -> None:
    sampling = request.sampling
    renames = target.traits.renames
    for key in ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty"):
        value = getattr(sampling, key)
        if key == "temperature" and request.protocol != NAME:
            most = target.limits.get("temperature", LIMITS["temperature"])
            value = bounded_temperature(request, most, losses)
        if value is not None:
            payload[renames.get(key, key)] = value
    if sampling.top_k is not None:
        if "top_k" in target.traits.takes or request.protocol == NAME:
            payload["top_k"] = sampling.top_k
        else:
            losses.append(declare_loss("sampling.top_k", "top_k"))
    if request.max_tokens is not None:
        # "max_tokens: Deprecated in favor of max_completion_tokens, and is not compatible with o-series models."
        # https://platform.openai.com/docs/api-reference/chat/create
        payload[renames.get("max_completion_tokens", "max_completion_tokens")] = request.max_tokens
    stops = said_stops(request.stop, losses)
    if stops and "stop" not in target.traits.refuses:
        most = int(target.limits.get("stop", LIMITS["stop"]))
        payload["stop"] = list(stops[:most])  # at the others the proxy cuts the answer
