"""A strict Chat Completions client: what a response says, and every rule of the protocol that it breaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec.structs import replace

from ...frames import parse_sse
from ...speech import Block, Call, Refuse, Text, Think, Usage
from ..contract import Heard, HeardError, HttpAsk, content_type, cut, echo_check, expect, loads
from .citations import cites_in
from .failure import error_of, refused
from .words import HEARD_STOPS


def hear(status: int, headers: Mapping[str, str], body: bytes, *, stream: bool, asked: HttpAsk | None = None) -> Heard:
    """`asked` is the request, for what depends on it (whether usage was wanted)."""
    complaints: list[str] = []
    if status >= 400:
        return refused(status, headers, body)
    if stream:
        content_type(headers, "text/event-stream", complaints)
        return _stream(body, complaints, asked)
    content_type(headers, "application/json", complaints)
    value = loads(body)
    if not isinstance(value, dict):
        return Heard(error=HeardError(status, "cut", "the body is not a JSON object"), complaints=("not JSON",))
    if "error" in value and "choices" not in value:
        return Heard(error=error_of(200, value["error"], complaints), complaints=("an error with status 200",))
    return _body(value, complaints, asked)


# ---- unary -----------------------------------------------------------------------------------------------------------


def _body(value: dict[str, Any], complaints: list[str], asked: HttpAsk | None) -> Heard:
    expect(value, {"id": str, "object": str, "created": int, "model": str, "choices": list}, "body", complaints)
    if value.get("object") != "chat.completion":
        complaints.append(f"body: `object` is {value.get('object')!r}, not 'chat.completion'")
    choices = value.get("choices") or []
    if not choices:
        complaints.append("body: `choices` is empty")
        return Heard(complaints=tuple(complaints), model=value.get("model"), id=value.get("id"))
    choice = choices[0]
    expect(choice, {"index": int, "message": dict, "finish_reason": str}, "choice", complaints)
    message = choice.get("message") or {}
    for key in ("role", "content", "refusal"):
        if key not in message:
            complaints.append(f"message: `{key}` is missing")
    if message.get("role") != "assistant":
        complaints.append(f"message: role is {message.get('role')!r}")
    blocks = _thinking(message)
    if message.get("content"):
        blocks.extend(_text(message["content"], complaints))
    if message.get("refusal"):
        blocks.append(Refuse(message["refusal"]))
    for at, call in enumerate(message.get("tool_calls") or []):
        where = f"tool_calls[{at}]"
        kind, key = _kind(call)
        expect(call, {"id": str, "type": str, kind: dict}, where, complaints)
        expect(call.get(kind), {"name": str, key: str}, f"{where}.{kind}", complaints)
        blocks.append(_called(call))
    blocks.extend(_legacy(message))
    if message.get("tool_calls") == []:
        complaints.append("message: `tool_calls` is an empty array")
    return _heard(
        blocks,
        choice.get("finish_reason"),
        _usage(value.get("usage"), complaints),
        value,
        (_echo(message),),
        (),
        complaints,
        asked,
        message.get("annotations"),
        len(choices) - 1,
        _tokens(choice),
    )


def _tokens(choice: dict[str, Any]) -> int:
    """How many tokens of a choice, or of a piece of one, come with their probability."""
    return len((choice.get("logprobs") or {}).get("content") or [])


def _kind(call: dict[str, Any]) -> tuple[Literal["function", "custom"], str]:
    """Whether a call is of a function or of a tool that takes free text, and the key of what it sends."""
    if call.get("type") == "custom" or ("custom" in call and call.get("type") is None):
        return "custom", "input"
    return "function", "arguments"


def _called(call: dict[str, Any]) -> Call:
    kind, key = _kind(call)
    inner = call.get(kind) or {}
    return Call(str(call.get("id", "")), str(inner.get("name", "")), inner.get(key) or "", _seal(call), kind)


def _legacy(message: dict[str, Any]) -> list[Block]:
    """`function_call`, "Deprecated and replaced by tool_calls": a call without an id.

    https://platform.openai.com/docs/api-reference/chat/object
    """
    call = message.get("function_call")
    # some hosts fill every field in, and say {"name": "", "arguments": ""} where nothing is called
    if not isinstance(call, dict) or not call.get("name"):
        return []
    return [Call("", str(call["name"]), call.get("arguments") or "")]


def _text(content: Any, complaints: list[str]) -> list[Block]:
    if isinstance(content, str):
        return [Text(content)]
    complaints.append("message: `content` is not a string")
    blocks: list[Block] = []
    for part in content if isinstance(content, list) else []:
        # Mistral's parts: https://docs.mistral.ai/capabilities/reasoning
        if part.get("type") == "thinking":
            inner = part.get("thinking") or []
            blocks.append(Think(inner if isinstance(inner, str) else "".join(p.get("text", "") for p in inner)))
        elif part.get("type") == "text":
            blocks.append(Text(part.get("text", "")))
    return blocks


def _thinking(message: dict[str, Any]) -> list[Block]:
    details = message.get("reasoning_details") or []
    if details:
        return [
            Think(d.get("text") or d.get("summary") or "", d.get("signature") or d.get("data"), "data" in d)
            for d in details
        ]
    text = message.get("reasoning_content") or message.get("reasoning")
    return [Think(text)] if text else []


def _seal(call: dict[str, Any]) -> str | None:
    """Gemini's slot in the chat format. https://ai.google.dev/gemini-api/docs/thought-signatures#openai"""
    google = (call.get("extra_content") or {}).get("google") or {}
    found = google.get("thought_signature")
    return found if isinstance(found, str) else None


