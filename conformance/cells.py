"""A cell: one frontend, one provider, one story, unary or stream; played over HTTP and judged.

It knows the mock's dialects, the record's fields and what `matrix.yaml` allows; of the proxy it sees a base URL.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import Any, Literal

from jsonpath_ng.ext.parser import parse as parse_path
from msgspec import Struct, field

from mockserver.dialects import DIALECTS
from mockserver.dialects.contract import Dialect, Heard, HttpAsk, Malformed, Provider, Understood, loads, meant
from mockserver.scenario import Exchange, Scenarios, Story
from mockserver.speech import Ask, Audio, Call, Cut, Document, Garble, Image, SayError, SayText, coarse
from mockserver.speech import Result as CallResult

from .allowed import Matrix, Side
from .bench import Answer, Bench
from .meaning import WRONG, Difference, added, places_differ, reply_differences, request_differences
from .naming import Names, names_of

Outcome = Literal["pass", "lossy", "unsupported", "fail"]

CLIENT_KEY = "client-key-that-must-stay-here"
"""The credential that the client sends; it may never reach a provider."""


class Cell(Struct, frozen=True, order=True):
    frontend: str
    provider: str
    story: str
    stream: bool

    def __str__(self) -> str:
        return f"{self.frontend}-{self.provider}-{self.story}-{'stream' if self.stream else 'unary'}"


class Wires(Struct, frozen=True):
    """What went over the four wires in one exchange, as text; the upstream ones are empty where nothing got there."""

    client_request: str
    client_response: str
    upstream_request: str = ""
    upstream_response: str = ""


class Step(Struct, frozen=True):
    """One exchange as it happened."""

    wires: Wires
    heard: Heard
    answer: Answer
    record: dict[str, Any] | None
    entries: tuple[dict[str, Any], ...] = ()


class Result(Struct):
    """How a cell ended; `reasons` say why it failed, or which refusal or losses were allowed.

    `renamed` is what tools and ids of the client were called upstream, which must be the same in every exchange.
    """

    cell: Cell
    outcome: Outcome = "pass"
    reasons: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    decision: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    ms: float = 0.0

    def fail(self, reason: str) -> None:
        self.outcome = "fail"
        self.reasons.append(reason)


def cells(scenarios: Scenarios, matrix: Matrix) -> Iterator[Cell]:
    """Every cell that these scenarios and frontends span."""
    for story in scenarios.stories.values():
        for provider in scenarios.providers.values():
            if not plays(provider, story) and not lacks(provider, story) <= refusable(provider, story, matrix):
                continue
            for frontend in matrix.frontends:
                if not story.is_between(frontend, provider.protocol):
                    continue
                for stream in (False, True):
                    if story.only != ("unary" if stream else "stream"):
                        yield Cell(frontend, provider.name, story.name, stream)


def plays(provider: Provider, story: Story) -> bool:
    """Whether this provider can do what the story needs; a story with its own backends names its providers itself."""
    needs = set(story.needs)
    return not provider.capabilities or needs <= set(provider.capabilities)


def lacks(provider: Provider, story: Story) -> set[str]:
    """The capabilities that the story needs and this provider does not have."""
    return set() if plays(provider, story) else set(story.needs) - set(provider.capabilities)


def refusable(provider: Provider, story: Story, matrix: Matrix) -> set[str]:
    """What this provider's dialect has no words for, of all that the story needs or brings."""
    return {
        word for word in (*story.needs, *story.refused) if word in matrix.dialects[provider.protocol].backend.refuses
    }


