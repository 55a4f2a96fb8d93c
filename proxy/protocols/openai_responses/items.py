"""Blocks as the items of a conversation: the part that requests, replies and streams share.

It knows an item's wire shape, and not whether a client or a backend gets it.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from ... import wire
from ...ir import (
    Block,
    Citation,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from ...names import Names
from .words import CALL_ID_LENGTH


def runs(blocks: tuple[Block, ...]) -> Iterator[list[tuple[int, Block]]]:
    """The blocks of one answer as those of one item each, with their places."""
    run: list[tuple[int, Block]] = []
    for b, block in enumerate(blocks):
        if run and not continues(run[-1][1], block):
            yield run
            run = []
        run.append((b, block))
    if run:
        yield run


def continues(before: Block, block: Block) -> bool:
    """Whether a block belongs to the item of the one before: parts of one message, or of one tied reasoning item."""
    match before, block:
        case ((Text() | Refusal()), (Text() | Refusal())):
            sealed = any(isinstance(one, Text) and one.seal for one in (before, block))
            return before.group == block.group and not sealed
        case Reasoning(group=int(one)), Reasoning(group=other):
            return one == other
    return False


def split_own(own: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A block's left-over fields: those of the part, and those of the item around it."""
    part = {key: value for key, value in own.items() if not key.startswith("item.")}
    return part, {key[5:]: value for key, value in own.items() if key.startswith("item.")}


def part_out(block: Text | Refusal, own: dict[str, Any]) -> dict[str, Any]:
    if isinstance(block, Refusal):
        return {"type": "refusal", "refusal": block.text, **own}
    others = own.get("annotations", [])
    annotations = [citation_out(citation, block.text) for citation in block.citations]
    return {"type": "output_text", "text": block.text, **own, "annotations": annotations + others}


def citation_out(citation: Citation, text: str) -> dict[str, Any]:
    """An annotation, whose bounds are required: one without any is of the whole text."""
    return {
        "type": "url_citation",
        "start_index": citation.start or 0,
        "end_index": len(text) if citation.end is None else citation.end,
        "url": citation.url,
        "title": citation.title or "",
    }


def reasoning_out(blocks: list[Reasoning], seal: str | None) -> dict[str, Any]:
    """A reasoning item; left-over fields that the blocks still have are put back."""
    item: dict[str, Any] = {"type": "reasoning", "summary": []}
    for block in blocks:
        own, item_own = split_own(block.own or {})
        item |= item_own
        if block.summary:
            item["summary"].append({"type": "summary_text", "text": block.text, **own})
        elif block.text:
            item.setdefault("content", []).append({"type": "reasoning_text", "text": block.text, **own})
    if seal is not None:
        item["encrypted_content"] = seal
    return item


def call_out(call: ToolCall, names: Names | None, own: dict[str, Any]) -> dict[str, Any]:
    name = names.wire(call.name, call.namespace) if names else call.name
    item: dict[str, Any] = {"type": "function_call", "call_id": call_id(call.id), "name": name}
    if call.kind == "custom":
        item |= {"type": "custom_tool_call", "input": call.arguments}
    else:
        item["arguments"] = call.arguments or "{}"
    if call.namespace is not None and name == call.name:
        item["namespace"] = call.namespace
    return {**item, **own}


def as_said(message: dict[str, Any], parts: list[dict[str, Any]]) -> dict[str, Any]:
    """A message as the service itself gives one; its id, which must begin so, is the same in every turn."""
    digest = sha256(wire.encode(parts)).hexdigest()
    return {**message, "id": f"msg_{digest[:40]}", "status": "completed"}


def call_id(id_: str) -> str:
    """A call's id, which may have 64 characters: a longer one becomes its digest, the same in every turn."""
    return id_ if len(id_) <= CALL_ID_LENGTH else f"call_{sha256(id_.encode()).hexdigest()[:40]}"
