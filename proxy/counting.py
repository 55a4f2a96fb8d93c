"""How many tokens a request has: asked of its backend where that can count, else estimated and marked.

It knows what each protocol's counting address takes and says, and no more of a request than its neutral form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from . import wire
from .backends.door import Door
from .backends.http import HttpBackend
from .errand import Errand, Job
from .errors import Malformed
from .ir import Audio, Block, Document, Image, Reasoning, Refusal, Request, Text, Tool, ToolCall, ToolResult
from .needs import required_capabilities
from .protocols.contract import Target, Where
from .relay import Relay
from .told import Whole

# ---- the estimate ----------------------------------------------------------------------------------------------------

# "a token is equivalent to about 4 characters": https://ai.google.dev/gemini-api/docs/tokens
# Of scripts whose characters have three bytes, a token has about one and a third: so bytes are counted, not characters.
BYTES_A_TOKEN = 4
TURN = 4
"""Tokens of what parts one turn from the next, and of a tool's or a call's frame."""
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


def estimated(request: Request) -> int:
    """Tokens of a request by rule of thumb: never 0, and of no model in particular."""
    total = sum(TURN + sum(map(_block, turn.blocks)) for turn in request.turns)
    for tool in request.tools:
        said = (
            (tool.name, tool.description or "", tool.parameters, tool.grammar) if isinstance(tool, Tool) else tool.data
        )
        total += TURN + of_text(wire.encode(said))
    if request.format is not None and request.format.schema is not None:
        total += of_text(wire.encode(request.format.schema))
    return max(1, total)


def of_text(text: str | bytes) -> int:
    """Tokens of a text: a quarter of its bytes in UTF-8, rounded up."""
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // BYTES_A_TOKEN)


def _block(block: Block) -> int:
    match block:
        case Text(text) | Refusal(text) | Reasoning(text):
            return of_text(text)
        case Image():
            return IMAGE
        case Document(media):
            if media.text is not None:
                return of_text(media.text)
            return PAGE * max(1, _size(media.data) // PAGE_BYTES)
        case Audio(media):
            return SECOND * max(1, _size(media.data) // SECOND_BYTES)
        case ToolCall(name=name, arguments=arguments):
            return TURN + of_text(name) + of_text(arguments)
        case ToolResult(blocks=inner):
            return TURN + sum(map(_block, inner))
        case _:
            return of_text(wire.encode(block.data))


def _size(base64: str | None) -> int:
    return len(base64 or "") * 3 // 4


# ---- as a backend ----------------------------------------------------------------------------------------------------


class Counter(Struct, frozen=True):
    """How backends of one protocol count: the address below the base URL, the body, and where the number stands."""

    path: Callable[[str], str]
    body: Callable[[Mapping[str, Any], str], dict[str, Any]]
    key: str

    def number(self, raw: bytes) -> int:
        body = wire.parse_object(raw)
        return wire.need(body, self.key, int)


# https://platform.claude.com/docs/en/api/messages/count_tokens
_ANTHROPIC_FIELDS = (
    *("model", "messages", "system", "tools", "tool_choice", "thinking"),
    *("output_config", "cache_control", "mcp_servers", "context_management", "speed"),
)
# https://platform.openai.com/docs/api-reference/responses/input-tokens
_RESPONSES_FIELDS = (
    *("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text"),
    *("truncation", "conversation", "previous_response_id", "personality"),
)


def _only(fields: Iterable[str]) -> Callable[[Mapping[str, Any], str], dict[str, Any]]:
    return lambda payload, _: {key: payload[key] for key in fields if key in payload}


COUNTERS: dict[str, Counter] = {
    "anthropic": Counter(lambda _: "/v1/messages/count_tokens", _only(_ANTHROPIC_FIELDS), "input_tokens"),
    "openai-responses": Counter(lambda _: "/responses/input_tokens", _only(_RESPONSES_FIELDS), "input_tokens"),
    # "generateContentRequest: … The overall input given to the Model. This includes the prompt as well as other model
    # steering information like system instructions, and/or function declarations": https://ai.google.dev/api/tokens
    "gemini": Counter(
        lambda model: f"/v1beta/models/{quote(model, safe='')}:countTokens",
        lambda payload, model: {"generateContentRequest": {"model": f"models/{model}", **payload}},
        "totalTokens",
    ),
}
"""By protocol; backends of the others cannot count, and what they would say is estimated."""


# ---- as a frontend ---------------------------------------------------------------------------------------------------


class Counted(Struct, frozen=True):
    """How clients of one protocol ask: where in the body the request stands, Gemini's method, and the answer's body."""

    request: Callable[[dict[str, Any]], dict[str, Any]]
    method: str | None
    answer: Callable[[int], dict[str, Any]]


def _wrapped(body: dict[str, Any]) -> dict[str, Any]:
    inner = (body[key] for key in ("generateContentRequest", "generate_content_request") if key in body)
    found = next(inner, body)
    if not isinstance(found, dict):
        raise Malformed("generateContentRequest", f"must be an object, is {wire.describe(found)}")
    return found


FRONTENDS: dict[str, Counted] = {
    "anthropic": Counted(lambda body: body, None, lambda count: {"input_tokens": count}),
    "openai-responses": Counted(
        lambda body: {**body, "input": body.get("input") or ""},  # every field is optional here
        None,
        lambda count: {"object": "response.input_tokens", "input_tokens": count},
    ),
    "gemini": Counted(_wrapped, "generateContent", lambda count: {"totalTokens": count}),
}
"""By protocol; the others' clients have no such address."""


async def count(errand: Errand) -> Whole:
    """The number of tokens of the request in the body, routed as the request itself would be."""
    asking = errand.asking
    counted = FRONTENDS[asking.frontend.name]
    bare = True

    def decode(body: dict[str, Any]) -> Request:
        nonlocal bare
        inner = counted.request(body)
        bare = inner is body or counted.method is None
        return asking.frontend.decode_request(inner, Where(asking.where.model, counted.method))

    request = errand.understood(decode)

    def job(door: Door, target: Target) -> Job[tuple[int, bool]]:
        return _job(errand, request, door, target, bare)

    found, is_estimate = await errand.ask(request.model, required_capabilities(request), job)
    return errand.answer(wire.encode(counted.answer(found)), is_estimate=is_estimate)


def _job(errand: Errand, request: Request, door: Door, target: Target, bare: bool) -> Job[tuple[int, bool]]:
    """What this backend is asked: the client's own bytes if it is of the same kind, else the request as it takes it.

    A backend that cannot count takes the request all the same, or this would count what it refuses.
    """
    guess = (estimated(request), True)
    backend = door.backend
    counter = COUNTERS.get(backend.protocol) if isinstance(door, HttpBackend) else None
    relay = Relay.between(errand.asking.frontend, request, backend, target)
    if counter is None:
        losses = () if relay is not None else door.encode(request, target).losses
        return Job(lambda _: guess, losses=losses)
    read = lambda raw: (counter.number(raw), False)  # noqa: E731 - as a job takes it
    path = counter.path(target.model)
    # Gemini's wrapped form names the model within
    if relay is not None and (bare or request.model == target.model):
        return Job(read, path, relay.request(errand.asking.body), relayed=True, otherwise=lambda: guess)
    sent = door.encode(request, target)
    body = wire.encode(counter.body(sent.payload, target.model))
    return Job(read, path, body, losses=sent.losses, otherwise=lambda: guess)
