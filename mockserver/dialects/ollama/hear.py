"""A strict Ollama client: what a response says, and every rule of the protocol that it breaks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from ...frames import dump
from ...speech import Block, Call, Text, Think, Usage, kind_of
from ..contract import Heard, HeardError, HttpAsk, content_type, cut, echo_check, loads
from .words import HEARD_STOPS, OTHER_STOPS

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
"""`created_at`: an RFC 3339 time. https://docs.ollama.com/api/chat"""

COUNTS = (
    *("total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration"),
    *("eval_count", "eval_duration"),
)
"""What only the last line has."""


def hear(status: int, headers: Mapping[str, str], body: bytes, *, stream: bool, asked: HttpAsk | None = None) -> Heard:
    """`asked` is the request; nothing in a response depends on it but the model's name."""
    complaints: list[str] = []
    if status >= 400:
        return _refused(status, headers, body)
    if stream:
        content_type(headers, "application/x-ndjson", complaints)
        return _stream(body, complaints)
    content_type(headers, "application/json", complaints)
    value = loads(body)
    if not isinstance(value, dict):
        return Heard(error=HeardError(status, "cut", "the body is not a JSON object"), complaints=("not JSON",))
    if "error" in value:
        return Heard(error=_error(200, value["error"], complaints), complaints=("an error with status 200",))
    assembly = _Assembly(complaints)
    assembly.line(value)
    if value.get("done") is not True:
        complaints.append("body: `done` is not true")
    return assembly.heard(())


# ---- errors ----------------------------------------------------------------------------------------------------------


def _refused(status: int, headers: Mapping[str, str], body: bytes) -> Heard:
    complaints: list[str] = []
    content_type(headers, "application/json", complaints)
    value = loads(body)
    error = value.get("error") if isinstance(value, dict) else None
    if error is None:
        complaints.append("error: the body has no `error`")
    return Heard(error=_error(status, error, complaints), complaints=tuple(complaints))


def _error(status: int, error: Any, complaints: list[str]) -> HeardError:
    """`error` is a message, nothing else. https://docs.ollama.com/api/errors"""
    if not isinstance(error, str):
        complaints.append(f"error: `error` is not a string: {dump(error)[:60]}")
    message = error if isinstance(error, str) else dump(error)
    return HeardError(status, kind_of(status) if status >= 400 else "internal", message, None, error)


# ---- unary, and a line -----------------------------------------------------------------------------------------------


class _Assembly:
    """What the lines so far amount to; a unary body is one of them."""

    def __init__(self, complaints: list[str]) -> None:
        self.complaints = complaints
        self.blocks: list[Block] = []
        self.calls: list[dict[str, Any]] = []
        self.model: str | None = None
        self.done = False
        self.reason: str | None = None
        self.usage: Usage | None = None

    def line(self, line: dict[str, Any]) -> None:
        if self.done:
            self.complaints.append("line: after `done`")
        model, made, done = line.get("model"), line.get("created_at"), line.get("done")
        if not isinstance(model, str) or not model:
            self.complaints.append("line: `model` is missing")
        elif self.model not in (None, model):
            self.complaints.append(f"line: `model` changes from {self.model} to {model}")
        else:
            self.model = model
        if not isinstance(made, str) or TIME.fullmatch(made) is None:
            self.complaints.append(f"line: `created_at` is {dump(made)[:60]}, not a time")
        if not isinstance(done, bool):
            self.complaints.append(f"line: `done` is {dump(done)[:60]}, neither true nor false")
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
                self._words(key, value)
            elif value is not None or key == "content":
                self.complaints.append(f"message: `{key}` is {dump(value)[:60]}, not a string")
        calls = message.get("tool_calls")
        if calls is not None and (not isinstance(calls, list) or not calls):
            self.complaints.append("message: `tool_calls` is not an array that holds one")
        for call in calls if isinstance(calls, list) else []:
            self._call(call)

    def _words(self, key: str, text: str) -> None:
        if not text:
            return
        last = self.blocks[-1] if self.blocks else None
        match key, last:
            case "thinking", Think(before):
                self.blocks[-1] = Think(before + text)
            case "content", Text(before):
                self.blocks[-1] = Text(before + text)
            case "thinking", _:
                self.blocks.append(Think(text))
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
        self.blocks.append(Call(id if isinstance(id, str) else "", str(name or ""), text))

    def _done(self, line: dict[str, Any]) -> None:
        self.done = True
        reason = line.get("done_reason")
        if not isinstance(reason, str) or (reason not in HEARD_STOPS and reason not in OTHER_STOPS):
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
        # A count of nothing is left out.
        self.usage = Usage(counts["prompt_eval_count"] or 0, counts["eval_count"] or 0)

    def heard(self, events: tuple[Any, ...]) -> Heard:
        stop = None if self.reason is None else HEARD_STOPS.get(self.reason, "other")
        if stop == "end" and self.calls:
            stop = "tool"
        echo_check(self.blocks, stop, self.complaints)
        return Heard(
            blocks=tuple(self.blocks),
            stop=stop,
            native_stop=self.reason,
            usage=self.usage,
            model=self.model,
            echo=(self._echo(),),
            events=events,
            complaints=tuple(self.complaints),
        )

    def _echo(self) -> dict[str, Any]:
        """The message as a client sends it back, its calls as they came."""
        thinking = "".join(block.text for block in self.blocks if isinstance(block, Think))
        content = "".join(block.text for block in self.blocks if isinstance(block, Text))
        echo: dict[str, Any] = {"role": "assistant", "content": content}
        return echo | ({"thinking": thinking} if thinking else {}) | ({"tool_calls": self.calls} if self.calls else {})


# ---- streaming -------------------------------------------------------------------------------------------------------


def _stream(body: bytes, complaints: list[str]) -> Heard:
    assembly = _Assembly(complaints)
    events: list[Any] = []
    error: HeardError | None = None
    lines = body.split(b"\n")
    if lines[-1].strip() and loads(lines[-1]) is not None:
        complaints.append("stream: no line end after the last line")
    elif not lines[-1].strip():
        lines.pop()
    for line in lines:
        if not line.strip():
            # The official client parses every line, this one too.
            complaints.append("stream: an empty line")
            continue
        value = loads(line)
        if not isinstance(value, dict):
            complaints.append(f"stream: a line that is not a JSON object: {line[:60]!r}")
            continue
        events.append(value)
        if error is not None:
            complaints.append("stream: a line after an error")
        if "error" in value:
            error = _error(200, value["error"], complaints)
            if assembly.done:
                complaints.append("stream: an error after `done`")
            continue
        assembly.line(value)
    if error is None and not assembly.done:
        error = cut("no line with `done`")
    return replace(assembly.heard(tuple(events)), error=error)
