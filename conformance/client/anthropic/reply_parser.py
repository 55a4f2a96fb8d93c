"""Parses Anthropic Messages replies strictly: neutral content, and a complaint for every broken rule."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from crosswire.mockserver.framing import parse_sse
from crosswire.mockserver.scenarios.model import Block, Refusal, Text, Thinking, ToolCall, Usage

from ..protocol import HttpRequest, ParsedError, ParsedReply
from ..reply_checks import check_content_type, check_keys, check_tool_calls, cut_error, parse_json
from .citations import cited_sources
from .error_parser import parse_error, parse_error_reply
from .tables import STOP_REASONS

MESSAGE_KEYS: dict[str, type] = {"id": str, "type": str, "role": str, "model": str, "content": list, "usage": dict}

DELTAS: dict[str, tuple[str, str]] = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
    "input_json_delta": ("", "partial_json"),
    "citations_delta": ("text", "citation"),
    "compaction_delta": ("compaction", "content"),
}
"""Delta type -> type of its block (if empty, any block with an `input`) and the key that it carries."""


def parse_reply(
    status: int, headers: Mapping[str, str], body: bytes, *, stream: bool, request: HttpRequest | None = None
) -> ParsedReply:
    """Parses a reply; nothing in it depends on `request`."""
    complaints: list[str] = []
    if status >= 400:
        return parse_error_reply(status, headers, body)
    if stream:
        check_content_type(headers, "text/event-stream", complaints)
        return _parse_stream(body, complaints)
    check_content_type(headers, "application/json", complaints)
    value = parse_json(body)
    if not isinstance(value, dict):
        return ParsedReply(error=ParsedError(status, "cut", "the body is not a JSON object"), complaints=("not JSON",))
    if value.get("type") == "error":
        return ParsedReply(error=parse_error(200, value, complaints), complaints=("an error with status 200",))
    _check_message(value, "body", complaints)
    if value.get("stop_reason") is None:
        complaints.append("body: `stop_reason` is null")
    content = [block for block in value.get("content") or [] if isinstance(block, dict)]
    return _build_reply(content, value, value, value.get("usage"), (), complaints)


# ---- unary -----------------------------------------------------------------------------------------------------------


def _check_message(message: Any, where: str, complaints: list[str]) -> None:
    check_keys(message, MESSAGE_KEYS, where, complaints)
    if not isinstance(message, dict):
        return
    for key, wanted in (("type", "message"), ("role", "assistant")):
        if key in message and message[key] != wanted:
            complaints.append(f"{where}: `{key}` is {message[key]!r}, not {wanted!r}")
    # both are required and nullable: https://platform.claude.com/docs/en/api/messages
    for key in ("stop_reason", "stop_sequence"):
        if key not in message:
            complaints.append(f"{where}: `{key}` is missing")


def _build_reply(
    content: list[dict[str, Any]],
    head: dict[str, Any],
    ending: dict[str, Any],
    usage: Any,
    events: tuple[Any, ...],
    complaints: list[str],
) -> ParsedReply:
    blocks: list[Block] = []
    for at, part in enumerate(content):
        block = _parse_block(part, f"content[{at}]", complaints, streamed=bool(events))
        if block is not None:
            blocks.append(block)
    details = ending.get("stop_details") or {}
    if details.get("explanation"):
        blocks.append(Refusal(details["explanation"]))
    native, matched = ending.get("stop_reason"), ending.get("stop_sequence")
    stop = None if native is None else STOP_REASONS.get(str(native), "other")
    if native is not None and (native == "stop_sequence") != (matched is not None):
        complaints.append(f"stop: stop_reason {native} does not go with stop_sequence {matched!r}")
    check_tool_calls(blocks, stop, complaints)
    return ParsedReply(
        blocks=tuple(blocks),
        cites=tuple(cite for part in content for cite in cited_sources(part, complaints)),
        stop=stop,
        matched_stop=matched,
        native_stop=native,
        usage=_parse_usage(usage, complaints),
        model=head.get("model"),
        id=head.get("id"),
        echo=({"role": "assistant", "content": [_echo(part) for part in content]},),
        events=events,
        complaints=tuple(complaints),
    )


def _echo(part: dict[str, Any]) -> dict[str, Any]:
    """Returns a block as the client sends it back; invalid JSON of a stream is wrapped in an object.

    "you may need to wrap it in a JSON object to ensure proper handling": {"INVALID_JSON": "<your invalid json string>"}
    https://platform.claude.com/docs/en/agents-and-tools/tool-use/fine-grained-tool-streaming
    """
    given = part.get("input")
    return part | {"input": {"INVALID_JSON": given}} if isinstance(given, str) else part


def _parse_block(part: dict[str, Any], where: str, complaints: list[str], *, streamed: bool = False) -> Block | None:
    match part.get("type"):
        case "text":
            check_keys(part, {"text": str}, where, complaints)
            return Text(str(part.get("text", "")))
        case "thinking":
            check_keys(part, {"thinking": str, "signature": str}, where, complaints)
            return Thinking(str(part.get("thinking", "")), part.get("signature") or None)
        case "redacted_thinking":
            check_keys(part, {"data": str}, where, complaints)
            return Thinking("", part.get("data"), redacted=True)
        case "tool_use":
            given = part.get("input")
            # streamed arguments may be invalid or unfinished JSON
            kind = str if streamed and isinstance(given, str) else dict
            check_keys(part, {"id": str, "name": str, "input": kind}, where, complaints)
            text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, separators=(",", ":"))
            return ToolCall(str(part.get("id", "")), str(part.get("name", "")), text)
        case None:
            complaints.append(f"{where}: `type` is missing")
        case _:
            pass
    return None


def _parse_usage(usage: Any, complaints: list[str]) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    check_keys(usage, {"input_tokens": int, "output_tokens": int}, "usage", complaints)
    return Usage(
        usage.get("input_tokens"),
        usage.get("output_tokens"),
        usage.get("cache_read_input_tokens"),
        usage.get("cache_creation_input_tokens"),
        (usage.get("output_tokens_details") or {}).get("thinking_tokens"),
    )


# ---- streaming -------------------------------------------------------------------------------------------------------


class _ReplyAssembler:
    """Assembles a streamed reply and tracks the open block.

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
        self.broken = False  # the message began again within a call

    def add(self, value: dict[str, Any]) -> None:
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
            # what was told of a call cannot be taken back, and its rest never comes
            self.broken = self.broken or self.json != []
        message = value.get("message")
        _check_message(message, "message_start.message", self.complaints)
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
                check_keys(block, {"text": str}, where, self.complaints)
            case "thinking":
                check_keys(block, {"thinking": str, "signature": str}, where, self.complaints)
            case "tool_use":
                check_keys(block, {"id": str, "name": str, "input": dict}, where, self.complaints)
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
        block_type, key = DELTAS[kind]
        if (block_type and block.get("type") != block_type) or (not block_type and "input" not in block):
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
        """Sets the arguments of the open block once all were received; text that is not a JSON object stays text."""
        text = "".join(self.json)
        if self.open is not None and text:
            parsed = parse_json(text.encode())
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
        check_keys(usage, {"output_tokens": int}, "message_delta.usage", self.complaints)
        self.ending = delta
        # "The token counts shown in the usage field of the message_delta event are cumulative."
        # https://platform.claude.com/docs/en/build-with-claude/streaming
        self.usage |= {key: count for key, count in (usage or {}).items() if count is not None}
        self.delta_seen = True


