"""What must be true of an exchange, whoever took part: requests, answers, losses, errors, headers, records, secrets.

It knows the mock's dialects, the record's fields and what `matrix.yaml` allows; of the proxy it knows nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from jsonpath_ng.ext.parser import parse as parse_path
from msgspec import Struct

from mockserver.dialects.contract import Dialect, Heard, HeardError, HttpAsk, Malformed, Provider, Understood, loads
from mockserver.scenario import Exchange, Story
from mockserver.speech import Audio, Call, Cut, Document, Garble, Image, SayError, SayText, coarse
from mockserver.speech import Result as CallResult

from .allowed import Matrix, Side
from .meaning import WRONG, Difference, added, places_differ, reply_differences, request_differences
from .naming import Names, names_of
from .steps import Result, Step, decided, path_below

CLIENT_KEY = "client-key-that-must-stay-here"
"""The credential that the client sends; it may never reach a provider."""


def plays(provider: Provider, story: Story) -> bool:
    """Whether this provider can do what the story needs; a story with its own backends names its providers itself."""
    needs = set(story.needs)
    return not provider.capabilities or needs <= set(provider.capabilities)


def lacks(provider: Provider, story: Story) -> set[str]:
    """The capabilities that the story needs and this provider does not have."""
    return set() if plays(provider, story) else set(story.needs) - set(provider.capabilities)


def refusable(provider: Provider, story: Story, matrix: Matrix) -> set[str]:
    """What this provider's dialect has no words for, of all that the story needs or brings."""
    side = matrix.dialects[provider.protocol].backend
    words = side.refuses.keys() | (side.losses.keys() if story.is_strict else set())
    return {word for word in (*story.needs, *story.refused) if word in words}


class Case(Struct, frozen=True):
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
    backend: str = ""
    """Which of the story's own backends was asked last."""

    @property
    def upstream_side(self) -> Side:
        return self.matrix.dialects[self.back.name].backend

    @property
    def client_side(self) -> Side:
        return self.matrix.dialects[self.front.name].frontend

    @property
    def untellable(self) -> list[str]:
        """What of the answer this client cannot be told and must not go without, of all that the story names."""
        words = self.client_side.refuses.keys() | (self.client_side.losses.keys() if self.story.is_strict else set())
        return [word for word in self.story.refused if word in words]


def judge(result: Result, case: Case, asked: HttpAsk, step: Step) -> None:
    """Hold one exchange against everything that must be true of it."""
    if not step.entries:
        _judge_refusal(result, case, step)
        return
    due = {word for word in refusable(case.provider, case.story, case.matrix) if _brings(word, case)}
    if due and case.front.name != case.back.name and not case.story.is_strict:
        result.fail(f"{', '.join(sorted(due))} had to be refused, and reached the provider")
    if len(step.entries) > 1 and case.exchange.decide is None:
        result.fail(f"{len(step.entries)} requests reached the provider where one was asked for")
    entry = step.entries[-1]
    if entry["story"] != case.story.name or entry["step"] not in (case.at, None):
        result.fail(f"the provider did not recognise the request: {entry['note'] or entry['story']}")
        return
    if entry["note"]:
        result.fail(f"the provider: {entry['note']}")
    _judge_secrets(result, case, step, entry)
    _judge_features(result, case, asked, entry)
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
    untellable = case.untellable
    if untellable and step.heard.error is not None and upstream.error is None:
        _judge_untold(result, untellable, step)
        return
    # what a provider of the same protocol says in an odd way is relayed as it came, but no error ever is
    as_it_came = _is_relayed(step) and entry["status"] == 200
    odd = upstream.complaints if as_it_came else tuple(filter(PASSED_ON.match, upstream.complaints))
    for complaint in step.heard.complaints:
        if complaint not in odd:
            result.fail(f"the client's protocol is broken: {complaint}")
    offered = said.tools if said is not None else ()
    differences += reply_differences(upstream, case.back, step.heard, case.front, names, offered, case.provider.name)
    _judge_losses(result, case, step, differences)
    if case.story.is_strict and result.losses:
        result.fail(f"a loss was to be an error, and {', '.join(result.losses)} was lost")
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

ASKS: dict[str, tuple[str, ...]] = {"media_out": ("modalities", "responseModalities")}
"""A word of a refusal, and the fields that ask for what it is about."""


def _brings(word: str, case: Case) -> bool:
    """Whether what may be refused has been said by now; an exchange before it must pass."""
    if word in ASKS:
        fields = json.dumps(case.exchange.ask.also.get(case.front.name, {}))
        return any(f'"{name}"' in fields for name in ASKS[word])
    if word not in BRINGS:
        return True
    blocks = [block for turn in case.meant.turns for block in turn.blocks]
    inner = [block for result in blocks if isinstance(result, CallResult) for block in result.blocks]
    return any(isinstance(block, BRINGS[word]) for block in (*blocks, *inner))


PASSED_ON = re.compile(r"calls: the arguments of .* are no JSON object")
"""What a client may complain of when the provider said it so: a text that is no JSON stays what it is."""


def _is_relayed(step: Step) -> bool:
    return any(attempt["relayed"] for attempt in (step.record or {}).get("attempts", []))


