"""Makes a story for the mock server of a request that was seen, with its texts replaced: structure without content.

Kept are the roles, the kinds and the order of all parts, the names of tools and of their parameters, numbers, and what
was asked for. Replaced are texts, values, ids and media; what no story can say is named in a comment.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import yaml

from ..errors import Malformed, RequestError
from ..gateway.runtime import Runtime
from ..ir import (
    Audio,
    Block,
    Document,
    Failure,
    Image,
    Reasoning,
    Refusal,
    Reply,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
    fold,
)
from ..ir.capabilities import required_capabilities
from ..observability.body_buffer import Exchange, Wire
from ..observability.request_record import Record
from ..protocols import PROTOCOLS
from ..protocols.protocol import Protocol, UpstreamRequest, UpstreamTarget
from ..wire import json_fields
from ..wire.framing import FRAMINGS
from .request_view import NO_BODIES, client_body

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A picture of one pixel."""

SILENCE = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
"""A sound without a sample."""

STOPS = {"tool": "tool", "length": "length", "stop_sequence": "stop_sequence", "filter": "content_filter"}
"""Stop reasons of the neutral form that are told, in the words of stories."""

ERRORS = {400: "bad_request", 401: "authentication", 403: "permission", 404: "not_found", 413: "too_large"}
ERRORS |= {429: "rate_limit", 503: "overloaded", 504: "timeout"}
"""Kinds of errors in stories by the status of the answer."""

SAMPLING = ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty")

KEPT_IN_SCHEMAS = ("$ref", "type", "required", "format")
"""Keys of a JSON Schema whose values are no content."""

NAMED_IN_SCHEMAS = ("properties", "$defs", "definitions", "patternProperties")
"""Keys of a JSON Schema under which the names are the operator's own, and what they name are schemas."""


def make_story(runtime: Runtime, record: Record) -> str:
    """The story of this request as YAML. Raises Malformed where its bodies are not there or cannot be read."""
    exchange = None if runtime.bodies is None else runtime.bodies.get(record.request_id)
    body = client_body(exchange)
    if exchange is None or body is None:
        raise Malformed("", NO_BODIES)
    if record.what != "chat":
        raise Malformed("", f"Only a chat can become a story, and this is of another kind ({record.what}).")
    protocol = PROTOCOLS[record.frontend]
    request = protocol.decode_request(
        json_fields.parse_object(body), protocol.url_params(record.model or "", record.stream)
    )
    writer = _Writer(record.request_id)
    ask = writer.ask(request)
    say = writer.say(_answer(runtime, record, exchange), record)
    story = {
        "why": f"A request of {record.frontend} that was seen; describe what is wrong with it.",
        "source": f"request {record.request_id}",
        "needs": sorted(required_capabilities(request)),
        "ask": ask,
        "say": say,
    }
    head = ["# Made of a request that was seen. Its texts, values, ids and media are replaced."]
    if writer.left_out:
        head.append(f"# Not in it, for stories cannot say it: {', '.join(sorted(writer.left_out))}.")
    text = yaml.safe_dump(story, sort_keys=False, allow_unicode=True, width=120)
    return "\n".join([*head, text])


def _answer(runtime: Runtime, record: Record, exchange: Exchange) -> Reply | None:
    """The answer of the backend, as far as it can be read."""
    wire = next((wire for wire in reversed(exchange.wires) if wire.stage == "backend_response"), None)
    if wire is None or wire.is_failure or wire.is_cut or record.outcome != "answered" or not record.attempts:
        return None
    attempt = record.attempts[-1]
    backend = runtime.backends.get(attempt.backend)
    protocol = PROTOCOLS.get(attempt.protocol or ("" if backend is None else backend.config.protocol))
    if protocol is None:
        return None
    try:
        return _decoded(protocol, wire, attempt.model)
    except (Malformed, RequestError, ValueError, RecursionError):
        return None


