"""Allowances for gateways: ways other than those of this house that no vendor forbids, and what they only left out.

The comparisons of the suite hold Crosswire to its own choices: ids that stay, results in one order, one text for an
error. Where the vendors leave the choice, a difference is one by the rules of the house alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.model import ToolCall, ToolResult, Turn

from ..checks.signatures import PLACEHOLDER_SIGNATURES
from ..client.protocol import ClientProtocol, ParsedReply
from ..comparison import WRONG, Difference
from ..comparison.blocks import MEDIA, SEAM, Media, of_kind, parse_arguments
from ..comparison.json_schema import normalize_schema
from ..comparison.request import NAMES_FORMATS
from ..comparison.turns import merge_turns

LEFT_OUT: dict[str, str] = {
    "max_tokens": "max_tokens",
    "stop": "stop",
    "user": "user",
    "thinking": "reasoning_text",
    "signatures": "signature",
    "refusal": "refusal",
    "usage": "usage",
    "usage.cache_read": "usage",
    "usage.cache_write": "usage",
    "usage.reasoning": "usage",
}
"""Path of a difference -> the feature that is lost where the other side got nothing of it."""

CHAT_MESSAGE = (
    "The message of a chat completion has content, refusal, annotations, audio and tool_calls, and none for reasoning.",
    "https://platform.openai.com/docs/api-reference/chat/object",
)

OLLAMA_MESSAGE = (
    "The message of an answer has content, thinking, images and tool_calls; no member holds a signature or a refusal.",
    "https://docs.ollama.com/api/chat",
)

NO_PLACE: dict[tuple[str, str], tuple[str, str]] = {
    ("openai-chat", "reasoning_text"): CHAT_MESSAGE,
    ("openai-chat", "signature"): CHAT_MESSAGE,
    ("ollama", "signature"): OLLAMA_MESSAGE,
    ("ollama", "refusal"): OLLAMA_MESSAGE,
}
"""Protocol of the client and feature of a reply -> the vendor's rule by which there is no place for it.

Hosts have members of their own for some of them, which no client has to know.
"""

FREE_SHAPES: dict[str, re.Pattern[str]] = {
    "openai-chat": re.compile(r"delta: `role` comes again|usage: comes though not asked for"),
    # what the reference requires of a response: https://platform.openai.com/docs/api-reference/responses/object;
    # the official SDKs end a stream at `[DONE]` in any protocol
    "openai-responses": re.compile(
        r"stream: \[DONE\]"
        r"|[a-z_.]+: `(max_output_tokens|previous_response_id|reasoning|status|store|text|text\.format|truncation)`"
        r" (is missing|is of the wrong type: None)"
        r"|[a-z_.]+: `(completed_at|usage)` is missing|usage: is missing"
    ),
    # "we may add new event types, and your code should handle unknown event types gracefully"
    # https://platform.claude.com/docs/en/build-with-claude/streaming
    "anthropic": re.compile(
        r"stream: (None|'[a-z_.]+') is no event of this protocol|stream: None after message_stop"
        r"|stream: `event: [a-z_.]+` does not name its type None"
    ),
    # no member of an answer is required there, and clients ignore those that they do not know
    "gemini": re.compile(
        r"response: `(responseId|modelVersion)` (is missing|changes)|content: `parts` is not an array that holds one"
        r"|part: an empty text|\w+: there is no field|body: `usageMetadata` is missing|stream: no `usageMetadata`"
    ),
}
"""Protocol of the client -> complaints about its shape that break no rule of its owner's."""

ENDS_BY_ITS_REASON = ("openai-chat", "anthropic")
"""Protocols whose SDKs take a stream for whole that told why it stopped, though its last event is missing."""


def is_free_shape(client: str, complaint: str) -> bool:
    """Returns whether a complaint about a reply is about what the protocol's owner leaves open."""
    found = FREE_SHAPES.get(client)
    return found is not None and found.match(complaint) is not None


