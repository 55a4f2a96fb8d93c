"""Reads the most frequent reply, one choice of plain text, at a fraction of what decoding costs.

A relay passes the bytes on, so what the client gets does not depend on it; the record needs the usage and the stop
reason. Every field has one type here, and any other field or value is left to `decode_reply`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from ...ir import Reply, Text
from ...ir.repairs import Repairs
from ..openai.usage import usage_in
from .reply_decoder import stop_in
from .tables import NAME


class _Message(Struct, forbid_unknown_fields=True):
    role: Literal["assistant"]
    content: Annotated[str, Meta(min_length=1)]
    refusal: None = None
    annotations: Annotated[list[None], Meta(max_length=0)] | None = None
    tool_calls: None = None
    function_call: None = None
    audio: None = None
    reasoning_content: None = None
    reasoning: None = None


class _Choice(Struct, forbid_unknown_fields=True):
    message: _Message
    finish_reason: Literal["stop", "length"]
    index: int = 0
    logprobs: None = None


class _Body(Struct, forbid_unknown_fields=True):
    id: str
    model: str
    choices: tuple[_Choice]
    usage: dict[str, Any]
    object: str = ""
    created: int = 0
    system_fingerprint: str | None = None
    service_tier: str | None = None
    error: None = None


decode = msgspec.json.Decoder(_Body).decode


def plain_reply(body: bytes) -> Reply | None:
    """The reply without its extra fields; None where it is not plain."""
    try:
        found = decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if not found.usage:
        return None
    choice, repairs = found.choices[0], Repairs()
    return Reply(
        protocol=NAME,
        id=found.id,
        model=found.model,
        blocks=(Text(choice.message.content),),
        stop=stop_in(choice.finish_reason, False, repairs),
        native=choice.finish_reason,
        usage=usage_in(found.usage, repairs),
        repaired=repairs.names(),
    )
