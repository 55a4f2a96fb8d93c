"""Encodes blocks as the items of a conversation, which have the same shape in requests, replies and streams."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from ...ir import Block, Citation, Reasoning, Refusal, Text, ToolCall
from ...ir.tool_names import ToolNameMap
from ...wire import json_fields
from .tables import CALL_ID_LENGTH


def group_by_item(blocks: tuple[Block, ...]) -> Iterator[list[tuple[int, Block]]]:
    """Yields the blocks of each item, with their indices."""
    group: list[tuple[int, Block]] = []
    for b, block in enumerate(blocks):
        if group and not same_item(group[-1][1], block):
            yield group
            group = []
        group.append((b, block))
    if group:
        yield group


def same_item(before: Block, block: Block) -> bool:
    """Tells whether two adjacent blocks are parts of one item: of one message, or of one grouped reasoning item."""
    match before, block:
        case ((Text() | Refusal()), (Text() | Refusal())):
            # a signature is carried behind the item
            signed = isinstance(before, Text) and before.signature is not None
            return before.group == block.group and not signed
        case Reasoning(group=int(first)), Reasoning(group=second):
            return first == second
    return False


def split_item_extra(extra: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits a block's extra fields into those of the part and those of the item, which are kept under `item.`."""
    part = {key: value for key, value in extra.items() if not key.startswith("item.")}
    return part, {key[5:]: value for key, value in extra.items() if key.startswith("item.")}


def part_out(block: Text | Refusal, extra: dict[str, Any]) -> dict[str, Any]:
    if isinstance(block, Refusal):
        return {"type": "refusal", "refusal": block.text, **extra}
    others = extra.get("annotations", [])
    annotations = [citation_out(citation, block.text) for citation in block.citations]
    return {"type": "output_text", "text": block.text, **extra, "annotations": annotations + others}


def citation_out(citation: Citation, text: str) -> dict[str, Any]:
    """Returns an annotation; its bounds are required, so a citation without any covers the whole text."""
    return {
        "type": "url_citation",
        "start_index": citation.start or 0,
        "end_index": len(text) if citation.end is None else citation.end,
        "url": citation.url,
        "title": citation.title or "",
    }


def reasoning_out(blocks: list[Reasoning], signature: str | None) -> dict[str, Any]:
    """Returns a reasoning item with the blocks' extra fields put back."""
    item: dict[str, Any] = {"type": "reasoning", "summary": []}
    for block in blocks:
        extra, item_extra = split_item_extra(block.extra or {})
        item |= item_extra
        if block.summary:
            item["summary"].append({"type": "summary_text", "text": block.text, **extra})
        elif block.text:
            item.setdefault("content", []).append({"type": "reasoning_text", "text": block.text, **extra})
    if signature is not None:
        item["encrypted_content"] = signature
    return item


def call_out(call: ToolCall, names: ToolNameMap | None, extra: dict[str, Any]) -> dict[str, Any]:
    name = names.wire(call.name, call.namespace) if names else call.name
    item: dict[str, Any] = {"type": "function_call", "call_id": call_id(call.id), "name": name}
    if call.kind == "custom":
        item |= {"type": "custom_tool_call", "input": call.arguments}
    else:
        item["arguments"] = call.arguments or "{}"
    if call.namespace is not None and name == call.name:
        item["namespace"] = call.namespace
    return {**item, **extra}


def completed_message(message: dict[str, Any], parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns a message as the service returns one; the id, whose prefix is required, is the same in every turn."""
    digest = sha256(json_fields.encode(parts)).hexdigest()
    return {**message, "id": f"msg_{digest[:40]}", "status": "completed"}


def call_id(id_: str) -> str:
    """Shortens an id of more than 64 characters to a digest, the same in the call, its result and every turn."""
    return id_ if len(id_) <= CALL_ID_LENGTH else f"call_{sha256(id_.encode()).hexdigest()[:40]}"
