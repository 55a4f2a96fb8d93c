"""A strict Anthropic Messages client: what a response says, and every rule of the protocol that it breaks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from ...frames import parse_sse
from ...speech import Block, Call, Cite, Refuse, Text, Think, Usage, kind_of
from ..contract import Heard, HeardError, HttpAsk, content_type, cut, echo_check, expect, loads
from .words import HEARD_ERRORS, HEARD_STOPS

HEAD: dict[str, type] = {"id": str, "type": str, "role": str, "model": str, "content": list, "usage": dict}

DELTAS: dict[str, tuple[str, str]] = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
    "input_json_delta": ("", "partial_json"),
    "citations_delta": ("text", "citation"),
    "compaction_delta": ("compaction", "content"),
}
"""Delta type -> the block that it fits (any block with an `input` when empty) and the key that it carries."""


def hear(status: int, headers: Mapping[str, str], body: bytes, *, stream: bool, asked: HttpAsk | None = None) -> Heard:
    complaints: list[str] = []
    if status >= 400:
        content_type(headers, "application/json", complaints)
        return Heard(error=_error(status, loads(body), complaints), complaints=tuple(complaints))
    if stream:
        content_type(headers, "text/event-stream", complaints)
        return _stream(body, complaints)
    content_type(headers, "application/json", complaints)
    value = loads(body)
    if not isinstance(value, dict):
        return Heard(error=HeardError(status, "cut", "the body is not a JSON object"), complaints=("not JSON",))
    if value.get("type") == "error":
        return Heard(error=_error(200, value, complaints), complaints=("an error with status 200",))
    _head(value, "body", complaints)
    if value.get("stop_reason") is None:
        complaints.append("body: `stop_reason` is null")
    content = [block for block in value.get("content") or [] if isinstance(block, dict)]
    return _heard(content, value, value, value.get("usage"), (), complaints)


# ---- errors ----------------------------------------------------------------------------------------------------------


def _error(status: int, value: Any, complaints: list[str]) -> HeardError:
    """https://platform.claude.com/docs/en/api/errors"""
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(value, dict) or value.get("type") != "error":
        complaints.append('error: `type` is not "error"')
    if not isinstance(error, dict):
        complaints.append("error: the body has no `error` object")
        return HeardError(status, kind_of(status) if status >= 400 else "internal", str(value))
    expect(error, {"type": str, "message": str}, "error", complaints)
    kind = HEARD_ERRORS.get(str(error.get("type")))
    if kind is None:
        complaints.append(f"error: {error.get('type')!r} is no type of this protocol")
    if status >= 400 and kind is not None and kind != kind_of(status) and kind_of(status) != "media_type":
        complaints.append(f"error: {error.get('type')} does not go with status {status}")
    found = kind_of(status) if status >= 400 else kind or "internal"
    return HeardError(status, found, str(error.get("message", "")), str(error.get("type")), error)


# ---- unary -----------------------------------------------------------------------------------------------------------


def _head(message: Any, where: str, complaints: list[str]) -> None:
    expect(message, HEAD, where, complaints)
    if not isinstance(message, dict):
        return
    for key, wanted in (("type", "message"), ("role", "assistant")):
        if key in message and message[key] != wanted:
            complaints.append(f"{where}: `{key}` is {message[key]!r}, not {wanted!r}")
    # Both are nullable and always there. https://platform.claude.com/docs/en/api/messages
    for key in ("stop_reason", "stop_sequence"):
        if key not in message:
            complaints.append(f"{where}: `{key}` is missing")


def _heard(
    content: list[dict[str, Any]],
    head: dict[str, Any],
    ending: dict[str, Any],
    usage: Any,
    events: tuple[Any, ...],
    complaints: list[str],
) -> Heard:
    blocks: list[Block] = []
    for at, part in enumerate(content):
        block = _block(part, f"content[{at}]", complaints, streamed=bool(events))
        if block is not None:
            blocks.append(block)
    details = ending.get("stop_details") or {}
    if details.get("explanation"):
        blocks.append(Refuse(details["explanation"]))
    native, matched = ending.get("stop_reason"), ending.get("stop_sequence")
    stop = None if native is None else HEARD_STOPS.get(str(native), "other")
    if native is not None and (native == "stop_sequence") != (matched is not None):
        complaints.append(f"stop: stop_reason {native} does not go with stop_sequence {matched!r}")
    echo_check(blocks, stop, complaints)
    return Heard(
        blocks=tuple(blocks),
        cites=tuple(cite for part in content for cite in _cites(part, complaints)),
        stop=stop,
        matched=matched,
        native_stop=native,
        usage=_usage(usage, complaints),
        model=head.get("model"),
        id=head.get("id"),
        echo=({"role": "assistant", "content": [_echo(part) for part in content]},),
        events=events,
        complaints=tuple(complaints),
    )


