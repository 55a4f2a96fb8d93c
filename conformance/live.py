"""The provider that nobody plays: a real model in the proxy, asked the same stories, its answers judged by meaning.

It knows what `live.yaml` lists and the mock's dialects; of the proxy it sees a base URL and a log of what went in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import jsonschema
import yaml
from msgspec import Struct, convert

from mockserver.dialects import DIALECTS
from mockserver.dialects.contract import Heard, Understood
from mockserver.scenario import Exchange, Scenarios, Story, new_words
from mockserver.speech import Ask, Call, Named, SayCall

from .allowed import Matrix, Reason
from .bench import Bench
from .judge import CLIENT_KEY
from .steps import Cell, Result, Step, Wires

LIVE = "mlx"
PLAYS, REFUSES = "plays", "refuses"
FILE = Path(__file__).with_name("live.yaml")


class Cannot(Struct, frozen=True, forbid_unknown_fields=True):
    """Stories that this model cannot play, and why."""

    why: str
    stories: tuple[str, ...]


class Live(Struct, frozen=True, forbid_unknown_fields=True):
    """What the model plays, by globs; what it must refuse; what it may lose."""

    models: dict[str, str]
    plays: tuple[str, ...]
    cannot: tuple[Cannot, ...]
    refuses: dict[str, Reason]
    losses: dict[str, Reason]

    def told(self, story: Story) -> list[str]:
        """What is said of a story: PLAYS, REFUSES, or why it cannot be played; one thing, if the list is whole."""
        said = [entry.why for entry in self.cannot if any(fnmatchcase(story.name, glob) for glob in entry.stories)]
        if any(fnmatchcase(story.name, glob) for glob in self.plays):
            said.append(PLAYS)
        return said or [REFUSES for _ in self.refused(story)][:1]

    def is_exact(self, story: Story) -> bool:
        """Whether the model says the same each time: it draws no dice where nobody asks it to."""
        dice = any(exchange.ask.temperature or exchange.ask.also for exchange in story.exchanges)
        return self.told(story) == [PLAYS] and not dice

    def refused(self, story: Story) -> list[str]:
        """The capabilities that the story needs and this model has not."""
        return [need for need in story.needs if need in self.refuses]


def read_live(file: Path = FILE) -> Live:
    """The list as its file says; raises msgspec.ValidationError where it is not of this shape."""
    return convert(yaml.safe_load(file.read_text("utf-8")), Live)


def can_run() -> bool:
    """Whether the extra `local` is installed; MLX has no wheels for some platforms."""
    return all(find_spec(name) is not None for name in ("mlx_lm", "llguidance"))


def live_cells(scenarios: Scenarios, matrix: Matrix, live: Live) -> Iterator[Cell]:
    """The cells of the model: what it plays, and what it must refuse."""
    for story in scenarios.stories.values():
        if story.proxy is not None or live.told(story) not in ([PLAYS], [REFUSES]):
            continue
        for frontend in matrix.frontends:
            if not story.clients or frontend in story.clients:
                modes = (False, True) if story.only is None else (story.only == "stream",)
                yield from (Cell(frontend, LIVE, story.name, stream) for stream in modes)


async def play_live(cell: Cell, bench: Bench, scenarios: Scenarios, matrix: Matrix, live: Live) -> Result:
    """Ask the model a story, every exchange of it that follows from real answers, and judge what it said."""
    began = perf_counter()
    result = Result(cell)
    story, front = scenarios.stories[cell.story], DIALECTS[cell.frontend]
    base_url = await bench.local({"protocol": LIVE, "models": live.models})
    conversation: list[tuple[Ask, Heard | None]] = []
    for exchange in story.exchanges:
        if exchange.by is not None:
            break
        conversation.append((exchange.ask, None))
        asked = front.ask(conversation, model=next(iter(live.models)), stream=cell.stream, key=CLIENT_KEY)
        answer = await bench.send(asked.method, base_url + asked.path, asked.headers, asked.bytes())
        heard = front.hear(answer.status, answer.headers, answer.body, stream=cell.stream, asked=asked)
        id_ = answer.headers.get("x-request-id", "")
        record = await bench.get_json(f"{base_url}/crosswire/requests/{id_}")
        prompt, said = await bench.said_locally(id_) if answer.status == 200 else ("", "")
        wires = Wires(asked.bytes().decode(), answer.body.decode("utf-8", "replace"), prompt, said)
        step = Step(wires, heard, answer, record)
        result.steps.append(step)
        if live.told(story) == [REFUSES]:
            _judge_refusal(result, live.refused(story), step)
            break
        # what this client could not say, nobody can hold the model to
        _judge(result, exchange, conversation, front.read(asked.path, asked.headers, asked.body), step)
        _judge_losses(result, step, {*live.losses, *matrix.dialects[front.name].frontend.losses})
        if result.outcome == "fail":
            break
        conversation[-1] = (exchange.ask, heard)
    if result.outcome == "pass" and result.losses:
        result.outcome = "lossy"
    result.ms = (perf_counter() - began) * 1000
    return result


def _judge_refusal(result: Result, refused: list[str], step: Step) -> None:
    error = step.heard.error
    if error is None or step.answer.status != 400 or not any(word in error.message for word in refused):
        result.fail(f"{', '.join(refused)} had to be refused, and was answered with {step.answer.status}")
        return
    result.outcome = "unsupported"
    result.refused = refused
    result.reasons.append(error.message)


def _judge(
    result: Result, exchange: Exchange, conversation: list[tuple[Ask, Heard | None]], said: Understood, step: Step
) -> None:
    heard, record = step.heard, step.record or {}
    for complaint in heard.complaints:
        result.fail(f"the client's protocol is broken: {complaint}")
    if heard.error is not None or step.answer.status != 200:
        result.fail(f"refused with {step.answer.status}: {heard.error and heard.error.message}")
        return
    if record.get("backend_used") != LIVE:
        result.fail(f"the record says that {record.get('backend_used')} answered")
    result.decision = record.get("decision") or {}
    missing = [word for ask, _ in conversation for word in new_words(ask) if word not in step.wires.upstream_request]
    if missing:
        result.fail(f"the prompt lacks {missing}")
    if CLIENT_KEY in step.wires.upstream_request:
        result.fail("the client's key is in the prompt")
    if heard.usage is None or not heard.usage.output:
        result.fail("no tokens were counted")
    elif said.max_tokens is not None and heard.usage.output > said.max_tokens:
        result.fail(f"{heard.usage.output} tokens came where {said.max_tokens} were the bound")
    calls = [block for block in heard.blocks if isinstance(block, Call)]
    due = any(isinstance(item, SayCall) for items in exchange.say.values() for item in items)
    for fault in _call_faults(calls, said, due, heard):
        result.fail(fault)
    for stop in said.stop:
        if stop in heard.text:
            result.fail(f"the answer holds {stop!r}, where it had to stop")
    if said.format is not None and heard.stop != "length":
        try:
            jsonschema.validate(json.loads(heard.text), said.format.schema or {"type": "object"})
        except (ValueError, jsonschema.ValidationError) as fault:
            result.fail(f"the answer is not of the form that was asked: {fault}")


def _call_faults(calls: list[Call], said: Understood, due: bool, heard: Heard) -> Iterator[str]:
    offered: Mapping[str, Any] = {tool.name: tool.parameters for tool in said.tools}
    if due and not calls:
        yield f"a call was due, and {heard.text!r} came"
    if calls and (said.tool_choice == "none" or not said.tools):
        yield f"no call was allowed, and {calls} came"
    if not calls and not heard.text.strip() and heard.stop not in ("stop_sequence", "end", "length"):
        yield "nothing was said"
    if calls and heard.stop != "tool":
        yield f"the answer calls, and stops by {heard.stop}"
    if len({call.id for call in calls}) < len(calls):
        yield "two calls have one id"
    if said.parallel is False and len(calls) > 1:
        yield f"{len(calls)} calls came where one was allowed"
    for call in calls:
        if call.name not in offered:
            yield f"{call.name} was called, which is not on offer"
            continue
        if isinstance(said.tool_choice, Named) and call.name != said.tool_choice.name:
            yield f"{call.name} was called, where {said.tool_choice.name} was due"
        try:
            jsonschema.validate(json.loads(call.arguments or "{}"), offered[call.name] or {"type": "object"})
        except (ValueError, jsonschema.ValidationError) as fault:
            yield f"the arguments of {call.name} do not fit: {fault}"


def _judge_losses(result: Result, step: Step, allowed: set[str]) -> None:
    """Every declared loss is one that is allowed, and the record and the header tell the same."""
    found = [loss["feature"] for loss in (step.record or {}).get("losses", [])]
    result.losses += [word for word in dict.fromkeys(found) if word not in result.losses]
    for word in set(found) - allowed:
        result.fail(f"{word} was lost, which live.yaml allows nobody")
    told = [word for word in step.answer.headers.get("x-crosswire-loss", "").split(",") if word]
    if not result.cell.stream and set(told) != set(found):
        result.fail(f"the header tells of {told}, the record of {found}")


EXACT_ON = ("linux", "x86_64")
"""Where what the model says is held to the letter; elsewhere sums of floats may round to another word."""


def live_picture(results: list[Result]) -> dict[str, Any]:
    """What the model was given and said in a story: the first client's in full, every other as what differs."""
    first, *others = [(f"{r.cell.frontend} {'stream' if r.cell.stream else 'unary'}", _view(r)) for r in results]
    return {first[0]: first[1], **{name: "the same" if view == first[1] else view for name, view in others}}


def _view(result: Result) -> list[dict[str, Any]]:
    return [
        {"prompt": step.wires.upstream_request, "said": said_in(step.wires.upstream_response)} for step in result.steps
    ]


def said_in(lines: str) -> str:
    """The words of a model out of the lines of its log, those of one part together, and why it stopped."""
    out, part = "", "text"
    for line in map(json.loads, lines.splitlines()):
        pieces = line.get("said") or [{"part": key, "text": value} for key, value in line.items() if key in _AROUND]
        for piece in pieces:
            if piece["part"] != part:
                out += _AROUND[part][1] + _AROUND[piece["part"]][0]
                part = piece["part"]
            out += piece["text"]
        out += f"{_AROUND[part][1]} ({line['stop']})" if "stop" in line else ""
    return out


_AROUND = {"text": ("", ""), "thinking": ("[", "]"), "call": ("«", "»")}
