"""Carries other providers' signatures through a chat client, in the `reasoning_details` of an assistant message.

A signature on a text travels as a detail of type reasoning.text without a text: the signature carrier. Thinking that
itself has no text is written as reasoning.encrypted, so that it is never taken for a carrier.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ...ir import Block, Reasoning, Signature, Text, signatures
from ..openai.tables import EMPTY_MARK
from .tables import NAME

# ---- encoding --------------------------------------------------------------------------------------------------------


def detail_out(block: Reasoning, signature: str | None, extra: dict[str, Any]) -> dict[str, Any]:
    """Returns the reasoning detail of a block, with its signature as the other side is given it."""
    if block.redacted:
        return {"type": "reasoning.encrypted", "data": signature or "", **extra}
    if block.summary and signature is None:
        return {"type": "reasoning.summary", "summary": block.text, **extra}
    return {"type": "reasoning.text", "text": block.text, **({"signature": signature} if signature else {}), **extra}


def foreign_detail_out(block: Reasoning, signature: Signature | None) -> dict[str, Any]:
    """Returns the detail of another protocol's thinking; without a text it is encrypted, because it is no carrier."""
    if signature is not None and not block.text and not block.redacted:
        signature = replace(signature, value=EMPTY_MARK + signature.value)
    block = replace(block, redacted=not block.text, extra=None)
    return detail_out(block, signatures.for_client(signature, NAME) if signature else None, {})


def carrier_out(signature: Signature) -> dict[str, Any]:
    """Returns the detail without a text that carries a text's signature."""
    return {"type": "reasoning.text", "text": "", "signature": signatures.for_client(signature, NAME)}


# ---- decoding --------------------------------------------------------------------------------------------------------


def attach_signatures(reasoning: tuple[Reasoning, ...], content: tuple[Block, ...]) -> tuple[Block, ...]:
    """Returns the blocks of an assistant message with every carrier removed and its signature on the first text."""
    carriers = [block for block in reasoning if _is_carrier(block)]
    if not carriers:
        return tuple(map(_without_mark, (*reasoning, *content)))
    kept = tuple(_without_mark(block) for block in reasoning if block not in carriers)
    texts = tuple(Text("", signature=block.signature) for block in carriers)
    match content:
        case (Text() as text, *rest):
            return (*kept, *texts[:-1], replace(text, signature=carriers[-1].signature), *rest)
        case _:
            return (*kept, *texts, *content)


def _is_carrier(block: Reasoning) -> bool:
    return not block.text and not block.redacted and block.signature is not None and block.signature.issuer is not None


def _without_mark(block: Block) -> Block:
    """Restores thinking without a text as its provider gave it: signed, not redacted."""
    if (
        not isinstance(block, Reasoning)
        or not block.redacted
        or block.signature is None
        or block.signature.issuer is None
        or not block.signature.value.startswith(EMPTY_MARK)
    ):
        return block
    signature = replace(block.signature, value=block.signature.value.removeprefix(EMPTY_MARK))
    return replace(block, signature=signature, redacted=False)