def lacks_only_its_last_event(client: ClientProtocol, reply: ParsedReply) -> bool:
    """Returns whether a reply counts as cut, though it told why it stopped."""
    cut = reply.error is not None and reply.error.kind == "cut"
    return cut and reply.stop is not None and client.name in ENDS_BY_ITS_REASON


def left_out(difference: Difference) -> str | None:
    """Returns the feature that was left out, where a difference is only that nothing of it arrived."""
    if difference.feature != WRONG or (difference.received and difference.path != "signatures"):
        return None
    if difference.path == "signatures" and len(difference.received or ()) >= len(difference.sent):
        return None
    if difference.path.startswith("$."):
        return "unknown_field"
    return LEFT_OUT.get(difference.path)


ECHOED = re.compile(r"(\$\.[a-z]+\[\d+\]).*")
"""A path in a request, with the place of the message, item or content in it."""


def echoed_places(body: dict[str, Any], replies: Iterable[ParsedReply]) -> frozenset[str]:
    """Returns the places of a request's body that hold what earlier replies gave, unchanged."""
    given = [item for reply in replies for item in reply.echo]
    lists = ((key, value) for key, value in body.items() if isinstance(value, list))
    return frozenset(f"$.{key}[{at}]" for key, value in lists for at, item in enumerate(value) if item in given)


class RequestWays(Struct, frozen=True):
    """Judges differences of a request: which of them no vendor forbids.

    `echoes` are the places in the client's request of what it sends back as the gateway gave it to it.
    """

    sent: ParsedRequest
    received: ParsedRequest
    client: ClientProtocol
    upstream: ClientProtocol
    echoes: frozenset[str] = frozenset()

    def is_free(self, difference: Difference) -> bool:
        """Returns whether a difference is one by the rules of the house alone."""
        path = re.sub(r"\[\d+\]", "[]", difference.path)
        if path.startswith("$."):
            return ECHOED.sub(r"\1", difference.path) in self.echoes
        if path == "turns" and difference.feature == WRONG and "system" in map(_role, self.sent.turns):
            # a late instruction that has no place of its own is told beside, as a loss; its words are kept somewhere
            parts = SEAM.join(map(str, difference.sent)).split(SEAM)
            return all(part in str(difference.received) for part in parts)
        if path.endswith(".calls"):
            return bool(calls_without_ids(difference.sent) == calls_without_ids(difference.received))
        if path.startswith("turns[].results[]") and difference.feature == WRONG:
            return same_results(self.sent, self.received)
        if path == "turns[].results[].media":
            # put where the target has pictures for sure, it has arrived
            return {*map(_identity, difference.sent)} <= {*map(_identity, self._media())}
        if path == "turns[].text" and _is_joined(str(difference.sent), str(difference.received)):
            return True
        if path == "turns[].text" and self._has_results_with_media():
            # where a result holds only text, what else it has goes into the user's turn, with any words beside it
            parts = str(difference.sent).split(SEAM)
            return all(part in str(difference.received) for part in parts)
        if path == "signatures" and not difference.sent:
            return all(signature in PLACEHOLDER_SIGNATURES for signature in difference.received or ())
        if path == "format" and difference.feature == WRONG:
            return True  # told once more, as a loss of `json_schema` or `json_object`
        if path in ("format.strict", "format.name"):
            return self.client.name not in NAMES_FORMATS
        if path.startswith("tools.") and path.endswith(".parameters"):
            return bool(_plain_schema(difference.sent) == _plain_schema(difference.received))
        return False

    def _media(self) -> Iterator[Media]:
        """Yields the pictures and documents that arrived, wherever they stand."""
        for turn in self.received.turns:
            yield from of_kind(turn.blocks, *MEDIA)
            for result in of_kind(turn.blocks, ToolResult):
                yield from of_kind(result.blocks, *MEDIA)

    def _has_results_with_media(self) -> bool:
        results = (block for turn in self.sent.turns for block in of_kind(turn.blocks, ToolResult))
        return any(of_kind(result.blocks, *MEDIA) for result in results)