def _parse_stream(body: bytes, complaints: list[str]) -> ParsedReply:
    parsed = parse_sse(body)
    assembler = _ReplyAssembler(complaints)
    events: list[Any] = []
    error: ParsedError | None = None
    for event in parsed.events:
        value = parse_json(event.data.encode())
        events.append(value)
        if not isinstance(value, dict):
            complaints.append(f"stream: an event that is not a JSON object: {event.data[:60]!r}")
            continue
        if event.event != value.get("type"):
            complaints.append(f"stream: `event: {event.event}` does not name its type {value.get('type')!r}")
        if error is not None:
            complaints.append(f"stream: {value.get('type')} after an error")
        elif value.get("type") == "error":
            error = parse_error(200, value, complaints)
        else:
            assembler.add(value)
    if parsed.rest:
        complaints.append(f"stream: an unfinished event at the end: {parsed.rest[:60]!r}")
    if error is None and not assembler.stopped:
        error = cut_error("no message_stop")
    elif error is None and assembler.broken:
        error = cut_error("the message begins again within a call")
    if error is not None and assembler.stopped and not assembler.broken:
        complaints.append("stream: an error after message_stop")
    assembler.finish_json()
    reply = _build_reply(
        assembler.blocks,
        assembler.head or {},
        assembler.ending,
        assembler.usage or None,
        tuple(events),
        complaints,
    )
    return replace(reply, error=error)
