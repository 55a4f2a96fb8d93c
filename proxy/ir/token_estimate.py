"""Estimates how many tokens a request has, where no backend counts them."""

from __future__ import annotations

from ..wire import json_fields
from . import Audio, Block, Document, Image, Reasoning, Refusal, Request, Text, Tool, ToolCall, ToolResult, Video

# "a token is equivalent to about 4 characters": https://ai.google.dev/gemini-api/docs/tokens
# A token has about one and a third characters of a script whose characters have three bytes: so bytes are counted.
BYTES_PER_TOKEN = 4
TURN = 4
"""Tokens that separate one turn from the next, and that frame a tool or a call."""
IMAGE = 1600
"""Tokens of an image, at most: "(width px * height px)/750", in at most 1568 px on a side and 1.15 megapixels:
https://platform.claude.com/docs/en/build-with-claude/vision"""
PAGE_BYTES = 50_000
"""Bytes of a page of a PDF, roughly; "each page typically uses 1,500-3,000 tokens":
https://platform.claude.com/docs/en/build-with-claude/pdf-support"""
PAGE = 2000
SECOND_BYTES = 16_000
"""Bytes of a second of sound at 128 kbit/s; "32 tokens per second": https://ai.google.dev/gemini-api/docs/audio"""
SECOND = 32


def estimate_request(request: Request) -> int:
    """Tokens of a request by rule of thumb: never 0, and for no model in particular."""
    total = sum(TURN + sum(map(_block, turn.blocks)) for turn in request.turns)
    for tool in request.tools:
        definition = (
            (tool.name, tool.description or "", tool.parameters, tool.grammar) if isinstance(tool, Tool) else tool.data
        )
        total += TURN + estimate_text(json_fields.encode(definition))
    if request.format is not None and request.format.schema is not None:
        total += estimate_text(json_fields.encode(request.format.schema))
    return max(1, total)


SMALL = 16_000
"""Bytes of a body up to which its size alone is a good estimate: it holds no images or documents."""


def estimate_prompt(request: Request, body: bytes) -> int:
    """Tokens of a request that are reserved before it is sent: by the size of a small body, which is never too few."""
    return -(-len(body) // BYTES_PER_TOKEN) if len(body) <= SMALL else estimate_request(request)


def estimate_text(text: str | bytes) -> int:
    """Tokens of a text: a quarter of its bytes in UTF-8, rounded up."""
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // BYTES_PER_TOKEN)


def _block(block: Block) -> int:
    match block:
        case Text(text) | Refusal(text) | Reasoning(text):
            return estimate_text(text)
        case Image():
            return IMAGE
        case Document(media):
            if media.text is not None:
                return estimate_text(media.text)
            return PAGE * max(1, _decoded_size(media.data) // PAGE_BYTES)
        case Audio(media):
            return SECOND * max(1, _decoded_size(media.data) // SECOND_BYTES)
        case ToolCall(name=name, arguments=arguments):
            return TURN + estimate_text(name) + estimate_text(arguments)
        case ToolResult(blocks=inner):
            return TURN + sum(map(_block, inner))
        case Video(media):
            return SECOND * max(1, _decoded_size(media.data) // SECOND_BYTES)
        case _:
            return estimate_text(json_fields.encode(block.data))


def _decoded_size(base64: str | None) -> int:
    return len(base64 or "") * 3 // 4
