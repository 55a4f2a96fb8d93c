"""Parses Chat Completions replies strictly: neutral content, and a complaint for every broken rule of the protocol."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from msgspec.structs import replace

from crosswire.mockserver.framing import parse_sse
from crosswire.mockserver.scenarios.model import Block, Image, Refusal, Text, Thinking, ToolCall, Usage

from ..protocol import HttpRequest, Logprob, ParsedError, ParsedReply
from ..reply_checks import check_content_type, check_keys, check_tool_calls, cut_error, parse_json, parse_logprobs
from .citations import cited_sources
from .error_parser import parse_error, parse_error_reply
from .tables import STOP_REASONS


def parse_reply(
    status: int, headers: Mapping[str, str], body: bytes, *, stream: bool, request: HttpRequest | None = None
) -> ParsedReply:
    """Parses a reply; usage in a stream and some tool call rules depend on `request`."""
    complaints: list[str] = []
    if status >= 400:
        return parse_error_reply(status, headers, body)
    if stream:
        check_content_type(headers, "text/event-stream", complaints)
        return _parse_stream(body, complaints, request)
    check_content_type(headers, "application/json", complaints)
    value = parse_json(body)
    if not isinstance(value, dict):
        return ParsedReply(error=ParsedError(status, "cut", "the body is not a JSON object"), complaints=("not JSON",))
    if "error" in value and "choices" not in value:
        return ParsedReply(error=parse_error(200, value["error"], complaints), complaints=("an error with status 200",))
    return _parse_body(value, complaints, request)


# ---- unary -----------------------------------------------------------------------------------------------------------


def _parse_body(value: dict[str, Any], complaints: list[str], request: HttpRequest | None) -> ParsedReply:
    check_keys(value, {"id": str, "object": str, "created": int, "model": str, "choices": list}, "body", complaints)
    if value.get("object") != "chat.completion":
        complaints.append(f"body: `object` is {value.get('object')!r}, not 'chat.completion'")
    choices = value.get("choices") or []
    if not choices:
        complaints.append("body: `choices` is empty")
        return ParsedReply(complaints=tuple(complaints), model=value.get("model"), id=value.get("id"))
    choice = choices[0]
    check_keys(choice, {"index": int, "message": dict, "finish_reason": str}, "choice", complaints)
    message = choice.get("message") or {}
    for key in ("role", "content", "refusal"):
        if key not in message:
            complaints.append(f"message: `{key}` is missing")
    if message.get("role") != "assistant":
        complaints.append(f"message: role is {message.get('role')!r}")
    blocks = _parse_thinking(message)
    if message.get("content"):
        blocks.extend(_parse_content(message["content"], complaints))
    blocks.extend(_parse_images(message))
    if message.get("refusal"):
        blocks.append(Refusal(message["refusal"]))
    for at, call in enumerate(message.get("tool_calls") or []):
        where = f"tool_calls[{at}]"
        kind, key = _call_kind(call)
        check_keys(call, {"id": str, "type": str, kind: dict}, where, complaints)
        check_keys(call.get(kind), {"name": str, key: str}, f"{where}.{kind}", complaints)
        blocks.append(_parse_call(call))
    blocks.extend(_parse_function_call(message))
    if message.get("tool_calls") == []:
        complaints.append("message: `tool_calls` is an empty array")
    return _build_reply(
        blocks,
        choice.get("finish_reason"),
        _parse_usage(value.get("usage"), complaints),
        value,
        (_echo(message),),
        (),
        complaints,
        request,
        message.get("annotations"),
        len(choices) - 1,
        _parse_logprobs(choice, complaints),
    )


def _parse_logprobs(choice: dict[str, Any], complaints: list[str]) -> tuple[Logprob, ...]:
    """Parses `logprobs`, in which each token has all of its keys. https://platform.openai.com/docs/api-reference/chat/object"""
    entries = (choice.get("logprobs") or {}).get("content")
    return parse_logprobs(entries, ("bytes", "top_logprobs"), "choice.logprobs", complaints)