def _echo(part: dict[str, Any]) -> dict[str, Any]:
    """A block as it goes back; streamed text that is no JSON stands in an object.

    "you may need to wrap it in a JSON object to ensure proper handling": {"INVALID_JSON": "<your invalid json string>"}
    https://platform.claude.com/docs/en/agents-and-tools/tool-use/fine-grained-tool-streaming
    """
    given = part.get("input")
    return part | {"input": {"INVALID_JSON": given}} if isinstance(given, str) else part


def _block(part: dict[str, Any], where: str, complaints: list[str], *, streamed: bool = False) -> Block | None:
    match part.get("type"):
        case "text":
            expect(part, {"text": str}, where, complaints)
            return Text(str(part.get("text", "")))
        case "thinking":
            expect(part, {"thinking": str, "signature": str}, where, complaints)
            return Think(str(part.get("thinking", "")), part.get("signature") or None)
        case "redacted_thinking":
            expect(part, {"data": str}, where, complaints)
            return Think("", part.get("data"), redacted=True)
        case "tool_use":
            given = part.get("input")
            # A stream may leave text that is no JSON, or none yet.
            kind = str if streamed and isinstance(given, str) else dict
            expect(part, {"id": str, "name": str, "input": kind}, where, complaints)
            text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, separators=(",", ":"))
            return Call(str(part.get("id", "")), str(part.get("name", "")), text)
        case None:
            complaints.append(f"{where}: `type` is missing")
        case _:
            pass
    return None


def _cites(part: dict[str, Any], complaints: list[str]) -> Iterator[Cite]:
    """The sources of a block; each is for the whole of it.

    https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool#citations and
    https://platform.claude.com/docs/en/build-with-claude/citations#response-structure
    """
    for cite in part.get("citations") or []:
        expect(cite, {"type": str, "cited_text": str}, "citation", complaints)
        url, title = None, cite.get("document_title")
        if cite.get("type") == "web_search_result_location":
            expect(cite, {"url": str, "encrypted_index": str}, "citation", complaints)
            url, title = str(cite.get("url")), cite.get("title")
        elif cite.get("type") == "search_result_location":
            url, title = str(cite.get("source")), cite.get("title")
        yield Cite(url, title, cite.get("cited_text") or None, str(part.get("text")))


def _usage(usage: Any, complaints: list[str]) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    expect(usage, {"input_tokens": int, "output_tokens": int}, "usage", complaints)
    return Usage(
        usage.get("input_tokens"),
        usage.get("output_tokens"),
        usage.get("cache_read_input_tokens"),
        usage.get("cache_creation_input_tokens"),
        (usage.get("output_tokens_details") or {}).get("thinking_tokens"),
    )


# ---- streaming -------------------------------------------------------------------------------------------------------