async def play(cell: Cell, bench: Bench, scenarios: Scenarios, matrix: Matrix, base_url: str | None = None) -> Result:
    """Play a cell against a base URL (the bench's own proxy by default) and judge it."""
    began = perf_counter()
    result = Result(cell)
    story, provider = scenarios.stories[cell.story], scenarios.providers[cell.provider]
    front, back = DIALECTS[cell.frontend], DIALECTS[provider.protocol]
    conversation: list[tuple[Ask, Heard | None]] = []
    if base_url is None:
        # what this provider must refuse, another one would take
        alone = bool(refusable(provider, story, matrix))
        base_url = await bench.alone(provider) if alone else bench.base_url
    for at, exchange in enumerate(story.exchanges):
        conversation.append((exchange.ask, None))
        provider = scenarios.providers[exchange.by or cell.provider]
        back = DIALECTS[provider.protocol]
        model = story.models.get(provider.name) or next(iter(provider.models), "any-model")
        asked = front.ask(conversation, model=model, stream=cell.stream, key=CLIENT_KEY)
        step = await _exchange(bench, base_url, front, asked, cell.stream)
        result.steps.append(step)
        intended = meant(conversation, model=model, stream=cell.stream)
        _judge(result, _Case(story, at, exchange, provider, front, back, matrix, intended, model), asked, step)
        if result.outcome in ("fail", "unsupported"):
            break
        conversation[-1] = (exchange.ask, step.heard)
    result.ms = (perf_counter() - began) * 1000
    return result


async def _exchange(bench: Bench, base_url: str, front: Dialect, asked: HttpAsk, stream: bool) -> Step:
    since, _ = await bench.journal(2**62)
    answer = await bench.send(asked.method, base_url + asked.path, asked.headers, asked.bytes())
    heard = front.hear(answer.status, answer.headers, answer.body, stream=stream, asked=asked)
    id_ = answer.headers.get("x-request-id")
    record = await bench.get_json(f"{base_url}/crosswire/requests/{id_}") if id_ else None
    _, entries = await bench.journal(since)
    last = entries[-1] if entries else {}
    wires = Wires(
        client_request=asked.bytes().decode(),
        client_response=answer.body.decode("utf-8", "replace"),
        upstream_request=last.get("received", ""),
        upstream_response=last.get("sent", ""),
    )
    return Step(wires, heard, answer, record, tuple(entries))


# ---- judging ---------------------------------------------------------------------------------------------------------


class _Case(Struct, frozen=True):
    """All that an exchange is judged by."""

    story: Story
    at: int
    exchange: Exchange
    provider: Provider
    front: Dialect
    back: Dialect
    matrix: Matrix
    meant: Understood
    model: str

    @property
    def upstream_side(self) -> Side:
        return self.matrix.dialects[self.back.name].backend

    @property
    def client_side(self) -> Side:
        return self.matrix.dialects[self.front.name].frontend


def _judge(result: Result, case: _Case, asked: HttpAsk, step: Step) -> None:
    """Hold one exchange against everything that must be true of it."""
    if not step.entries:
        _judge_refusal(result, case, step)
        return
    due = {word for word in refusable(case.provider, case.story, case.matrix) if _brings(word, case.meant)}
    if due and case.front.name != case.back.name:
        result.fail(f"{', '.join(sorted(due))} had to be refused, and reached the provider")
    if len(step.entries) > 1:
        result.fail(f"{len(step.entries)} requests reached the provider where one was asked for")
    entry = step.entries[-1]
    if entry["story"] != case.story.name or entry["step"] not in (case.at, None):
        result.fail(f"the provider did not recognise the request: {entry['note'] or entry['story']}")
        return
    if entry["note"]:
        result.fail(f"the provider: {entry['note']}")
    _judge_secrets(result, case, step, entry)
    said, arrived = _understood(result, case, asked, entry)
    differences: list[Difference] = []
    names: Names = {}
    if said is not None and arrived is not None:
        names = names_of(said, arrived)
        differences += request_differences(said, case.front, arrived, case.back, case.provider.name)
        _judge_added(result, case, said, arrived)
        _judge_renamed(result, case, said, arrived, names)
    lost_on_the_way_up = {difference.word for difference in differences} - {WRONG}
    upstream = case.back.hear(
        entry["status"], entry["reply_headers"], _sent(entry), stream=result.cell.stream, asked=_as_ask(entry)
    )
    # what a provider of the same protocol says in an odd way is relayed as it came, but no error ever is
    as_it_came = _is_relayed(step) and entry["status"] == 200
    odd = upstream.complaints if as_it_came else tuple(filter(PASSED_ON.match, upstream.complaints))
    for complaint in step.heard.complaints:
        if complaint not in odd:
            result.fail(f"the client's protocol is broken: {complaint}")
    offered = said.tools if said is not None else ()
    differences += reply_differences(upstream, case.back, step.heard, case.front, names, offered, case.provider.name)
    _judge_losses(result, case, step, differences)
    _judge_told(result, case, step, entry, arrived, lost_on_the_way_up)
    whole = (
        said is not None
        and not request_differences(case.meant, case.front, said, case.front)
        and not places_differ(case.meant, said)
    )
    _judge_expected(result, case, step, entry, upstream, whole)


