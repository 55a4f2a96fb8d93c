"""Judges a request that was encoded for a backend: by the mock's rules, the SDK's types, and what the client said."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.protocol import MalformedRequest, ParsedRequest
from crosswire.mockserver.scenarios.model import (
    Audio,
    Block,
    Document,
    Image,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from crosswire.proxy.ir import Loss
from crosswire.proxy.ir.loss_tables import LOSS_RULES
from crosswire.proxy.protocols.protocol import Protocol, UpstreamRequest

from ..client import CLIENTS
from ..comparison import Difference, is_text_document, request_differences
from .block_order import KEEP_ORDER, request_order_errors
from .decoding import DecodedRecording
from .loss_matches import LossMatches, undeclared_texts
from .round_trip import request_round_trip
from .sdk_types import REQUEST, sdk_complaint
from .target_models import WITHOUT_REASONING
from .text_joints import joint_errors
from .told_blocks import without_added_start, without_told_blocks
from .turn_places import WIRE_LISTS, merged_turns, turn_places
from .vendor_rules import OWNERS, vendor_refusal

BYPASS_SIGNATURES = frozenset(
    {
        "skip_thought_signature_validator",
        "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=",
        "context_engineering_is_the_way_to_go",
        "Y29udGV4dF9lbmdpbmVlcmluZ19pc190aGVfd2F5X3RvX2dv",
    }
)
"""Documented values that stand for no signature. https://ai.google.dev/gemini-api/docs/thought-signatures#faqs"""

SAYS_NOTHING = (("$.top_logprobs", 0),)
"""Paths of fields and their values that ask for nothing more."""

SHOWS_REASONING = ("anthropic", "ollama")
"""Protocols that return reasoning without being asked to show it."""

MEDIA_CAPABILITIES: dict[type[Block], str] = {Image: "vision", Document: "documents", Audio: "audio"}
"""Type of a media block -> the capability without which a backend is not asked."""


MEDIA_FEATURES = ("image", "document", "audio", "video", "tool_result_media")
"""Features of the loss of media."""


class Judgement(Struct, frozen=True):
    """Faults of one encoded request, the features refused in it, and the rule with which the mock is too strict."""

    reasons: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    mock: str | None = None
    left_out: str | None = None


