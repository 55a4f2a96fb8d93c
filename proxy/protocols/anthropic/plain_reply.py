"""Reads the most frequent reply, one block of plain text, at a fraction of what decoding costs.

Every field has one type here, and any other field or value is left to `decode_reply`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from ...ir import Reply, Text
from ...ir.repairs import Repairs
from .reply_decoder import stop_in, usage_in, without_defaults
from .tables import NAME


class _Block(Struct, forbid_unknown_fields=True):
    type: Literal["text"]
    text: Annotated[str, Meta(min_length=1)]
    citations: None = None


class _Body(Struct, forbid_unknown_fields=True):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: tuple[_Block]
    stop_reason: Literal["end_turn", "max_tokens"]
    usage: dict[str, Any]
    stop_sequence: None = None
    container: None = None


decode = msgspec.json.Decoder(_Body).decode


def plain_reply(body: bytes, is_relayed: bool) -> Reply | None:
    """The reply, of a relayed one without its extra fields; None where it is not plain."""
    try:
        found = decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    repairs = Repairs()
    usage = usage_in(found.usage, repairs)
    rest = without_defaults(found.usage) if found.usage and not is_relayed else None
    return Reply(
        protocol=NAME,
        id=found.id,
        model=found.model,
        blocks=(Text(found.content[0].text),),
        stop=stop_in(found.stop_reason, False, repairs),
        native=found.stop_reason,
        usage=usage,
        extra={"usage": rest} if rest else None,
        repaired=repairs.names(),
    )