BRINGS: dict[str, tuple[type, ...]] = {
    "documents": (Document,),
    "document": (Document,),
    "audio": (Audio,),
    "image": (Image,),
}
"""A word of a refusal, and the blocks that it is about."""


def _brings(word: str, said: Understood) -> bool:
    """Whether what may be refused has been said by now; an exchange before it must pass."""
    if word not in BRINGS:
        return True
    blocks = [block for turn in said.turns for block in turn.blocks]
    inner = [block for result in blocks if isinstance(result, CallResult) for block in result.blocks]
    return any(isinstance(block, BRINGS[word]) for block in (*blocks, *inner))


PASSED_ON = re.compile(r"calls: the arguments of .* are no JSON object")
"""What a client may complain of when the provider said it so: a text that is no JSON stays what it is."""


def _is_relayed(step: Step) -> bool:
    return any(attempt["relayed"] for attempt in (step.record or {}).get("attempts", []))


def _judge_refusal(result: Result, case: _Case, step: Step) -> None:
    """Nothing reached the provider: that is only right where the matrix allows this refusal, or the story wants it."""
    for complaint in step.heard.complaints:
        result.fail(f"the client's protocol is broken: {complaint}")
    error = step.heard.error
    wanted = case.exchange.hear.error
    if error is None:
        result.fail("an answer came though nothing reached the provider")
    elif wanted is not None and wanted.kind is not None and coarse(wanted.kind) == error.kind:
        result.reasons.append(error.message)
    elif step.answer.status == 400 and any(
        re.search(rf"\b{re.escape(word)}\b", error.message)
        for word in refusable(case.provider, case.story, case.matrix)
    ):
        result.outcome = "unsupported"
        result.reasons.append(error.message)
    else:
        result.fail(f"refused with {step.answer.status}: {error.message}")


def _judge_secrets(result: Result, case: _Case, step: Step, entry: dict[str, Any]) -> None:
    if CLIENT_KEY in json.dumps([entry["path"], entry["headers"], entry["body"]]):
        result.fail("the client's credential reached the provider")
    if case.provider.auth.key in json.dumps([step.answer.headers, step.wires.client_response, step.record]):
        result.fail("the proxy's own credential reached the client")


def _understood(
    result: Result, case: _Case, asked: HttpAsk, entry: dict[str, Any]
) -> tuple[Understood | None, Understood | None]:
    try:
        said = case.front.read(asked.path, asked.headers, asked.body)
        path = entry["path"].removeprefix(f"/{entry['provider']}{case.provider.base_path}")
        return said, case.back.read(path, entry["headers"], entry["body"])
    except Malformed as problem:
        result.fail(f"a request cannot be read: {problem}")
        return None, None


def _judge_renamed(result: Result, case: _Case, said: Understood, arrived: Understood, names: Names) -> None:
    """A name or an id that had to be made anew is the same in every exchange, or no history would hold together."""
    calls = [[b for turn in side.turns for b in turn.blocks if isinstance(b, Call)] for side in (said, arrived)]
    pairs = [(f"tool {full}", there.name) for full, there in names.items()]
    if len(calls[0]) == len(calls[1]):
        pairs += [(f"call {one.id}", other.id) for one, other in zip(*calls, strict=True) if one.id]
    for what, name in pairs:
        before = result.renamed.setdefault(f"{what} at {case.provider.name}", name)
        if before != name:
            result.fail(f"{what} was {before!r} upstream before, and is {name!r} now")