def _call_kind(call: dict[str, Any]) -> tuple[Literal["function", "custom"], str]:
    """Returns the kind of a call, function or custom, and the key of its arguments."""
    if call.get("type") == "custom" or ("custom" in call and call.get("type") is None):
        return "custom", "input"
    return "function", "arguments"


def _parse_call(call: dict[str, Any]) -> ToolCall:
    kind, key = _call_kind(call)
    inner = call.get(kind) or {}
    return ToolCall(str(call.get("id", "")), str(inner.get("name", "")), inner.get(key) or "", _signature(call), kind)


def _parse_function_call(message: dict[str, Any]) -> list[Block]:
    """Parses `function_call`, "Deprecated and replaced by tool_calls": a call without an id.

    https://platform.openai.com/docs/api-reference/chat/object
    """
    call = message.get("function_call")
    # some hosts send {"name": "", "arguments": ""} where nothing is called
    if not isinstance(call, dict) or not call.get("name"):
        return []
    return [ToolCall("", str(call["name"]), call.get("arguments") or "")]


def _parse_content(content: Any, complaints: list[str]) -> list[Block]:
    if isinstance(content, str):
        return [Text(content)]
    complaints.append("message: `content` is not a string")
    blocks: list[Block] = []
    for part in content if isinstance(content, list) else []:
        # Mistral's parts: https://docs.mistral.ai/capabilities/reasoning
        if part.get("type") == "thinking":
            inner = part.get("thinking") or []
            blocks.append(Thinking(inner if isinstance(inner, str) else "".join(p.get("text", "") for p in inner)))
        elif part.get("type") == "text":
            blocks.append(Text(part.get("text", "")))
    return blocks


def _parse_images(message: dict[str, Any]) -> list[Block]:
    """Parses the images of an answer. https://openrouter.ai/docs/features/multimodal/image-generation"""
    urls = [(image.get("image_url") or {}).get("url") or "" for image in message.get("images") or []]
    found = [re.fullmatch(r"data:([^;,]*);base64,(.*)", url, re.DOTALL) for url in urls]
    return [
        Image(match[1], match[2]) if match else Image(url=url) for url, match in zip(urls, found, strict=True) if url
    ]


def _parse_thinking(message: dict[str, Any]) -> list[Block]:
    details = message.get("reasoning_details") or []
    if details:
        return [
            Thinking(d.get("text") or d.get("summary") or "", d.get("signature") or d.get("data"), "data" in d)
            for d in details
        ]
    # of no other type is it read anywhere; a member that the SDKs do not know is ignored
    values = (message.get(key) for key in ("reasoning_content", "reasoning"))
    texts = [value for value in values if value and isinstance(value, str)]
    return [Thinking(text) for text in texts[:1]]


def _signature(call: dict[str, Any]) -> str | None:
    """Returns Gemini's signature in the chat format. https://ai.google.dev/gemini-api/docs/thought-signatures#openai"""
    google = (call.get("extra_content") or {}).get("google") or {}
    found = google.get("thought_signature")
    return found if isinstance(found, str) else None


def _parse_usage(usage: Any, complaints: list[str]) -> Usage | None:
    if usage is None:
        return None
    check_keys(usage, {"prompt_tokens": int, "completion_tokens": int, "total_tokens": int}, "usage", complaints)
    if not isinstance(usage, dict):
        return None
    into, out = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    total = usage.get("total_tokens")
    if total != into + out:
        complaints.append(f"usage: total_tokens {total} is not {into} + {out}")
    details = usage.get("prompt_tokens_details") or {}
    read, write = details.get("cached_tokens"), details.get("cache_write_tokens")
    if (read or 0) + (write or 0) > into:
        complaints.append(f"usage: cached tokens {read} + {write} exceed prompt_tokens {into}")
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
    if (reasoning or 0) > out:
        complaints.append(f"usage: reasoning_tokens {reasoning} exceed completion_tokens {out}")
    return _believed_usage(into, out, read, write, reasoning, total or 0, details.get("audio_tokens"))


