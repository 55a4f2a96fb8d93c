"""The capabilities that backends declare, and those that a request requires."""

from __future__ import annotations

from .media_type import is_text_media
from .model import Audio, Block, Document, Image, Request, Text, Tool, ToolResult

CAPABILITIES: dict[str, str] = {
    "text": "text in, text out",
    "tools": "function calling",
    "tools.parallel": "several calls in one answer",
    "vision": "images in",
    "documents": "PDF and other documents in",
    "audio": "audio in",
    "reasoning": "thinking before the answer",
    "reasoning.signed": "thinking whose signature must go back",
    "json_object": "an answer that is some JSON object",
    "json_schema": "an answer that fits a JSON Schema",
    "embeddings": "vectors of texts, beside the chat",
}
"""Every capability name that configs, scenarios and decisions may use, and its meaning."""


TEXT_ONLY = frozenset(("text",))


def required_capabilities(request: Request) -> frozenset[str]:
    """Returns the capabilities without which a backend cannot serve this request."""
    needed = {"text"}
    if request.tools and any(isinstance(tool, Tool) or tool.hosted is None for tool in request.tools):
        needed.add("tools")
    if request.format is not None and request.format.kind != "text":
        needed.add(request.format.kind)
    for turn in request.turns:
        for block in turn.blocks:
            if type(block) is not Text:  # most are
                _media_capabilities(turn.blocks, needed)
                break
    return frozenset(needed) if len(needed) > 1 else TEXT_ONLY


def _media_capabilities(blocks: tuple[Block, ...], needed: set[str]) -> None:
    for block in blocks:
        match block:
            case Image():
                needed.add("vision")
            case Document(media) if not is_text_media(media):  # a text is sent as one where documents are not taken
                needed.add("documents")
            case Audio():
                needed.add("audio")
            case ToolResult(blocks=inner):
                _media_capabilities(inner, needed)