def _judge_added(result: Result, case: _Case, said: Understood, arrived: Understood) -> None:
    """Nothing may be added that the client did not say, but for what the matrix lists."""
    if case.front.name == case.back.name:
        extra = added(said, arrived)
    else:
        told = [(path.rpartition(".")[2], value) for path, value in said.extra.items()]
        extra = {p: value for p, value in arrived.extra.items() if (p.rpartition(".")[2], value) not in told}
    for path in extra:
        if path not in case.upstream_side.adds:
            result.fail(f"the proxy added {path} = {extra[path]!r}")


def _sent(entry: dict[str, Any]) -> bytes:
    return str(entry.get("sent", "")).encode()


def _as_ask(entry: dict[str, Any]) -> HttpAsk:
    return HttpAsk(entry["method"], entry["path"], entry["headers"], entry["body"] or {})


def _judge_losses(result: Result, case: _Case, step: Step, differences: list[Difference]) -> None:
    """Declared must be missing, and missing declared, exactly; and only what the matrix allows for this pair."""
    for difference in differences:
        if difference.word == WRONG:
            result.fail(str(difference))
    missing = {difference.word for difference in differences} - {WRONG}
    declared = _declared(step)
    if step.record is None and not declared:
        declared = _header_losses(step)
    for word in sorted(missing - declared):
        why = "; ".join(str(difference) for difference in differences if difference.word == word)
        result.fail(f"undeclared loss {word}: {why}")
    for word in sorted(declared - missing):
        result.fail(f"a loss was declared that did not happen: {word}")
    for word in sorted(declared & missing):
        if word not in case.upstream_side.losses and word not in case.client_side.losses:
            result.fail(f"loss {word} is not allowed for {case.front.name} → {case.back.name}")
        if word not in result.losses:
            result.losses.append(word)
    if result.losses and result.outcome == "pass":
        result.outcome = "lossy"


def _declared(step: Step) -> set[str]:
    return {loss["feature"] for loss in (step.record or {}).get("losses", [])}


def _header_losses(step: Step) -> set[str]:
    return set(filter(None, step.answer.headers.get("x-crosswire-loss", "").split(",")))


def _judge_told(
    result: Result,
    case: _Case,
    step: Step,
    entry: dict[str, Any],
    arrived: Understood | None,
    lost_on_the_way_up: set[str],
) -> None:
    """Headers and record must name who really served, and the body the model that the client asked for."""
    headers, record = step.answer.headers, step.record
    if step.heard.error is None:
        if headers.get("x-crosswire-backend") != entry["backend"]:
            result.fail(f"the header names backend {headers.get('x-crosswire-backend')}, served by {entry['backend']}")
        if arrived is not None and headers.get("x-crosswire-model") != arrived.model:
            result.fail(f"the header names model {headers.get('x-crosswire-model')}, upstream got {arrived.model}")
        model = case.exchange.ask.model or case.model
        if step.heard.model not in (None, model):
            result.fail(f"the body names model {step.heard.model}, asked was {model}")
        told = _header_losses(step)
        # a stream's headers went out before the answer was known, yet after all that the request lost
        least = lost_on_the_way_up & _declared(step) if result.cell.stream else _declared(step)
        if not least <= told <= _declared(step):
            result.fail(f"the header declares {sorted(told)}, the record {sorted(_declared(step))}")
    if record is None:
        result.fail("there is no record of this request")
        return
    attempts = record.get("attempts") or []
    if len(attempts) != len(step.entries):
        result.fail(f"the record has {len(attempts)} attempts, the provider saw {len(step.entries)}")
    if step.heard.error is None and record["backend_used"] != entry["backend"]:
        result.fail(f"the record names {record['backend_used']}, served by {entry['backend']}")
    if step.heard.error is None and arrived is not None and record["model_used"] != arrived.model:
        result.fail(f"the record names model {record['model_used']}, upstream got {arrived.model}")
    decision = record.get("decision") or {}
    chosen = decision.get("chosen") or {}
    result.decision = {
        "mode": decision.get("mode"),
        "because": decision.get("because"),
        "chosen": {"backend": chosen.get("backend"), "model": chosen.get("model")},
    }
    for key, value in (case.story.decide or {}).items():
        known = {
            "tried": [attempt["backend"] for attempt in attempts],
            "chosen": chosen.get("backend"),
            "model": record.get("model_used"),
            "mode": decision.get("mode"),
        }
        if known.get(key) != value:
            result.fail(f"decided {key} = {known.get(key)}, the story says {value}")


