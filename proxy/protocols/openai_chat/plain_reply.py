"""Reads the most frequent reply, one choice of plain text, at a fraction of what decoding costs.

Every field has one type here, and any other field or value is left to `decode_reply`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

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
    audio: UnsetType | None = UNSET
    reasoning_content: None = None
    reasoning: None = None


class _Choice(Struct, forbid_unknown_fields=True):
    message: _Message
    finish_reason: Literal["stop", "length"]
    index: int | UnsetType = UNSET
    logprobs: UnsetType | None = UNSET


class _Body(Struct, forbid_unknown_fields=True):
    id: str
    model: str
    choices: tuple[_Choice]
    usage: dict[str, Any]
    object: str | UnsetType = UNSET
    created: int | UnsetType = UNSET
    service_tier: str | UnsetType | None = UNSET
    system_fingerprint: str | UnsetType | None = UNSET
    error: UnsetType | None = UNSET


decode = msgspec.json.Decoder(_Body).decode


def plain_reply(body: bytes, is_relayed: bool) -> Reply | None:
    """The reply, of a relayed one without its extra fields; None where it is not plain."""
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
        extra=None if is_relayed else _extra_in(found, choice),
        repaired=repairs.names(),
    )


def _extra_in(found: _Body, choice: _Choice) -> dict[str, Any] | None:
    fields = (
        ("object", found.object),
        ("created", found.created),
        ("service_tier", found.service_tier),
        ("system_fingerprint", found.system_fingerprint),
        ("error", found.error),
        ("choices[0].index", choice.index),
        ("choices[0].logprobs", choice.logprobs),
        ("choices[0].message.audio", choice.message.audio),
    )
    return {path: value for path, value in fields if value is not UNSET} or None