def _usage(usage: Any, complaints: list[str]) -> Usage | None:
    if usage is None:
        return None
    expect(usage, {"prompt_tokens": int, "completion_tokens": int, "total_tokens": int}, "usage", complaints)
    if not isinstance(usage, dict):
        return None
    into, out = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    if usage.get("total_tokens") != into + out:
        complaints.append(f"usage: total_tokens {usage.get('total_tokens')} is not {into} + {out}")
    details = usage.get("prompt_tokens_details") or {}
    read, write = details.get("cached_tokens"), details.get("cache_write_tokens")
    if (read or 0) + (write or 0) > into:
        complaints.append(f"usage: cached tokens {read} + {write} exceed prompt_tokens {into}")
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
    if reasoning and usage.get("total_tokens") == into + out + reasoning:
        out += reasoning  # xAI counts thinking beside the output, and the total tells
    if (reasoning or 0) > out:
        complaints.append(f"usage: reasoning_tokens {reasoning} exceed completion_tokens {out}")
    return Usage(max(into - (read or 0) - (write or 0), 0), out, read, write, reasoning)


def _echo(message: dict[str, Any]) -> dict[str, Any]:
    """The message as a client sends it back: what is empty, or only an answer has, stays away."""
    kept = ("role", "content", "refusal", "tool_calls", "reasoning_content", "reasoning", "reasoning_details")
    out = {key: message[key] for key in kept if message.get(key) not in (None, [])}
    return {"role": "assistant", "content": None} | out


def _heard(
    blocks: list[Block],
    finish: Any,
    usage: Usage | None,
    head: dict[str, Any],
    echo: tuple[Any, ...],
    events: tuple[Any, ...],
    complaints: list[str],
    asked: HttpAsk | None,
    annotations: Any,
    others: int,
    tokens: int,
) -> Heard:
    stop = None if not finish else HEARD_STOPS.get(str(finish), "other")
    # Two habits of the service itself that no client of ours should meet unasked: after a choice that names a
    # function it says `stop`, and it may leave the arguments of a call without any empty.
    forced = asked is None or isinstance(asked.body.get("tool_choice"), dict)
    echo_check(blocks, stop, complaints, bare=asked is None, forced=forced)
    text = "".join(block.text for block in blocks if isinstance(block, Text))
    return Heard(
        blocks=tuple(blocks),
        cites=tuple(cites_in(annotations, text, complaints)),
        others=others,
        tokens=tokens,
        stop=stop,
        native_stop=finish,
        usage=usage,
        model=head.get("model"),
        id=head.get("id"),
        echo=echo,
        events=events,
        complaints=tuple(complaints),
    )


# ---- streaming -------------------------------------------------------------------------------------------------------