def _judge_expected(
    result: Result, case: _Case, step: Step, entry: dict[str, Any], upstream: Heard, complete: bool
) -> None:
    """What the story demands of the upstream request, where the client could say all of it, and of what is heard."""
    expected = case.exchange.expect.get(case.back.name, {}) if complete else {}
    for path, want in expected.items():
        found = [match.value for match in _path(path).find(entry["body"])]
        if found != want if isinstance(want, list) else any(value != want for value in found) or not found:
            result.fail(f"upstream {path} is {found}, the story says {want}")
    hear, heard = case.exchange.hear, step.heard
    for name, value in hear.headers.items():
        if step.answer.headers.get(name) != value:
            result.fail(f"header {name} is {step.answer.headers.get(name)}, the story says {value}")
    if hear.text is not None and heard.text != hear.text:
        result.fail(f"heard {heard.text!r}, the story says {hear.text!r}")
    if hear.after is not None and not hear.after.startswith(heard.text):
        result.fail(f"before the error {heard.text!r} was heard, the story says {hear.after!r}")
    if hear.calls is not None:
        calls = [{"name": call.name, "arguments": loads(call.arguments.encode())} for call in heard.calls]
        if calls != list(hear.calls):
            result.fail(f"heard the calls {calls}, the story says {list(hear.calls)}")
    if hear.stop is not None and case.front.blurs.get(hear.stop, hear.stop) != heard.stop:
        result.fail(f"stopped with {heard.stop}, the story says {hear.stop}")
    _judge_error(result, case, step, upstream)


def _path(text: str, known: dict[str, Any] = {}) -> Any:  # noqa: B006 - the compiled paths of all stories
    if text not in known:
        known[text] = parse_path(text)
    return known[text]


def _judge_error(result: Result, case: _Case, step: Step, upstream: Heard) -> None:
    """An error must be the right one, with the right status before the first word, and a broken stream must break."""
    wanted = expected_error(case)
    error = step.heard.error
    if wanted is None:
        if error is not None:
            result.fail(f"an error that nobody said: {error.status} {error.kind}: {error.message}")
        elif step.answer.broken:
            result.fail("the connection broke though the answer was whole")
        return
    if error is None:
        result.fail(f"no error was heard, {wanted[1]} was said")
        return
    status, kind = wanted
    blurs = {**case.client_side.stream_errors, **case.matrix.dialects[case.back.name].frontend.stream_errors}
    blurred = step.answer.status == 200 and coarse(kind) in blurs
    if error.kind != coarse(kind) and not (blurred and error.kind == "internal"):
        result.fail(f"heard an error of kind {error.kind}, {kind} was said")
    if step.answer.status == 200:
        if not step.answer.broken:
            result.fail("a stream that failed ended cleanly")
    else:
        right = case.client_side.statuses.get(status, status)
        if step.answer.status != right:
            result.fail(f"status {step.answer.status}, must be {right}")
    # what the provider's own client could not read (a `raw` reply), nobody can hold the proxy to
    readable = upstream.error is not None and not upstream.complaints
    passed_on = readable and coarse(kind) in ("bad_request", "not_found", "rate_limit")
    if passed_on and upstream.error is not None and upstream.error.message not in error.message:
        result.fail(f"the provider's words were {upstream.error.message!r}, the client heard {error.message!r}")


def expected_error(case: _Case) -> tuple[int, str] | None:
    """Status and kind of the error that a client must hear, by the story's `hear`, else by what its `say` does."""
    said = first_fault(case.exchange.said_by(case.provider.name) or ())
    hear = case.exchange.hear.error
    if hear is not None:
        return hear.status or (said or (502, ""))[0], hear.kind or (said or (0, "internal"))[1]
    return said


def first_fault(items: Iterable[Any]) -> tuple[int, str] | None:
    """What the first fault of a `say` means to a client, as (status, kind)."""
    for item in items:
        match item:
            case SayError(kind=kind, status=status):
                return status or 502, kind
            case Cut() | Garble():
                return 502, "internal"
            case SayText():
                continue
    return None