def _judge_refusal(result: Result, case: Case, step: Step) -> None:
    """Nothing reached the provider: that is only right where the matrix allows this refusal, or the story wants it."""
    for complaint in step.heard.complaints:
        result.fail(f"the client's protocol is broken: {complaint}")
    error = step.heard.error
    wanted = case.exchange.hear.error
    if error is None:
        result.fail("an answer came though nothing reached the provider")
    elif wanted is not None and wanted.kind is not None and coarse(wanted.kind) == error.kind:
        result.reasons.append(error.message)
        _judge_says(result, case, error)
    elif step.answer.status == 400 and (
        words := _named(refusable(case.provider, case.story, case.matrix), error.message)
    ):
        result.outcome = "unsupported"
        result.refused += words
        result.reasons.append(error.message)
    else:
        result.fail(f"refused with {step.answer.status}: {error.message}")


def _judge_untold(result: Result, words: list[str], step: Step) -> None:
    """What the client may not go without has ended the answer: before its first word as a status, after it in band."""
    for complaint in step.heard.complaints:
        result.fail(f"the client's protocol is broken: {complaint}")
    message = step.heard.error.message if step.heard.error is not None else ""
    if not (named := _named(words, message)):
        result.fail(f"an error that names none of {', '.join(words)}: {message}")
    if step.answer.status == 200 and not step.answer.broken:
        result.fail("a stream that failed ended cleanly")
    if step.answer.status != 200 and (step.answer.status, step.answer.headers.get("x-should-retry")) != (502, "false"):
        result.fail(f"status {step.answer.status}, x-should-retry {step.answer.headers.get('x-should-retry')}")
    if result.outcome == "pass":
        result.outcome = "unsupported"
        result.refused += named
        result.reasons.append(message)


def _named(words: Iterable[str], message: str) -> list[str]:
    """Those of the words that an error names."""
    return sorted(word for word in words if re.search(rf"\b{re.escape(word)}\b", message))


FEATURES = ("anthropic-beta", "openai-beta")
"""Headers that switch features of one protocol on: another's provider knows none of them, its own needs them."""


def _judge_features(result: Result, case: Case, asked: HttpAsk, entry: dict[str, Any]) -> None:
    for name in FEATURES:
        said = asked.headers.get(name) if case.front.name == case.back.name else None
        if entry["headers"].get(name) != said:
            result.fail(f"the header {name} is {entry['headers'].get(name)!r} upstream, {said!r} was due")


def _judge_secrets(result: Result, case: Case, step: Step, entry: dict[str, Any]) -> None:
    if CLIENT_KEY in json.dumps([entry["path"], entry["headers"], entry["body"]]):
        result.fail("the client's credential reached the provider")
    if case.provider.auth.key in json.dumps([step.answer.headers, step.wires.client_response, step.record]):
        result.fail("the proxy's own credential reached the client")


def _understood(
    result: Result, case: Case, asked: HttpAsk, entry: dict[str, Any]
) -> tuple[Understood | None, Understood | None]:
    try:
        said = case.front.read(asked.path, asked.headers, asked.body)
        return said, case.back.read(path_below(entry, case.provider), entry["headers"], entry["body"])
    except Malformed as problem:
        result.fail(f"a request cannot be read: {problem}")
        return None, None


def _judge_renamed(result: Result, case: Case, said: Understood, arrived: Understood, names: Names) -> None:
    """A name or an id that had to be made anew is the same in every exchange, or no history would hold together."""
    calls = [[b for turn in side.turns for b in turn.blocks if isinstance(b, Call)] for side in (said, arrived)]
    pairs = [(f"tool {full}", there.name) for full, there in names.items()]
    if len(calls[0]) == len(calls[1]):
        pairs += [(f"call {one.id}", other.id) for one, other in zip(*calls, strict=True) if one.id]
    for what, name in pairs:
        before = result.renamed.setdefault(f"{what} at {case.provider.name}", name)
        if before != name:
            result.fail(f"{what} was {before!r} upstream before, and is {name!r} now")


def _judge_added(result: Result, case: Case, said: Understood, arrived: Understood) -> None:
    """Nothing may be added that the client did not say, but for what the matrix lists."""
    extra = added(said, arrived, same=case.front.name == case.back.name)
    for path in extra:
        if path not in case.upstream_side.adds:
            result.fail(f"the proxy added {path} = {extra[path]!r}")


def _sent(entry: dict[str, Any]) -> bytes:
    return str(entry.get("sent", "")).encode()


def _as_ask(entry: dict[str, Any]) -> HttpAsk:
    return HttpAsk(entry["method"], entry["path"], entry["headers"], entry["body"] or {})


def _judge_losses(result: Result, case: Case, step: Step, differences: list[Difference]) -> None:
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
    case: Case,
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
    result.decision = decided(record)


def _judge_expected(
    result: Result, case: Case, step: Step, entry: dict[str, Any], upstream: Heard, complete: bool
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


def _judge_error(result: Result, case: Case, step: Step, upstream: Heard) -> None:
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
    _judge_says(result, case, error)
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


def _judge_says(result: Result, case: Case, error: HeardError) -> None:
    """What the story wants to be read in the error."""
    says = case.exchange.hear.error.says.get(case.front.name) if case.exchange.hear.error is not None else None
    if says is not None and says not in json.dumps(error.native, ensure_ascii=False):
        result.fail(f"the error must say {says!r} to this client, and says {error.native}")


def expected_error(case: Case) -> tuple[int, str] | None:
    """Status and kind of the error that a client must hear, by the story's `hear`, else by what its `say` does."""
    said = first_fault(case.exchange.said_by(case.backend, case.provider.name) or ())
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
