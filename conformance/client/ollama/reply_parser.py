"""Parses Ollama replies strictly: neutral content, and a complaint for every broken rule of the protocol."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from crosswire.mockserver.framing import dump
from crosswire.mockserver.scenarios.model import Block, Text, Thinking, ToolCall, Usage

from ..protocol import HttpRequest, Logprob, ParsedError, ParsedReply
from ..reply_checks import check_content_type, check_tool_calls, cut_error, parse_json, parse_logprobs
from .error_parser import parse_error, parse_error_reply
from .tables import OTHER_STOPS, STOP_REASONS

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
"""`created_at`: an RFC 3339 time. https://docs.ollama.com/api/chat"""

COUNTS = (
    *("total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration"),
    *("eval_count", "eval_duration"),
)
"""Fields of the last line only."""


def parse_reply(
    status: int, headers: Mapping[str, str], body: bytes, *, stream: bool, request: HttpRequest | None = None
) -> ParsedReply:
    """Parses a reply; nothing in it depends on `request`."""
    complaints: list[str] = []
    if status >= 400:
        return parse_error_reply(status, headers, body)
    if stream:
        check_content_type(headers, "application/x-ndjson", complaints)
        return _parse_stream(body, complaints)
    check_content_type(headers, "application/json", complaints)
    value = parse_json(body)
    if not isinstance(value, dict):
        return ParsedReply(error=ParsedError(status, "cut", "the body is not a JSON object"), complaints=("not JSON",))
    if "error" in value:
        return ParsedReply(error=parse_error(200, value["error"], complaints), complaints=("an error with status 200",))
    assembler = _ReplyAssembler(complaints)
    assembler.add(value)
    if value.get("done") is not True:
        complaints.append("body: `done` is not true")
    return assembler.build_reply(())


# ---- unary, and a line -----------------------------------------------------------------------------------------------


