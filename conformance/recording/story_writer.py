"""Makes stories of recorded exchanges: neutral, redacted, each conversation one story with all of its exchanges."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import yaml
from msgspec import Struct
from msgspec.structs import asdict, replace

from crosswire.mockserver.protocols.protocol import ParsedRequest
from crosswire.mockserver.scenarios.model import (
    STOPS,
    AllowedTools,
    Audio,
    Block,
    Document,
    Image,
    NamedTool,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from crosswire.mockserver.scenarios.story_parser import read_story

from ..client.protocol import ParsedReply
from ..comparison.json_schema import normalize_schema
from .redaction import Redactor


class Recorded(Struct, frozen=True):
    """One exchange with the provider, in neutral form; `failures` are those before it, if it was sent again."""

    asked: ParsedRequest
    reply: ParsedReply
    failures: tuple[Recorded, ...] = ()
    retry_after: float | None = None


class Written(Struct, frozen=True):
    """A story as YAML, or the reason why there is none."""

    name: str
    text: str = ""
    problem: str = ""


def write_stories(recorded: Sequence[Recorded], upstream: str, redactor: Redactor) -> list[Written]:
    """Returns the stories of all exchanges; one that goes on where another ended belongs to that one's story."""
    chains: list[list[Recorded]] = []
    for each in _with_retries(recorded):
        chain = next((one for one in chains if _goes_on(one[-1].asked.turns, each.asked.turns)), None)
        if chain is None:
            chains.append([each])
        else:
            chain.append(each)
    written: dict[str, Written] = {}
    openings: dict[str, str] = {}
    for chain in chains:
        writer = _Writer(redactor)
        body = writer.story(chain, upstream)
        opening = writer.opening
        name = _name(opening, written)
        head = [f"# Recorded from {upstream}, with ids, keys and e-mail addresses replaced."]
        if writer.left_out:
            head.append(f"# Not in it, for stories cannot say it: {', '.join(sorted(writer.left_out))}.")
        text = "\n".join([*head, yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=120)])
        other = next((known for words, known in openings.items() if words in opening or opening in words), None)
        mistakes = read_story(name, f"{name}.yaml", text)[1]
        if other is not None:
            written[name] = Written(name, problem=f"begins like {other}, so a request could be of either")
        elif mistakes:
            written[name] = Written(name, problem="; ".join(each.message for each in mistakes))
        else:
            openings[opening] = name
            written[name] = Written(name, text)
    return list(written.values())


def _with_retries(recorded: Sequence[Recorded]) -> list[Recorded]:
    """Returns the exchanges with each request that failed and was sent again as one."""
    found: list[Recorded] = []
    for each in recorded:
        again = next((at for at, other in enumerate(found) if other.asked == each.asked and _failed(other.reply)), None)
        if again is None:
            found.append(each)
        else:
            before = found[again]
            found[again] = replace(each, failures=(*before.failures, replace(before, failures=())))
    return found


def _failed(reply: ParsedReply) -> bool:
    return reply.error is not None and reply.error.kind != "cut" and not reply.blocks


def _goes_on(before: Sequence[Turn], after: Sequence[Turn]) -> bool:
    """Returns whether a conversation goes on with an answer and new turns behind what was asked before."""
    rest = after[len(before) :]
    return tuple(after[: len(before)]) == tuple(before) and len(rest) > 1 and rest[0].role == "assistant"


def _name(opening: str, taken: Iterable[str]) -> str:
    words = re.findall(r"[a-z0-9]+", opening.lower())[:5]
    name = f"text-{'-'.join(words) or 'recorded'}"[:48]
    number = sum(each == name or each.startswith(f"{name}-") for each in taken)
    return f"{name}-{number + 1}" if number else name