def _decoded(protocol: Protocol, wire: Wire, model: str) -> Reply | None:
    sent = UpstreamRequest({}, (), UpstreamTarget(model, ""))
    if wire.body.lstrip().startswith(b"{") and protocol.framing == "sse":
        return protocol.decode_reply(json_fields.parse_object(wire.body), sent, str)
    decoder, framing = protocol.stream_decoder(sent, str), FRAMINGS[protocol.framing](len(wire.body) + 1)
    frames = [*framing.parse(framing.cut(wire.body)), *framing.rest()]
    if len(frames) == 1 and protocol.framing != "sse":
        return protocol.decode_reply(json_fields.parse_object(wire.body), sent, str)
    events = [event for frame in frames for event in decoder.feed(frame)]
    reply = fold(events if decoder.done else [*events, *decoder.close()])
    return None if isinstance(reply, Failure) else reply


class _Writer:
    """Writes the parts of a story, and counts what it replaced."""

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._texts = 0
        self._ids: dict[str, str] = {}
        self.left_out: set[str] = set()
        """Names of what no story can say."""

    # ---- what was asked ----------------------------------------------------------------------------------------------

    def ask(self, request: Request) -> dict[str, Any]:
        asked: dict[str, Any] = {"turns": [part for turn in request.turns for part in self._turn(turn)]}
        if tools := [self._tool(tool) for tool in request.tools if isinstance(tool, Tool) and tool.vendor is None]:
            asked["tools"] = tools
        if len(tools) < len(request.tools):
            self.left_out.add("tools of a vendor's own")
        choice = request.tool_choice
        if choice is not None and choice.hosted is None:
            if choice.mode == "named":
                asked["tool_choice"] = {"name": choice.names[0]}
            elif choice.names:
                asked["tool_choice"] = {"allowed": list(choice.names), "mode": choice.mode}
            else:
                asked["tool_choice"] = choice.mode
        if request.parallel is not None:
            asked["parallel"] = request.parallel
        asked |= {name: value for name in SAMPLING if (value := getattr(request.sampling, name)) is not None}
        if request.max_tokens is not None:
            asked["max_tokens"] = request.max_tokens
        if request.stop:
            asked["stop"] = [self._text(stop) for stop in request.stop]
        if (reasoning := request.reasoning) is not None and (said := reasoning.budget or reasoning.effort) is not None:
            asked["reasoning"] = said
        if (form := request.format) is not None and form.kind == "json_object":
            asked["format"] = "json"
        elif form is not None and form.kind == "json_schema":
            asked["format"] = {"schema": _schema(form.schema or {}), "name": "answer"}
            if form.strict is not None:
                asked["format"]["strict"] = form.strict
        if request.extra or request.user is not None or request.logprobs is not None:
            self.left_out.add("fields of the client's protocol alone")
        return asked

    def _turn(self, turn: Turn) -> Iterable[dict[str, Any]]:
        results = {self._id(b.id): self._result(b) for b in turn.blocks if isinstance(b, ToolResult)}
        if results:
            yield {"results": results}
        others = [block for block in turn.blocks if not isinstance(block, ToolResult)]
        if turn.role == "assistant":
            parts = [part for block in others if (part := self._said(block)) is not None]
        else:
            parts = [part for block in others if (part := self._part(block)) is not None]
        if parts:
            yield {"system" if turn.role == "developer" else turn.role: parts}

    def _part(self, block: Block) -> Any:
        match block:
            case Text(text):
                return self._text(text)
            case Image():
                return {"image": {"mime": "image/png", "base64": PIXEL}}
            case Document():
                return {"document": {"text": self._text(""), "mime": "text/plain"}}
            case Audio():
                return {"audio": {"mime": "audio/wav", "base64": SILENCE}}
        self.left_out.add(type(block).__name__.lower())
        return None

    def _result(self, result: ToolResult) -> Any:
        parts = [part for block in result.blocks if (part := self._part(block)) is not None]
        return {"error": parts} if result.error else parts

    def _tool(self, tool: Tool) -> dict[str, Any]:
        written: dict[str, Any] = {"name": tool.name}
        if tool.description is not None:
            written["description"] = self._text(tool.description)
        if tool.namespace is not None:
            written["namespace"] = tool.namespace
        if tool.kind == "custom":
            if tool.grammar is not None:
                self.left_out.add("grammar")
            return written | {"custom": True}
        if tool.parameters is not None:
            written["parameters"] = _schema(tool.parameters)
        return written if tool.strict is None else written | {"strict": tool.strict}

    # ---- what was said -----------------------------------------------------------------------------------------------

    def say(self, reply: Reply | None, record: Record) -> list[dict[str, Any]]:
        if reply is None:
            if record.outcome == "answered" or record.status is None:
                self.left_out.add("the answer, which could not be read")
                return [{"text": self._text("")}]
            kind = ERRORS.get(record.status, "bad_request" if record.status < 500 else "internal")
            return [{"error": {"kind": kind, "message": self._text("")}}]
        items = [item for block in reply.blocks if (item := self._said(block)) is not None]
        if not items:
            items.append({"text": []})
        if reply.stop in STOPS and reply.stop != "tool":
            items.append({"stop": STOPS[reply.stop]})
        if reply.usage is not None:
            counts = {name: n for name, n in msgspec.structs.asdict(reply.usage).items() if n is not None}
            items.append({"usage": counts})
        return items

    def _said(self, block: Block) -> dict[str, Any] | None:
        match block:
            case Text(text):
                return {"text": self._text(text)}
            case Refusal(text):
                return {"refusal": self._text(text)}
            case Reasoning(text) if text:
                return {"think": self._text(text)}
            case ToolCall(id=id_, name=name, arguments=arguments, kind=kind):
                said: dict[str, Any] = {"id": self._id(id_), "name": name}
                if block.namespace is not None:
                    said["namespace"] = block.namespace
                if kind == "custom":
                    return {"custom": said | {"input": self._text(arguments)}}
                return {"call": said | {"arguments": self._arguments(arguments)}}
        self.left_out.add(type(block).__name__.lower())
        return None

    def _arguments(self, text: str) -> Any:
        try:
            found = json.loads(text or "{}")
        except ValueError:
            return self._text(text)
        return _value(found) if isinstance(found, dict) else self._text(text)

    def _text(self, text: str) -> str:
        """A text that stands for another; the first names the request, by which the mock tells stories apart."""
        self._texts += 1
        of = f" of {self._request_id}" if self._texts == 1 else ""
        return f"Text {self._texts}{of}, {len(text)} characters."

    def _id(self, id_: str) -> str:
        return self._ids.setdefault(id_, f"call_{len(self._ids) + 1}")


def _value(value: Any) -> Any:
    """A value of arguments without its content."""
    if isinstance(value, dict):
        return {name: _value(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_value(each) for each in value]
    if isinstance(value, str):
        return "text"
    return value if value is None or isinstance(value, bool) else 1


def _schema(schema: Any) -> Any:
    """A JSON Schema without descriptions, examples and values; what an enum allows is counted alone."""
    if isinstance(schema, list):
        return [_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema if isinstance(schema, bool | int | float) else "text"
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in NAMED_IN_SCHEMAS and isinstance(value, dict):
            kept[key] = {name: _schema(each) for name, each in value.items()}
        elif key in KEPT_IN_SCHEMAS:
            kept[key] = value
        elif key == "enum" and isinstance(value, list):
            kept[key] = [f"value {at}" if isinstance(each, str) else each for at, each in enumerate(value, 1)]
        elif isinstance(value, dict | list) and key not in ("default", "examples", "const"):
            kept[key] = _schema(value)
        elif isinstance(value, bool | int | float) and key not in ("default", "const"):
            kept[key] = value
    return kept
