"""Judges whether a cheap model's answer is good enough, or the better model of a cascade should be called."""

from __future__ import annotations

import re

from ..errors import Malformed, UpstreamError
from ..ir import Failure, Refusal, Reply, Text, ToolCall
from ..wire import json_fields

HEDGES = (
    "i am not sure",
    "i'm not sure",
    "i am unsure",
    "i'm unsure",
    "i do not know",
    "i don't know",
    "i cannot answer",
    "i can't answer",
    "i am unable to",
    "i'm unable to",
    "i don't have enough information",
    "i do not have enough information",
)
"""Beginnings of an answer that gives none."""

_HEDGE = re.compile(
    rf"\W*(?:(?:sorry|i apologi[sz]e)\W+(?:but\W+)?)?(?:{'|'.join(map(re.escape, HEDGES))})\b", re.IGNORECASE
)


def check_quality(reply: Reply) -> None:
    """Raises UpstreamError where an answer is poor, so that the next model of the cascade is called."""
    if why := unsure(reply):
        text = f"The cheap model's answer was not used: {why}."
        raise UpstreamError(Failure("unsure", text, 502, code="unsure"))


def unsure(reply: Reply) -> str | None:
    """Says why an answer is poor: broken tool arguments, a refusal, nothing, or a hedge; None where it is good."""
    calls = [block for block in reply.blocks if isinstance(block, ToolCall)]
    for call in calls:
        if call.kind == "function" and not _is_object(call.arguments):
            return f"the arguments of its call of {call.name!r} are no JSON object"
    if any(isinstance(block, Refusal) for block in reply.blocks) or reply.stop == "filter":
        return "it refused"
    text = "".join(block.text for block in reply.blocks if isinstance(block, Text)).replace("\u2019", "'")
    if not calls and not text.strip():
        return "it is empty"
    if not calls and _HEDGE.match(text):
        return "it says that it does not know"
    return None


def _is_object(text: str) -> bool:
    try:
        json_fields.parse_object(text.encode() or b"{}")
    except Malformed:
        return False
    return True