class _Assembly:
    """What the chunks so far amount to."""

    def __init__(self, complaints: list[str]) -> None:
        self.complaints = complaints
        self.order: list[str] = []
        self.pieces: dict[str, list[str]] = {}
        self.calls: list[dict[str, Any]] = []
        self.details: dict[int, dict[str, Any]] = {}
        self.annotations: list[Any] = []
        self.others: set[int] = set()
        self.tokens = 0
        self.seen_role = False
        self.finish: str | None = None
        self.usage: Usage | None = None
        self.head: dict[str, Any] | None = None

    def chunk(self, chunk: dict[str, Any]) -> None:
        expect(
            chunk, {"id": str, "object": str, "created": int, "model": str, "choices": list}, "chunk", self.complaints
        )
        if self.head is None:
            self.head = chunk
            if chunk.get("object") != "chat.completion.chunk":
                self.complaints.append(f"chunk: `object` is {chunk.get('object')!r}")
        for key in ("id", "created"):
            if chunk.get(key) != self.head.get(key):
                self.complaints.append(f"chunk: `{key}` changes within the stream")
        for choice in chunk.get("choices") or []:
            # Of several choices (n > 1) the first is heard.
            if choice.get("index") in (None, 0):
                self._choice(choice)
            else:
                self.others.add(choice["index"])
        if chunk.get("usage") is not None:
            if self.usage is not None:
                self.complaints.append("usage: comes twice")
            if chunk.get("choices"):
                self.complaints.append("usage: its chunk has choices; `choices` must be empty there")
            if self.finish is None:
                self.complaints.append("usage: comes before finish_reason")
            self.usage = _usage(chunk["usage"], self.complaints)

    def _choice(self, choice: dict[str, Any]) -> None:
        expect(choice, {"index": int, "delta": dict}, "choice", self.complaints)
        if "finish_reason" not in choice:
            self.complaints.append("choice: `finish_reason` is missing (null until the end)")
        delta = choice.get("delta") or {}
        if delta.get("role") is not None:
            if self.seen_role:
                self.complaints.append("delta: `role` comes again after the first chunk")
            elif delta["role"] != "assistant":
                self.complaints.append(f"delta: role is {delta['role']!r}")
            self.seen_role = True
        elif not self.seen_role:
            self.complaints.append("delta: the first chunk has no `role`")
            self.seen_role = True
        if self.finish is not None and any(delta.get(key) for key in ("content", "tool_calls", "refusal")):
            self.complaints.append("delta: content after finish_reason")
        self.annotations += delta.get("annotations") or []
        self.tokens += _tokens(choice)
        details = delta.get("reasoning_details") or []
        for detail in details:
            self._detail(detail)
        for key in ("reasoning_content", "reasoning", "content", "refusal"):
            value = delta.get(key)
            if isinstance(value, list):
                self.complaints.append("delta: `content` is not a string")
                for block in _text(value, []):
                    self._piece(
                        "reasoning_content" if isinstance(block, Think) else "content", getattr(block, "text", "")
                    )
            elif value:
                self._piece(key, value)
        for call in delta.get("tool_calls") or []:
            self._call(call)
        legacy = delta.get("function_call")
        if isinstance(legacy, dict) and any(legacy.values()):
            self._legacy(legacy)
        finish = choice.get("finish_reason")
        if finish is not None:
            if self.finish is not None:
                self.complaints.append("choice: `finish_reason` comes twice")
            self.finish = finish

    def _piece(self, key: str, text: str) -> None:
        if key not in self.pieces:
            self.pieces[key] = []
            self.order.append(key)
        self.pieces[key].append(text)

    def _detail(self, detail: dict[str, Any]) -> None:
        index = detail.get("index", 0)
        known = self.details.setdefault(index, {"type": detail.get("type"), "index": index})
        for key in ("text", "summary", "data"):
            if detail.get(key):
                known[key] = known.get(key, "") + detail[key]
        for key in ("signature", "id", "format"):
            if detail.get(key):
                known[key] = detail[key]

    def _call(self, delta: dict[str, Any]) -> None:
        index = delta.get("index")
        kind, key = _kind(delta)
        inner = delta.get(kind) or {}
        if not isinstance(index, int):
            self.complaints.append("tool_calls: `index` is missing")
            index = len(self.calls) if delta.get("id") else max(len(self.calls) - 1, 0)
        if index >= len(self.calls):
            if index > len(self.calls):
                self.complaints.append(f"tool_calls: index {index} leaves a gap after {len(self.calls) - 1}")
            expect(delta, {"id": str, "type": str}, "tool_calls", self.complaints)
            if not inner.get("name"):
                self.complaints.append(f"tool_calls: the first piece of a call has no {kind}.name")
            if key not in inner:
                self.complaints.append(f"tool_calls: the first piece of a call has no {kind}.{key}")
            self.order.append(f"call {len(self.calls)}")
            self.calls.append(
                {
                    "id": delta.get("id") or "",
                    "type": kind,
                    kind: {"name": inner.get("name") or "", key: inner.get(key) or ""},
                }
            )
        else:
            known = self.calls[index]
            if delta.get("id"):
                self.complaints.append(f"tool_calls: the id of call {index} comes again")
            if inner.get("name"):
                self.complaints.append(f"tool_calls: the name of call {index} comes again")
            if kind != known["type"]:
                self.complaints.append(f"tool_calls: call {index} began as a {known['type']} and goes on as a {kind}")
            else:
                known[kind][key] += inner.get(key) or ""
        if delta.get("extra_content"):
            self.calls[min(index, len(self.calls) - 1)]["extra_content"] = delta["extra_content"]

    def _legacy(self, delta: dict[str, Any]) -> None:
        if not self.calls:
            self.order.append("call 0")
            self.calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        for key in ("name", "arguments"):
            self.calls[0]["function"][key] += delta.get(key) or ""

    def message(self) -> dict[str, Any]:
        pieces = {key: "".join(texts) for key, texts in self.pieces.items()}
        message: dict[str, Any] = {"role": "assistant", "content": None} | pieces
        if self.details:
            message["reasoning_details"] = list(self.details.values())
        if self.calls:
            message["tool_calls"] = self.calls
        return message

    def blocks(self) -> list[Block]:
        message = self.message()
        blocks = _thinking(message)
        for key in self.order:
            if key == "content":
                blocks.append(Text(message[key]))
            elif key == "refusal":
                blocks.append(Refuse(message[key]))
            elif key.startswith("call "):
                blocks.append(_called(self.calls[int(key.removeprefix("call "))]))
        return blocks