class RequestJudge:
    """Judges the requests that one recorded request becomes in one protocol."""

    def __init__(self, decoded: DecodedRecording, protocol: Protocol) -> None:
        self._decoded = decoded
        self._protocol = protocol
        self._is_own = protocol is decoded.protocol

    def judge(self, sent: UpstreamRequest, payload: dict[str, Any]) -> Judgement:
        """Judges one encoded request, given also as the backend parses it."""
        decoded, name = self._decoded, self._protocol.name
        parsed = decoded.parsed_request
        assert decoded.request is not None
        if isinstance(parsed, str):
            return Judgement((parsed,))
        address = self._protocol.address(sent.target.model, decoded.request.stream)
        try:
            received = MOCK_PROTOCOLS[name].parse_request(address, {}, payload)
        except MalformedRequest as fault:
            return Judgement((f"the mock rejects the encoded request: {fault}",))
        parsed, received = _without_bypasses(parsed), _without_bypasses(received)
        whole, told = received, set[str]()
        if not self._is_own:
            received, told = without_told_blocks(parsed, received)
            received = without_added_start(parsed, received) if name == "gemini" else received
        found = [entry for entry in self._differences(parsed, received, sent.target.model) if entry.path not in told]
        places = turn_places(decoded.protocol.name, decoded.recording.request, parsed, decoded.request)
        matches = LossMatches(sent.losses, places)
        missing = self._missing_capabilities(parsed)
        fatal = [loss for loss in sent.losses if LOSS_RULES[loss.feature].action == "refuse"]
        if missing or fatal:
            lost = matches.excused(found)
            needless = [
                f"{loss.feature} at {loss.path}"
                for loss in fatal
                if loss not in lost
                and not _says_nothing(loss, received, decoded.protocol.name, decoded.recording.request)
            ]
            if not fatal and not any(entry.feature in MEDIA_FEATURES for entry in found):
                needless += [f"the capability {capability}" for capability in missing]
            refused = dict.fromkeys((*missing, *(loss.feature for loss in fatal)))
            reasons = [f"refused for {what}, though nothing is lost there" for what in needless]
            return Judgement(tuple(reasons), tuple(refused))
        reasons = undeclared_texts(matches, found)
        reasons += joint_errors(parsed, received)
        if name in KEEP_ORDER:
            reasons += request_order_errors(parsed, received)
        mock: str | None = None
        refusal = vendor_refusal(
            name,
            address,
            payload,
            known=(whole,) if self._is_own else (),
            headers=decoded.recording.request_headers if self._is_own else None,
            compatible=self._is_compatible,
        )
        if refusal is not None and self._is_own and self._recorded_refusal is not None:
            mock = self._recorded_refusal
        elif refusal is not None and "base64" in refusal and (damage := damaged_media(parsed)) is not None:
            return Judgement(left_out=damage)
        elif refusal is not None:
            reasons.append(f"the vendor refuses it: {refusal}")
        complaint = sdk_complaint(name, REQUEST, payload)
        # the recorded request itself may be of a shape that only its host accepts
        if complaint is not None and not (self._is_own and self._breaks_sdk_types):
            reasons.append(f"the SDK's type: {complaint}")
        if self._is_own:
            difference = request_round_trip(decoded, decoded.request, copy.deepcopy(payload), address)
            reasons += [] if difference is None else [difference]
        return Judgement(tuple(reasons), (), mock)

    # ---- the recorded request itself ---------------------------------------------------------------------------------

    @property
    def _is_compatible(self) -> bool:
        """True if the recorded host is compatible with the target protocol without owning it."""
        owners = OWNERS.get(self._protocol.name)
        return self._is_own and owners is not None and self._decoded.recording.host not in owners

    @cached_property
    def _breaks_sdk_types(self) -> bool:
        return sdk_complaint(self._protocol.name, REQUEST, self._decoded.recording.request) is not None

    @cached_property
    def _recorded_refusal(self) -> str | None:
        """The message with which the mock refuses the recorded request, though its provider took it."""
        recording, parsed = self._decoded.recording, self._decoded.parsed_request
        known = () if isinstance(parsed, str) else (parsed,)
        path, headers = recording.path, recording.request_headers
        try:
            return vendor_refusal(
                recording.protocol,
                path,
                recording.request,
                known=known,
                headers=headers,
                compatible=self._is_compatible,
            )
        except (AttributeError, TypeError, KeyError, IndexError, ValueError) as fault:
            return f"the mock raises {type(fault).__name__}: {fault}"

    # ---- differences -------------------------------------------------------------------------------------------------

    def _missing_capabilities(self, parsed: ParsedRequest) -> list[str]:
        """Returns the capabilities for lack of which the proxy does not ask a backend of this protocol."""
        held = {type(block) for block in _blocks(parsed) if not is_text_document(block)}
        return [
            capability
            for kind, capability in MEDIA_CAPABILITIES.items()
            if kind in held and capability not in self._protocol.capabilities
        ]

    def _differences(self, parsed: ParsedRequest, received: ParsedRequest, model: str) -> list[Difference]:
        """Returns what the backend receives differently, without what it receives in another spelling or place."""
        decoded, name = self._decoded, self._protocol.name
        found = request_differences(parsed, decoded.client, received, CLIENTS[name], name)
        texts = (getattr(block, "text", None) for block in _blocks(received))
        text = "\n".join(text for text in texts if text)
        text = "\n".join((*received.system, text))
        readable = [entry for entry in found if entry.path.startswith("$") and _is_readable(entry.sent, text)]
        kept = [
            entry
            for entry in found
            if entry not in readable
            and not (entry.path.startswith("reasoning") and entry.sent in ("none", True) and model in WITHOUT_REASONING)
            and not (entry.path == "$.reasoning.summary" and (received.show_reasoning or name in SHOWS_REASONING))
            and (entry.path, entry.sent) not in SAYS_NOTHING
            # an empty object and an empty text are the same result
            and not (entry.path.endswith("].text") and (entry.sent, entry.received) == ("", "{}"))
            and not (entry.path.startswith("$") and self._is_moved(entry, received))
            and not (readable and entry.path.endswith(".text") and _holds(entry.sent, entry.received))
        ]
        return kept

    def _is_moved(self, entry: Difference, received: ParsedRequest) -> bool:
        """Returns True if a field arrived in its other spelling, or a provider's own tool at another place."""
        if not self._is_own:
            return False
        path = _spelling(entry.path)
        is_tool = path.startswith("$.tools[")
        sent = _one_spelling(entry.sent)
        return any(
            _one_spelling(value) == sent
            and (_spelling(other) == path or (is_tool and _spelling(other).startswith("$.tools[")))
            for other, value in received.extra.items()
        )