def _believed_usage(
    into: int, out: int, read: int | None, write: int | None, reasoning: int | None, total: int, audio: int | None
) -> Usage:
    """Returns what a bill for these counts would say: the total holds, and no part is more than what it is part of."""
    missing = total - into - out
    if missing > 0 and missing != reasoning and missing in ((read or 0) + (write or 0), audio):
        into = total - out  # Mistral counts sound, others the cache, besides the prompt
    elif missing > 0:
        out = total - into  # xAI counts thinking besides the output, others do not count it at all
        reasoning = missing if reasoning is None else reasoning
    read = None if read is None else min(read, into)
    write = None if write is None else min(write, into - (read or 0))
    return Usage(
        into - (read or 0) - (write or 0), out, read, write, None if reasoning is None else min(reasoning, out)
    )


def _echo(message: dict[str, Any]) -> dict[str, Any]:
    """Returns the message as the client sends it back, without empty and reply-only fields."""
    kept = ("role", "content", "refusal", "tool_calls", "reasoning_content", "reasoning", "reasoning_details")
    out = {key: message[key] for key in kept if message.get(key) not in (None, [])}
    return {"role": "assistant", "content": None} | out


def _build_reply(
    blocks: list[Block],
    finish: Any,
    usage: Usage | None,
    head: dict[str, Any],
    echo: tuple[Any, ...],
    events: tuple[Any, ...],
    complaints: list[str],
    request: HttpRequest | None,
    annotations: Any,
    other_choices: int,
    logprobs: tuple[Logprob, ...],
) -> ParsedReply:
    stop = None if not finish else STOP_REASONS.get(str(finish), "other")
    # Two deviations of the service itself, not allowed to a proxy: after a forced function call it sends `stop`, and
    # a call without arguments may have an empty text.
    forced = request is None or isinstance(request.body.get("tool_choice"), dict)
    check_tool_calls(blocks, stop, complaints, allow_empty=request is None, forced=forced)
    text = "".join(block.text for block in blocks if isinstance(block, Text))
    return ParsedReply(
        blocks=tuple(blocks),
        cites=tuple(cited_sources(annotations, text, complaints)),
        other_choices=other_choices,
        logprobs=logprobs,
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


class _ReplyAssembler:
    """Assembles a streamed reply from chunks."""

    def __init__(self, complaints: list[str]) -> None:
        self.complaints = complaints
        self.order: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.calls: list[dict[str, Any]] = []
        self.details: dict[int, dict[str, Any]] = {}
        self.annotations: list[Any] = []
        self.images: list[Any] = []
        self.other_choices: set[int] = set()
        self.logprobs: tuple[Logprob, ...] = ()
        self.seen_role = False
        self.finish: str | None = None
        self.usage: Usage | None = None
        self.head: dict[str, Any] | None = None

    def add(self, chunk: dict[str, Any]) -> None:
        check_keys(
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
            # only the first of several choices (n > 1) is parsed
            if choice.get("index") in (None, 0):
                self._choice(choice)
            else:
                self.other_choices.add(choice["index"])
        if chunk.get("usage") is not None:
            if self.usage is not None:
                self.complaints.append("usage: comes twice")
            if chunk.get("choices"):
                self.complaints.append("usage: its chunk has choices; `choices` must be empty there")
            if self.finish is None:
                self.complaints.append("usage: comes before finish_reason")
            self.usage = _parse_usage(chunk["usage"], self.complaints)

    def _choice(self, choice: dict[str, Any]) -> None:
        check_keys(choice, {"index": int, "delta": dict}, "choice", self.complaints)
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
        self.logprobs += _parse_logprobs(choice, self.complaints)
        details = delta.get("reasoning_details") or []
        for detail in details:
            self._detail(detail)
        for key in ("reasoning_content", "reasoning", "content", "refusal"):
            if key.startswith("reasoning") and not isinstance(delta.get(key), str):
                continue  # read by nobody, as in a message
            value = delta.get(key)
            if isinstance(value, list):
                self.complaints.append("delta: `content` is not a string")
                for block in _parse_content(value, []):
                    self._add_text(
                        "reasoning_content" if isinstance(block, Thinking) else "content", getattr(block, "text", "")
                    )
            elif value:
                self._add_text(key, value)
        for call in delta.get("tool_calls") or []:
            self._call(call)
        self.images += delta.get("images") or []
        if self.images and "images" not in self.order:
            self.order.append("images")
        function_call = delta.get("function_call")
        if isinstance(function_call, dict) and any(function_call.values()):
            self._add_function_call(function_call)
        finish = choice.get("finish_reason")
        if finish is not None:
            if self.finish is not None:
                self.complaints.append("choice: `finish_reason` comes twice")
            self.finish = finish

    def _add_text(self, key: str, text: str) -> None:
        if key not in self.texts:
            self.texts[key] = []
            self.order.append(key)
        self.texts[key].append(text)

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
        kind, key = _call_kind(delta)
        inner = delta.get(kind) or {}
        if not isinstance(index, int):
            self.complaints.append("tool_calls: `index` is missing")
            index = len(self.calls) if delta.get("id") else max(len(self.calls) - 1, 0)
        if index >= len(self.calls):
            if index > len(self.calls):
                self.complaints.append(f"tool_calls: index {index} leaves a gap after {len(self.calls) - 1}")
            check_keys(delta, {"id": str, "type": str}, "tool_calls", self.complaints)
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

    def _add_function_call(self, delta: dict[str, Any]) -> None:
        if not self.calls:
            self.order.append("call 0")
            self.calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        for key in ("name", "arguments"):
            self.calls[0]["function"][key] += delta.get(key) or ""

    def message(self) -> dict[str, Any]:
        """Returns the message that the chunks add up to."""
        texts = {key: "".join(parts) for key, parts in self.texts.items()}
        message: dict[str, Any] = {"role": "assistant", "content": None} | texts
        if self.details:
            message["reasoning_details"] = list(self.details.values())
        if self.images:
            message["images"] = self.images
        if self.calls:
            message["tool_calls"] = self.calls
        return message

    def blocks(self) -> list[Block]:
        """Returns thinking, texts, refusals and calls in the order in which they began."""
        message = self.message()
        blocks = _parse_thinking(message)
        for key in self.order:
            if key == "content":
                blocks.append(Text(message[key]))
            elif key == "refusal":
                blocks.append(Refusal(message[key]))
            elif key == "images":
                blocks += _parse_images(message)
            elif key.startswith("call "):
                blocks.append(_parse_call(self.calls[int(key.removeprefix("call "))]))
        return blocks


def _parse_stream(body: bytes, complaints: list[str], request: HttpRequest | None) -> ParsedReply:
    parsed = parse_sse(body)
    assembler = _ReplyAssembler(complaints)
    events: list[Any] = []
    error: ParsedError | None = None
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
        value = parse_json(event.data.encode())
        events.append(value)
        if not isinstance(value, dict):
            complaints.append(f"stream: an event that is not a JSON object: {event.data[:60]!r}")
            continue
        if error is not None:
            complaints.append("stream: a chunk after an error")
        if "error" in value and value["error"] is not None:
            error = parse_error(200, value["error"], complaints)
            continue
        assembler.add(value)
    if parsed.rest:
        complaints.append(f"stream: an unfinished event at the end: {parsed.rest[:60]!r}")
    if error is None and (not done or assembler.finish is None):
        error = cut_error("no [DONE]" if not done else "no finish_reason")
    if error is not None and assembler.finish is not None and error.kind != "cut":
        complaints.append("stream: an error after finish_reason")
    requested = bool(request and (request.body.get("stream_options") or {}).get("include_usage"))
    if request is not None and error is None and requested != (assembler.usage is not None):
        complaints.append("usage: is missing though asked for" if requested else "usage: comes though not asked for")
    reply = _build_reply(
        assembler.blocks(),
        assembler.finish,
        assembler.usage,
        assembler.head or {},
        (_echo(assembler.message()),),
        tuple(events),
        complaints,
        request,
        assembler.annotations,
        len(assembler.other_choices),
        assembler.logprobs,
    )
    return replace(reply, error=error)
