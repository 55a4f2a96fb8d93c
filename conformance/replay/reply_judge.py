"""Judges a reply that a client receives against the provider's, each as parsed by its own protocol's strict client."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from crosswire.mockserver.scenarios.model import Tool
from crosswire.proxy.ir import Loss

from ..checks.tool_names import ToolMatches
from ..client import CLIENTS
from ..client.protocol import ParsedReply
from ..comparison import reply_differences
from .block_order import KEEP_ORDER, order_errors
from .citation_matches import citation_differences
from .loss_matches import LossMatches, undeclared_texts
from .signature_matches import signature_errors
from .text_joints import thinking_errors
from .usage_totals import usage_errors, wire_totals

JUDGED_HERE = ("usage", "citations")
"""First words of the paths of differences that are found more exactly here."""


def judge_reply(
    sent: ParsedReply,
    provider: str,
    received: ParsedReply,
    client: str,
    losses: Iterable[Loss],
    sent_values: Sequence[Any],
    received_values: Sequence[Any],
    names: ToolMatches | None = None,
    tools: Sequence[Tool] = (),
) -> list[str]:
    """Returns what the client received otherwise than it was sent and no loss declares.

    `provider` and `client` are the protocols of the two sides; the values are the JSON values of both replies.
    """
    found = reply_differences(sent, CLIENTS[provider], received, CLIENTS[client], names, tools)
    found = [entry for entry in found if entry.path.partition(".")[0] not in JUDGED_HERE]
    matches = LossMatches(tuple(losses))
    if sent.error is not None or received.error is not None:
        return undeclared_texts(matches, found)
    found += citation_differences(sent, received, json.dumps(sent_values, ensure_ascii=False))
    reasons = undeclared_texts(matches, found)
    reasons += usage_errors(wire_totals(provider, sent_values), wire_totals(client, received_values), client)
    reasons += signature_errors(sent, provider, received, client)
    reasons += thinking_errors(sent.blocks, received.blocks, "reply")
    if client in KEEP_ORDER:
        reasons += order_errors(sent.blocks, received.blocks, "reply")
    return reasons