def _stream(body: bytes, complaints: list[str], asked: HttpAsk | None) -> Heard:
    parsed = parse_sse(body)
    assembly = _Assembly(complaints)
    events: list[Any] = []
    error: HeardError | None = None
    done = False
    for event in parsed.events:
        if event.event is not None:
            complaints.append(f"stream: an `event:` line ({event.event}); this protocol has none")
        if done:
            complaints.append("stream: data after [DONE]")
        if event.data == "[DONE]":
            done = True
            if error is not None:
                complaints.append("stream: [DONE] after an error")
            continue
        value = loads(event.data.encode())
        events.append(value)
        if not isinstance(value, dict):
            complaints.append(f"stream: an event that is not a JSON object: {event.data[:60]!r}")
            continue
        if error is not None:
            complaints.append("stream: a chunk after an error")
        if "error" in value and value["error"] is not None:
            error = error_of(200, value["error"], complaints)
            continue
        assembly.chunk(value)
    if parsed.rest:
        complaints.append(f"stream: an unfinished event at the end: {parsed.rest[:60]!r}")
    if error is None and (not done or assembly.finish is None):
        error = cut("no [DONE]" if not done else "no finish_reason")
    if error is not None and assembly.finish is not None and error.kind != "cut":
        complaints.append("stream: an error after finish_reason")
    wanted = bool(asked and (asked.body.get("stream_options") or {}).get("include_usage"))
    if asked is not None and error is None and wanted != (assembly.usage is not None):
        complaints.append("usage: is missing though asked for" if wanted else "usage: comes though not asked for")
    heard = _heard(
        assembly.blocks(),
        assembly.finish,
        assembly.usage,
        assembly.head or {},
        (_echo(assembly.message()),),
        tuple(events),
        complaints,
        asked,
        assembly.annotations,
        len(assembly.others),
        assembly.tokens,
    )
    return replace(heard, error=error)
