"""What a request needs of a backend to be served at all, in the words of the capabilities."""

from __future__ import annotations

from .ir import Audio, Block, Document, Image, Request, ToolResult


def required_capabilities(request: Request) -> frozenset[str]:
    """What a backend must be able to do to serve this request at all."""
    needed = {"text"}
    if request.tools:
        needed.add("tools")
    if request.format is not None and request.format.kind != "text":
        needed.add(request.format.kind)
    for turn in request.turns:
        _media_capabilities(turn.blocks, needed)
    return frozenset(needed)


def _media_capabilities(blocks: tuple[Block, ...], needed: set[str]) -> None:
    for block in blocks:
        match block:
            case Image():
                needed.add("vision")
            case Document():
                needed.add("documents")
            case Audio():
                needed.add("audio")
            case ToolResult(blocks=inner):
                _media_capabilities(inner, needed)
