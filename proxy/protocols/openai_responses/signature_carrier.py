"""Carries other providers' signatures through a Responses client, in the `encrypted_content` of a reasoning item.

A signature travels in an empty reasoning item, the signature carrier: that of a call directly before it, that of a text
behind it, as its provider tells it. An empty item alone does not tell a carrier from thinking that has no text, so the
token's mark says which of them it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec.structs import replace

from ...ir import Block, Reasoning, Signature, Text, ToolCall, signatures
from ..openai.tables import EMPTY_MARK
from .tables import NAME

Signed = Literal["next", "last", "text", "empty", "redacted"]

MARKS: dict[Signed, str] = {
    "next": "",  # the call or text that follows
    "last": "\0last\0",  # the text before, or a call before whose signature came late in a stream
    "text": "\0text\0",  # an empty text
    "empty": EMPTY_MARK,  # thinking without a text
    "redacted": "\0redacted\0",  # redacted thinking
}
"""The prefix of the signature inside a token, by what it signs; no provider's signature holds a NUL."""


def carrier_token(signature: Signature, signed: Signed) -> str:
    """Returns the `encrypted_content` for a signature: a Responses provider's as it is, any other as a token."""
    if signature.protocol == NAME or signature.issuer is None:
        return signatures.for_client(signature, NAME)
    return signatures.for_client(replace(signature, value=MARKS[signed] + signature.value), NAME)


def thinking_token(block: Reasoning, signature: Signature) -> str:
    """Returns the `encrypted_content` for a signature on thinking."""
    return carrier_token(signature, "next" if block.text else "redacted" if block.redacted else "empty")


def attach_signatures(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Returns the blocks of an assistant turn with every carrier removed and its signature on the block it signs."""
    out: list[Block] = []
    pending: Signature | None = None
    for block in blocks:
        if isinstance(block, Reasoning) and block.signature is not None and block.signature.issuer is not None:
            signed, signature = _split_mark(block.signature)
            if pending is not None:
                out.append(Text("", signature=pending))
                pending = None
            match signed:
                case "empty" | "redacted":
                    out.append(replace(block, signature=signature, redacted=signed == "redacted"))
                case "next" if block.text:
                    out.append(block)
                case "next":
                    pending = signature
                case "last":
                    _sign_last(out, signature)
                case "text":
                    out.append(Text("", signature=signature))
            continue
        if pending is not None:
            if isinstance(block, Text | ToolCall):
                block = replace(block, signature=pending)
            else:
                out.append(Text("", signature=pending))
            pending = None
        out.append(block)
    if pending is not None:
        out.append(Text("", signature=pending))
    return tuple(out)


def _split_mark(signature: Signature) -> tuple[Signed, Signature]:
    for signed, mark in MARKS.items():
        if mark and signature.value.startswith(mark):
            return signed, replace(signature, value=signature.value[len(mark) :])
    return "next", signature


def _sign_last(blocks: list[Block], signature: Signature) -> None:
    for index in range(len(blocks) - 1, -1, -1):
        block = blocks[index]
        if isinstance(block, Text | ToolCall):
            blocks[index] = replace(block, signature=signature)
            return
    blocks.append(Text("", signature=signature))
