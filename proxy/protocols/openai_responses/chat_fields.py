"""Puts fields of a Chat Completions request that this protocol has too into a Responses request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...ir import Loss
from ...ir.losses import declare_loss, is_harmless
from .tables import SAME_TIERS, SERVICE_TIERS


def put_chat_fields(fields: Mapping[str, Any], payload: dict[str, Any], losses: list[Loss]) -> None:
    """Sets the fields, which have this protocol's names, and declares a service tier that it does not know."""
    for key, value in fields.items():
        if key == "service_tier" and value not in SERVICE_TIERS:
            # other chat hosts have words of their own: https://console.groq.com/docs/service-tiers
            if value is not None and value not in SAME_TIERS:
                losses.append(declare_loss("service_tier", "service_tier"))
        elif not is_harmless(key, value):
            outer = payload.setdefault("text", {}) if key.startswith("text.") else payload
            outer[key.removeprefix("text.")] = value