class _Assembly:
    """What the events so far amount to, and which block is open.

    "1. message_start … 2. A series of content blocks, each of which have a content_block_start, one or more
    content_block_delta events, and a content_block_stop event. … 3. One or more message_delta events … 4. A final
    message_stop event." https://platform.claude.com/docs/en/build-with-claude/streaming
    """

    def __init__(self, complaints: list[str]) -> None:
        self.complaints = complaints
        self.head: dict[str, Any] | None = None
        self.blocks: list[dict[str, Any]] = []
        self.json: list[str] = []
        self.open: int | None = None
        self.ending: dict[str, Any] = {}
        self.usage: dict[str, Any] = {}
        self.delta_seen = False
        self.stopped = False

    def event(self, value: dict[str, Any]) -> None:
        kind = value.get("type")
        if self.stopped:
            self.complaints.append(f"stream: {kind} after message_stop")
        if self.head is None and kind not in ("message_start", "ping"):
            self.complaints.append(f"stream: {kind} before message_start")
            self.head = {}
        match kind:
            case "message_start":
                self._start(value)
            case "content_block_start":
                self._open(value)
            case "content_block_delta":
                self._delta(value)
            case "content_block_stop":
                self._close(value)
            case "message_delta":
                self._message_delta(value)
            case "message_stop":
                if not self.delta_seen:
                    self.complaints.append("stream: message_stop without a message_delta")
                self.stopped = True
            case "ping":
                pass
            case _:
                self.complaints.append(f"stream: {kind!r} is no event of this protocol")

    def _start(self, value: dict[str, Any]) -> None:
        if self.head is not None:
            self.complaints.append("stream: message_start comes twice")
        message = value.get("message")
        _head(message, "message_start.message", self.complaints)
        self.head = message if isinstance(message, dict) else {}
        if self.head.get("content"):
            self.complaints.append("message_start: `content` is not empty")
        if self.head.get("stop_reason") is not None:
            self.complaints.append("message_start: `stop_reason` is not null")
        self.usage |= {key: count for key, count in (self.head.get("usage") or {}).items() if count is not None}

    def _open(self, value: dict[str, Any]) -> None:
        block, index = value.get("content_block"), value.get("index")
        if self.open is not None:
            self.complaints.append(f"stream: block {index} starts while {self.open} is open")
        if self.delta_seen:
            self.complaints.append("stream: a block after message_delta")
        if index != len(self.blocks):
            self.complaints.append(f"stream: block index {index}, {len(self.blocks)} was due")
        block = dict(block) if isinstance(block, dict) else {}
        where = f"content_block_start[{index}]"
        match block.get("type"):
            case "text":
                expect(block, {"text": str}, where, self.complaints)
            case "thinking":
                expect(block, {"thinking": str, "signature": str}, where, self.complaints)
            case "tool_use":
                expect(block, {"id": str, "name": str, "input": dict}, where, self.complaints)
                if block.get("input"):
                    self.complaints.append(f"{where}: `input` is not empty")
            case None:
                self.complaints.append(f"{where}: the block has no `type`")
            case _:
                pass
        self.blocks.append(block)
        self.json = []
        self.open = len(self.blocks) - 1

    def _delta(self, value: dict[str, Any]) -> None:
        delta = value.get("delta") or {}
        kind, index = delta.get("type"), value.get("index")
        if self.open is None or index != self.open:
            self.complaints.append(f"stream: a delta for block {index}, which is not open")
        if not isinstance(index, int) or not 0 <= index < len(self.blocks):
            return
        block = self.blocks[index]
        if kind not in DELTAS:
            self.complaints.append(f"stream: {kind!r} is no delta of this protocol")
            return
        fits, key = DELTAS[kind]
        if (fits and block.get("type") != fits) or (not fits and "input" not in block):
            self.complaints.append(f"stream: {kind} on an open {block.get('type')} block")
        if key not in delta:
            self.complaints.append(f"stream: {kind} has no `{key}`")
            return
        if kind == "input_json_delta":
            self.json.append(delta[key])
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta[key]]
        elif kind == "signature_delta":
            block[key] = delta[key]
        else:
            block[key] = (block.get(key) or "") + (delta[key] or "")

    def _close(self, value: dict[str, Any]) -> None:
        if self.open is None or value.get("index") != self.open:
            self.complaints.append(f"stream: content_block_stop for {value.get('index')}, which is not open")
            return
        self.finish_json()
        self.open = None

    def finish_json(self) -> None:
        """The arguments of the open block, once no more come; text that is no JSON object stays text."""
        text = "".join(self.json)
        if self.open is not None and text:
            parsed = loads(text.encode())
            self.blocks[self.open]["input"] = parsed if isinstance(parsed, dict) else text
        self.json = []

    def _message_delta(self, value: dict[str, Any]) -> None:
        if self.open is not None:
            self.complaints.append(f"stream: message_delta while block {self.open} is open")
        delta = value.get("delta")
        if not isinstance(delta, dict):
            self.complaints.append("message_delta: `delta` is missing")
            delta = {}
        for key in ("stop_reason", "stop_sequence"):
            if key not in delta:
                self.complaints.append(f"message_delta: `{key}` is missing")
        usage = value.get("usage")
        expect(usage, {"output_tokens": int}, "message_delta.usage", self.complaints)
        self.ending = delta
        # "The token counts shown in the usage field of the message_delta event are cumulative."
        # https://platform.claude.com/docs/en/build-with-claude/streaming
        self.usage |= {key: count for key, count in (usage or {}).items() if count is not None}
        self.delta_seen = True


def _stream(body: bytes, complaints: list[str]) -> Heard:
    parsed = parse_sse(body)
    assembly = _Assembly(complaints)
    events: list[Any] = []
    error: HeardError | None = None
    for event in parsed.events:
        value = loads(event.data.encode())
        events.append(value)
        if not isinstance(value, dict):
            complaints.append(f"stream: an event that is not a JSON object: {event.data[:60]!r}")
            continue
        if event.event != value.get("type"):
            complaints.append(f"stream: `event: {event.event}` does not name its type {value.get('type')!r}")
        if error is not None:
            complaints.append(f"stream: {value.get('type')} after an error")
        elif value.get("type") == "error":
            error = _error(200, value, complaints)
        else:
            assembly.event(value)
    if parsed.rest:
        complaints.append(f"stream: an unfinished event at the end: {parsed.rest[:60]!r}")
    if error is None and not assembly.stopped:
        error = cut("no message_stop")
    if error is not None and assembly.stopped:
        complaints.append("stream: an error after message_stop")
    assembly.finish_json()
    heard = _heard(
        assembly.blocks,
        assembly.head or {},
        assembly.ending,
        assembly.usage or None,
        tuple(events),
        complaints,
    )
    return replace(heard, error=error)