def _identity(block: Media) -> tuple[str | None, str | None]:
    return (block.data, block.url)


def _is_joined(sent: str, received: str) -> bool:
    """Returns whether two texts differ only in the blanks between the parts of the first."""
    return re.fullmatch(r"\s*".join(map(re.escape, sent.split(SEAM))), received.replace(SEAM, " ")) is not None


def _role(turn: Turn) -> str:
    return turn.role


def is_free_in_reply(difference: Difference, sent: ParsedReply) -> bool:
    """Returns whether a difference of a reply is one by the rules of the house alone."""
    if difference.path == "reply.calls":
        return bool(calls_without_ids(difference.sent) == calls_without_ids(difference.received))
    if difference.path == "signatures":
        # some clients need one beside any thinking; a made-up one is harmless until it reaches a provider
        return len(difference.received or ()) >= len(difference.sent)
    if difference.path.startswith("usage."):
        # what the provider did not count may be estimated
        return sent.usage is None or getattr(sent.usage, difference.path.removeprefix("usage."), 0) is None
    return False


def calls_without_ids(calls: Any) -> Any:
    """Returns compared calls without their ids: a gateway may have ids of its own, if it keeps them apart."""
    return [tuple(call[1:]) for call in calls] if isinstance(calls, list) else calls


def same_results(sent: ParsedRequest, received: ParsedRequest) -> bool:
    """Returns whether each call has the same result in both requests, in whatever order and under whatever ids.

    A result is the same within an object that holds it, and beside words that say that it is an error: "response: …
    Use 'output' key to specify function output and 'error' key to specify error details (if any). If 'output' and
    'error' keys are not specified, then whole 'response' is treated as function output."
    https://ai.google.dev/api/caching#FunctionResponse
    """
    one, other = dict(_answers(sent)), dict(_answers(received))
    return one.keys() == other.keys() and all(_says(text, other[at]) for at, text in one.items())


def _answers(request: ParsedRequest) -> Iterator[tuple[int, str]]:
    """Yields the number of each answered call, counted from the first, with the text of its result."""
    calls: list[ToolCall] = []
    waiting: list[int] = []
    for turn in merge_turns(request.turns):
        found = of_kind(turn.blocks, ToolCall)
        if found:
            waiting = list(range(len(calls), len(calls) + len(found)))
            calls += found
        for result in of_kind(turn.blocks, ToolResult):
            at = _answered(result, calls, waiting)
            if at is not None:
                waiting.remove(at)
                yield at, result.text


def _answered(result: ToolResult, calls: list[ToolCall], waiting: list[int]) -> int | None:
    """Returns the number of the call that a result answers: by its id, else by its name, else the next one."""
    by_id = [at for at in waiting if result.id and calls[at].id == result.id]
    by_name = [at for at in waiting if result.name and calls[at].name == result.name]
    return next(iter(by_id or by_name or waiting), None)


def _says(sent: str, received: str) -> bool:
    one, other = _innermost(sent), _innermost(received)
    return one == other or (isinstance(one, str) and one in str(other if isinstance(other, str) else received))


def _innermost(text: str) -> Any:
    """Returns a result without the object around it."""
    value = parse_arguments(text)
    while isinstance(value, dict) and len(value) == 1:
        (value,) = value.values()
        value = parse_arguments(value) if isinstance(value, str) and value.startswith("{") else value
    return value


def _plain_schema(schema: Any) -> Any:
    """Returns a schema in JSON Schema's words without what says nothing and with what an object has anyway."""
    value = normalize_schema(schema or {})

    def plain(part: Any) -> Any:
        if isinstance(part, list):
            return [plain(inner) for inner in part]
        if not isinstance(part, dict):
            return part
        says_nothing = {"description": "", "required": []}
        return {key: plain(inner) for key, inner in part.items() if says_nothing.get(key, ...) != inner}

    return {"type": "object", "properties": {}} | plain(value)