class _Writer:
    """Writes the parts of one story."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self.left_out: set[str] = set()
        """Names of what no story can say."""
        self.opening = ""
        self._unnamed: list[tuple[str, str]] = []
        """Name and id in the story of each call without an id of its own that has no result yet."""

    def story(self, chain: Sequence[Recorded], upstream: str) -> dict[str, Any]:
        first = chain[0]
        ask = {**self._settings(first.asked), **self._conversation(first.asked.turns)}
        story = {
            "why": f"Traffic with {upstream}.",
            "source": f"recorded from {upstream}",
            "needs": self._needs(chain),
            "ask": ask,
            "say": self._attempts(first),
        }
        then = []
        for before, each in pairwise(chain):
            new = each.asked.turns[len(before.asked.turns) :]
            then.append({"ask": self._next_ask(new), "say": self._attempts(each)})
        return story | ({"then": then} if then else {})

    def _needs(self, chain: Sequence[Recorded]) -> list[str]:
        asked = chain[0].asked
        blocks = [block for each in chain for turn in each.asked.turns for block in turn.blocks]
        needs = ["text"]
        needs += ["tools"] if asked.tools else []
        needs += ["vision"] if any(isinstance(block, Image) for block in blocks) else []
        needs += ["documents"] if any(isinstance(block, Document) for block in blocks) else []
        needs += ["audio"] if any(isinstance(block, Audio) for block in blocks) else []
        if any(isinstance(block, Thinking) for each in chain for block in each.reply.blocks):
            needs.append("reasoning")
        if asked.format is not None:
            needs.append("json_object" if asked.format.schema is None else "json_schema")
        return needs

    # ---- what was asked ----------------------------------------------------------------------------------------------

    def _settings(self, asked: ParsedRequest) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if asked.system:
            found["system"] = [self._redactor.text(text) for text in asked.system]
        if asked.tools:
            found["tools"] = [self._tool(tool) for tool in asked.tools]
        match asked.tool_choice if asked.tools else None:  # a choice among tools that are left out is none
            case NamedTool(name):
                found["tool_choice"] = {"name": name}
            case AllowedTools(names, mode):
                found["tool_choice"] = {"allowed": list(names), "mode": mode}
            case str(word):
                found["tool_choice"] = word
            case _:
                pass
        if asked.parallel is not None:
            found["parallel"] = asked.parallel
        found |= asked.sampling
        if asked.max_tokens is not None:
            found["max_tokens"] = asked.max_tokens
        if asked.stop:
            found["stop"] = [self._redactor.text(text) for text in asked.stop]
        if asked.reasoning is not None and not isinstance(asked.reasoning, bool):
            found["reasoning"] = asked.reasoning
        if asked.format is not None:
            schema = asked.format.schema
            found["format"] = "json" if schema is None else {"schema": self._redactor.value(normalize_schema(schema))}
        if asked.extra:
            self.left_out |= {f"the field {path}" for path in asked.extra}
        return found

    def _tool(self, tool: Tool) -> dict[str, Any]:
        found: dict[str, Any] = {"name": tool.name}
        if tool.description is not None:
            found["description"] = self._redactor.text(tool.description)
        if tool.kind == "custom":
            return found | {"custom": True}
        if tool.parameters is not None:
            found["parameters"] = self._redactor.value(normalize_schema(tool.parameters))
        return found if tool.strict is None else found | {"strict": tool.strict}

    def _conversation(self, turns: Sequence[Turn]) -> dict[str, Any]:
        """Returns the turns of the first request; the last one is `user` where it is plain."""
        for turn in turns:
            for block in turn.blocks:
                if turn.role == "user" and isinstance(block, Text) and not self.opening:
                    self.opening = self._redactor.text(block.text)
        if len(turns) == 1 and turns[0].role == "user" and not _results(turns[0]):
            return {"user": self._parts(turns[0].blocks)}
        return {"turns": [written for turn in turns for written in self._turn(turn)]}

    def _turn(self, turn: Turn) -> Iterable[dict[str, Any]]:
        if results := _results(turn):
            yield {"results": {self._result_id(each): self._result(each) for each in results}}
        others = [block for block in turn.blocks if not isinstance(block, ToolResult)]
        parts = self._said(others) if turn.role == "assistant" else self._parts(others)
        if parts:
            yield {turn.role: parts}

    def _next_ask(self, new: Sequence[Turn]) -> dict[str, Any]:
        ask: dict[str, Any] = {}
        users = [turn for turn in new if turn.role == "user"]
        results = [each for turn in users for each in _results(turn)]
        if results:
            ask["results"] = {self._result_id(each): self._result(each) for each in results}
        blocks = [block for turn in users for block in turn.blocks if not isinstance(block, ToolResult)]
        if blocks:
            ask["user"] = self._parts(blocks)
        return ask

    def _call_id(self, call: ToolCall) -> str:
        """Returns the id of a call in the story; some protocols have none, and name the result after its function."""
        if call.id:
            return self._redactor.call_id(call.id)
        given = self._redactor.new_call_id()
        self._unnamed.append((call.name, given))
        return given

    def _result_id(self, result: ToolResult) -> str:
        """Returns the id of the call that a result is of: without an id the first of this name that has none yet."""
        if result.id or not self._unnamed:
            return self._redactor.call_id(result.id)
        found = next((each for each in self._unnamed if each[0] == result.name), self._unnamed[0])
        self._unnamed.remove(found)
        return found[1]

    def _result(self, result: ToolResult) -> Any:
        parts = self._parts(result.blocks)
        return {"error": parts} if result.error else parts

    def _parts(self, blocks: Iterable[Block]) -> list[Any]:
        parts: list[Any] = []
        for block in blocks:
            match block:
                case Text(text):
                    parts.append(self._redactor.text(text))
                case Image():
                    # a picture may show anything
                    self.left_out.add("pictures, which stand as one pixel")
                    parts.append({"image": {"mime": "image/png", "base64": PIXEL}})
                case _:
                    self.left_out.add(type(block).__name__.lower())
        return parts

    # ---- what was said -----------------------------------------------------------------------------------------------

    def _attempts(self, recorded: Recorded) -> list[dict[str, Any]]:
        """Returns the errors that came first, each the number of times after which it is over, and the reply."""
        failed = [
            {**item, "times": times}
            for times, failure in enumerate(recorded.failures, 1)
            for item in self._say(failure)
        ]
        return [*failed, *self._say(recorded)]

    def _say(self, recorded: Recorded) -> list[dict[str, Any]]:
        reply = recorded.reply
        items = self._said(reply.blocks)
        if reply.error is not None:
            if reply.error.kind == "cut":
                return [*(items or [{"text": []}]), {"cut": "eof"}]
            error: dict[str, Any] = {"kind": reply.error.kind}
            if isinstance(reply.error.native, dict | str) and reply.error.message:  # else it is a page of some proxy
                error["message"] = self._redactor.text(reply.error.message)
            if recorded.retry_after is not None:
                error["retry_after"] = recorded.retry_after
            return [*items, {"error": error | ({"in": "stream"} if items else {})}]
        items = items or [{"text": []}]
        if reply.stop in STOPS and reply.stop not in ("end", "tool", "stop_sequence"):
            items.append({"stop": reply.stop})
        if reply.usage is not None and (counts := {n: v for n, v in asdict(reply.usage).items() if v is not None}):
            items.append({"usage": counts})
        return items

    def _said(self, blocks: Iterable[Block]) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        for block in blocks:
            match block:
                case Text(text) if text:
                    items.append({"text": self._redactor.text(text)})
                case Thinking(text) if text:
                    items.append({"think": self._redactor.text(text)})
                case Refusal(text):
                    items.append({"refusal": self._redactor.text(text)})
                case ToolCall(name=name, arguments=arguments, kind="custom"):
                    called = {"id": self._call_id(block), "name": name, "input": self._redactor.text(arguments)}
                    items.append({"custom": called})
                case ToolCall(name=name, arguments=arguments):
                    called = {"id": self._call_id(block), "name": name, "arguments": self._arguments(arguments)}
                    items.append({"call": called})
                case Text() | Thinking():
                    pass
                case _:
                    self.left_out.add(type(block).__name__.lower())
        return items

    def _arguments(self, text: str) -> Any:
        try:
            return json.dumps(self._redactor.value(json.loads(text or "{}")), ensure_ascii=False)
        except ValueError:
            return self._redactor.text(text)


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A picture of one pixel."""


def _results(turn: Turn) -> list[ToolResult]:
    return [block for block in turn.blocks if isinstance(block, ToolResult)]