def _says_nothing(loss: Loss, received: ParsedRequest, protocol: str, body: Any) -> bool:
    """Returns True if a request is refused because a turn says nothing, or because nothing is left that does.

    "messages.0: user messages must have non-empty content": the error of the API of Anthropic, and of other hosts.
    """
    if loss.feature == "empty_turn":
        items = body.get(WIRE_LISTS[protocol])
        return isinstance(items, list) and any(not _holds_anything(item) for item in items)
    if loss.path == "turns" and loss.feature in ("content", "empty_input"):
        return not any(map(_is_said, received.turns))
    return False


def _holds_anything(value: Any) -> bool:
    """Returns True if a message has any text that is not blank, besides its role and the types of its parts."""
    if isinstance(value, dict):
        return any(_holds_anything(inner) for key, inner in value.items() if key not in ("role", "type", "thought"))
    if isinstance(value, list):
        return any(map(_holds_anything, value))
    return bool(value.strip()) if isinstance(value, str) else value is not None


def _is_said(turn: Turn) -> bool:
    return any(not isinstance(block, Text) or block.text.strip() for block in turn.blocks)


DAMAGED = "an image that is no base64 in any spelling, as the recorder replaced a part of it"


def damaged_media(request: ParsedRequest) -> str | None:
    """Returns why no target could take an image of a recording, or None: base64 of 4n + 1 letters holds no bytes."""
    data = (block.data for block in _blocks(request) if isinstance(block, Image) and block.data)
    return DAMAGED if any(len("".join(text.split()).rstrip("=")) % 4 == 1 for text in data) else None


def _spelling(path: str) -> str:
    """Returns a path in one spelling: Gemini accepts camelCase and snake_case."""
    return path.replace("_", "").lower()


def _one_spelling(value: Any) -> Any:
    """Returns a JSON value with all names in one spelling."""
    if isinstance(value, dict):
        return {_spelling(key): _one_spelling(inner) for key, inner in value.items()}
    return [_one_spelling(inner) for inner in value] if isinstance(value, list) else value


def _blocks(request: ParsedRequest) -> Iterator[Any]:
    """Yields all blocks, those of tool results included."""
    for turn in merged_turns(request):
        for block in turn.blocks:
            yield block
            if isinstance(block, ToolResult):
                yield from block.blocks


def _texts_in(value: Any) -> Iterator[str]:
    """Yields the texts that a provider's own block shows to the model."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "text" and isinstance(inner, str):
                yield inner
            else:
                yield from _texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts_in(inner)


def _is_readable(value: Any, text: str) -> bool:
    """Returns True if the texts of a provider's own block arrived as text."""
    held = [inner for inner in _texts_in(value) if inner.strip()] if isinstance(value, dict) else []
    return bool(held) and all(inner in text for inner in held)


def _holds(sent: Any, received: Any) -> bool:
    """Returns True if the parts of a text arrived in their order, with others between them."""
    at = 0
    for part in str(sent).split("\0"):
        place = str(received).find(part, at)
        if place < 0:
            return False
        at = place + len(part)
    return True


def _without_bypasses(request: ParsedRequest) -> ParsedRequest:
    """Returns the request without signatures that are documented as none."""
    turns = []
    for turn in request.turns:
        blocks = tuple(
            replace(block, signature=None)
            if isinstance(block, Thinking | ToolCall) and block.signature in BYPASS_SIGNATURES
            else block
            for block in turn.blocks
        )
        turns.append(Turn(turn.role, blocks))
    return replace(request, turns=tuple(turns))