class _ReplyAssembler:
    """Assembles a reply from lines; a unary body is a single line."""

    def __init__(self, complaints: list[str]) -> None:
        self.complaints = complaints
        self.blocks: list[Block] = []
        self.calls: list[dict[str, Any]] = []
        self.model: str | None = None
        self.done = False
        self.reason: str | None = None
        self.usage: Usage | None = None
        self.logprobs: tuple[Logprob, ...] = ()

    def add(self, line: dict[str, Any]) -> None:
        if self.done:
            self.complaints.append("line: after `done`")
        model, created, done = line.get("model"), line.get("created_at"), line.get("done")
        if not isinstance(model, str) or not model:
            self.complaints.append("line: `model` is missing")
        elif self.model not in (None, model):
            self.complaints.append(f"line: `model` changes from {self.model} to {model}")
        else:
            self.model = model
        if not isinstance(created, str) or TIME.fullmatch(created) is None:
            self.complaints.append(f"line: `created_at` is {dump(created)[:60]}, not a time")
        if not isinstance(done, bool):
            self.complaints.append(f"line: `done` is {dump(done)[:60]}, neither true nor false")
        self.logprobs += parse_logprobs(line.get("logprobs"), (), "line.logprobs", self.complaints)
        message = line.get("message")
        if isinstance(message, dict):
            self._message(message)
        else:
            self.complaints.append("line: `message` is missing")
        if done is True:
            self._done(line)
        else:
            for key in ("done_reason", *COUNTS):
                if line.get(key) is not None:
                    self.complaints.append(f"line: `{key}` before `done`")

    def _message(self, message: dict[str, Any]) -> None:
        if message.get("role") != "assistant":
            self.complaints.append(f"message: role is {dump(message.get('role'))[:60]}, not 'assistant'")
        for key in ("thinking", "content"):
            value = message.get(key)
            if isinstance(value, str):
                self._add_text(key, value)
            elif value is not None or key == "content":
                self.complaints.append(f"message: `{key}` is {dump(value)[:60]}, not a string")
        calls = message.get("tool_calls")
        if calls is not None and (not isinstance(calls, list) or not calls):
            self.complaints.append("message: `tool_calls` is not an array that holds one")
        for call in calls if isinstance(calls, list) else []:
            self._call(call)

    def _add_text(self, key: str, text: str) -> None:
        if not text:
            return
        last = self.blocks[-1] if self.blocks else None
        match key, last:
            case "thinking", Thinking(before):
                self.blocks[-1] = Thinking(before + text)
            case "content", Text(before):
                self.blocks[-1] = Text(before + text)
            case "thinking", _:
                self.blocks.append(Thinking(text))
            case _:
                self.blocks.append(Text(text))

    def _call(self, call: Any) -> None:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            self.complaints.append("tool_calls: `function` is missing")
            return
        id, index = call.get("id"), function.get("index")
        if id is not None and (not isinstance(id, str) or not id):
            self.complaints.append(f"tool_calls: `id` is {dump(id)[:60]}, not a string")
        if index is not None and (not isinstance(index, int) or index != len(self.calls)):
            self.complaints.append(f"tool_calls: `index` is {dump(index)[:60]} for call {len(self.calls)}")
        name, arguments = function.get("name"), function.get("arguments")
        if not isinstance(name, str) or not name:
            self.complaints.append("tool_calls: `name` is missing")
        if not isinstance(arguments, dict):
            self.complaints.append(f"tool_calls: `arguments` is {dump(arguments)[:60]}, not an object")
        self.calls.append(call)
        text = arguments if isinstance(arguments, str) else dump(arguments if arguments is not None else {})
        self.blocks.append(ToolCall(id if isinstance(id, str) else "", str(name or ""), text))

    def _done(self, line: dict[str, Any]) -> None:
        self.done = True
        reason = line.get("done_reason")
        if not isinstance(reason, str) or (reason not in STOP_REASONS and reason not in OTHER_STOPS):
            self.complaints.append(f"done: there is no `done_reason` {dump(reason)[:60]}")
        self.reason = None if reason is None else str(reason)
        counts: dict[str, int | None] = {}
        for key in COUNTS:
            value = line.get(key)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
                self.complaints.append(f"usage: `{key}` is {dump(value)[:60]}, not a count")
                value = None
            counts[key] = value
        if counts["prompt_eval_count"] is None and counts["eval_count"] is None:
            if self.reason not in OTHER_STOPS:
                self.complaints.append("usage: neither `prompt_eval_count` nor `eval_count`")
            return
        # a count of zero is omitted
        self.usage = Usage(counts["prompt_eval_count"] or 0, counts["eval_count"] or 0)

    def build_reply(self, events: tuple[Any, ...]) -> ParsedReply:
        stop = None if self.reason is None else STOP_REASONS.get(self.reason, "other")
        if stop == "end" and self.calls:
            stop = "tool"
        check_tool_calls(self.blocks, stop, self.complaints)
        return ParsedReply(
            blocks=tuple(self.blocks),
            stop=stop,
            native_stop=self.reason,
            usage=self.usage,
            logprobs=self.logprobs,
            model=self.model,
            echo=(self._echo(),),
            events=events,
            complaints=tuple(self.complaints),
        )

    def _echo(self) -> dict[str, Any]:
        """Returns the message as the client sends it back, with the calls as received."""
        thinking = "".join(block.text for block in self.blocks if isinstance(block, Thinking))
        content = "".join(block.text for block in self.blocks if isinstance(block, Text))
        echo: dict[str, Any] = {"role": "assistant", "content": content}
        return echo | ({"thinking": thinking} if thinking else {}) | ({"tool_calls": self.calls} if self.calls else {})


# ---- streaming -------------------------------------------------------------------------------------------------------


def _parse_stream(body: bytes, complaints: list[str]) -> ParsedReply:
    assembler = _ReplyAssembler(complaints)
    events: list[Any] = []
    error: ParsedError | None = None
    lines = body.split(b"\n")
    if lines[-1].strip() and parse_json(lines[-1]) is not None:
        complaints.append("stream: no line end after the last line")
    elif not lines[-1].strip():
        lines.pop()
    for line in lines:
        if not line.strip():
            # the official client parses every line, so an empty one breaks it
            complaints.append("stream: an empty line")
            continue
        value = parse_json(line)
        if not isinstance(value, dict):
            complaints.append(f"stream: a line that is not a JSON object: {line[:60]!r}")
            continue
        events.append(value)
        if error is not None:
            complaints.append("stream: a line after an error")
        if "error" in value:
            error = parse_error(200, value["error"], complaints)
            if assembler.done:
                complaints.append("stream: an error after `done`")
            continue
        assembler.add(value)
    if error is None and not assembler.done:
        error = cut_error("no line with `done`")
    return replace(assembler.build_reply(tuple(events)), error=error)
