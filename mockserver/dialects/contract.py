"""What every dialect of the mock can do, as a record of functions, and the nouns these functions share.

It knows no wire name of any dialect, and nothing of HTTP but method, path, headers and body.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from ..frames import SSE
from ..speech import (
    SAMPLING,
    Ask,
    Block,
    Call,
    Choice,
    Cite,
    Format,
    Refuse,
    Result,
    Text,
    Think,
    Tool,
    Turn,
    Usage,
)
from .scene import (
    CREATED,
    Auth,
    Failure,
    Provider,
    Scene,
    Spoken,
    Step,
    counted,
    failure,
    foreign_seal,
    key_given,
    seal,
    spoken_error,
    token,
)

__all__ = [
    "CREATED",
    "Auth",
    "Conversation",
    "Dialect",
    "Failure",
    "Heard",
    "HeardError",
    "HttpAsk",
    "Malformed",
    "Provider",
    "Scene",
    "Spoken",
    "Step",
    "Understood",
    "before",
    "call_of",
    "content_type",
    "counted",
    "cut",
    "data_url",
    "echo_check",
    "expect",
    "failure",
    "foreign_seal",
    "joined",
    "key_given",
    "loads",
    "meant",
    "merge",
    "seal",
    "spoken_error",
    "standing",
    "sturdy",
    "token",
]


class Malformed(Exception):
    """A body is not what its dialect says; `path` is where, `what` says what was found and what was wanted."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path
        self.what = what


# ---- as a client -----------------------------------------------------------------------------------------------------


class HttpAsk(Struct, frozen=True):
    """A request as this dialect's client sends it; `path` starts at the root of the server and may have a query."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    def bytes(self) -> bytes:
        return json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()


class HeardError(Struct, frozen=True):
    """An error as heard: `kind` is a coarse kind or `cut`; `status` the body's own, or the HTTP status."""

    status: int
    kind: str
    message: str
    code: str | None = None
    native: Any = None


class Heard(Struct, frozen=True, kw_only=True):
    """What a strict client understood of a response, and what it has to complain of.

    `echo` is the list of native messages, contents or items that this client sends back as history. `events` are the
    parsed JSON values of a stream. `stop` is one of `STOPS` or `other`; `native_stop` the word on the wire. `cites` are
    the sources of the text in their order, each with the stretch that it is for; `others` is how many answers came
    beside this one, `tokens` how many of its tokens came with their probability.
    """

    blocks: tuple[Block, ...] = ()
    cites: tuple[Cite, ...] = ()
    others: int = 0
    tokens: int = 0
    stop: str | None = None
    matched: str | None = None
    native_stop: str | None = None
    usage: Usage | None = None
    error: HeardError | None = None
    model: str | None = None
    id: str | None = None
    echo: tuple[Any, ...] = ()
    events: tuple[Any, ...] = ()
    complaints: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return "".join(b.text for b in self.blocks if isinstance(b, Text))

    @property
    def thinking(self) -> str:
        return "".join(b.text for b in self.blocks if isinstance(b, Think))

    @property
    def refusal(self) -> str:
        return "".join(b.text for b in self.blocks if isinstance(b, Refuse))

    @property
    def calls(self) -> tuple[Call, ...]:
        return tuple(b for b in self.blocks if isinstance(b, Call))

    @property
    def seals(self) -> tuple[str, ...]:
        return tuple(b.seal for b in self.blocks if isinstance(b, Think | Call) and b.seal is not None)


Conversation: TypeAlias = Sequence[tuple[Ask, Heard | None]]
"""Every exchange so far; only the last has not been heard yet."""


def call_of(result: Result, heard: Heard | None) -> Call:
    """The call that a result answers, as it came over the wire: ids may have been rewritten on the way.

    A call that never arrived keeps the story's id, so that the mistake shows where it was made.
    """
    if heard is not None and result.at is not None and result.at < len(heard.calls):
        return heard.calls[result.at]
    return Call(result.id, result.name or "", "{}")


def before(conversation: Conversation, at: int) -> Heard | None:
    """What was heard just before exchange `at`."""
    return conversation[at - 1][1] if at else None


def merge(into: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """`more` laid over `into`, objects key by key, anything else in whole."""
    result = dict(into)
    for key, value in more.items():
        old = result.get(key)
        result[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def loads(body: bytes) -> Any:
    """The JSON value of a body, or None where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def content_type(headers: Mapping[str, str], wanted: str, complaints: list[str]) -> None:
    """Complains of a content type that is not the wanted one."""
    found = {name.lower(): value for name, value in headers.items()}.get("content-type")
    if found is None or found.partition(";")[0].strip().lower() != wanted:
        complaints.append(f"headers: content-type is {found}, not {wanted}")


def sturdy(hear: Callable[..., Heard]) -> Callable[..., Heard]:
    """The same hearing, for which a response of quite another shape is one more complaint.

    A client walks into the shapes that its protocol promises; whatever it stumbles over there is the response's fault,
    so every error that stumbling can raise is caught here and nowhere else.
    """

    def heard(
        status: int, headers: Mapping[str, str], body: bytes, *, stream: bool, asked: HttpAsk | None = None
    ) -> Heard:
        try:
            return hear(status, headers, body, stream=stream, asked=asked)
        except (AttributeError, TypeError, KeyError, IndexError, ValueError) as problem:
            what = f"the response is not of this protocol: {type(problem).__name__}: {problem}"
            return Heard(error=HeardError(status, "cut", what), complaints=(what,))

    return heard


def expect(value: Any, keys: Mapping[str, type], where: str, complaints: list[str]) -> None:
    """Complains of keys that are missing or of a wrong type."""
    for key, kind in keys.items():
        if not isinstance(value, dict) or key not in value:
            complaints.append(f"{where}: `{key}` is missing")
        elif not isinstance(value[key], kind):
            complaints.append(f"{where}: `{key}` is not {kind.__name__}: {value[key]!r}")


def cut(why: str) -> HeardError:
    """The error of a stream that just ended."""
    return HeardError(200, "cut", f"the stream ended without its end: {why}")


def echo_check(
    blocks: Iterable[Block], stop: str | None, complaints: list[str], *, bare: bool = False, forced: bool = False
) -> None:
    """Complains of calls whose ids collide or whose arguments are no object, and of a stop that belies the calls.

    `bare` takes empty text for no arguments; `forced` takes an ordinary end after calls.
    """
    calls = [block for block in blocks if isinstance(block, Call)]
    ids = [call.id for call in calls if call.id]
    if len(set(ids)) != len(ids):
        complaints.append(f"calls: two have the same id: {ids}")
    for call in calls:
        if call.kind == "custom" or (bare and call.arguments == ""):
            continue
        if stop not in ("length", "content_filter") and not isinstance(loads(call.arguments.encode()), dict):
            complaints.append(f"calls: the arguments of {call.name} are no JSON object: {call.arguments[:60]!r}")
    if calls and stop == "end" and not forced:
        complaints.append("stop: says that the answer simply ended, though it calls tools")
    if not calls and stop == "tool":
        complaints.append("stop: says that tools are called, though none is")


# ---- as a reader of requests -----------------------------------------------------------------------------------------


class Understood(Struct, frozen=True, kw_only=True):
    """What an upstream request means. `system` is the leading run; later system turns keep their place among `turns`.

    `reasoning` is how much to think, `shown` whether the thoughts are asked for; `user` is the end user's id.

    `sampling` holds the words of `SAMPLING` that were asked. `extra` is everything of the body that has no noun here:
    path -> value. Tool results stand in user turns, in the order of the wire.
    """

    model: str | None = None
    stream: bool = False
    system: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: Choice | None = None
    parallel: bool | None = None
    sampling: dict[str, float | int] = {}
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    reasoning: str | int | bool | None = None
    shown: bool | None = None
    user: str | None = None
    format: Format | None = None
    extra: dict[str, Any] = {}


def data_url(url: str) -> tuple[str | None, str | None, str | None]:
    """(mime, base64 data, None) of a data URL, (None, None, url) of any other."""
    if not url.startswith("data:"):
        return None, None, url
    head, _, data = url.removeprefix("data:").partition(",")
    return head.removesuffix(";base64") or None, data, None


def meant(conversation: Conversation, *, model: str, stream: bool) -> Understood:
    """What a conversation means whatever the dialect: what `read` should find upstream, but for declared losses.

    Results carry the ids that were heard. Neighbouring turns of one role stay apart; `joined` brings them together.
    """
    turns: list[Turn] = []
    for at, (ask, heard) in enumerate(conversation):
        turns.extend(ask.turns)
        results = tuple(
            Result(call.id, r.blocks, r.error, call.name)
            for r in ask.results
            for call in [call_of(r, before(conversation, at))]
        )
        if results or ask.user:
            turns.append(Turn("user", (*results, *ask.user)))
        if heard is not None:
            turns.append(Turn("assistant", heard.blocks))
    first = conversation[0][0]
    now = standing(conversation)
    return Understood(
        model=now.model or model,
        stream=stream,
        system=first.system,
        turns=tuple(turns),
        tools=now.tools,
        tool_choice=now.tool_choice,
        parallel=now.parallel,
        sampling={word: value for word in SAMPLING if (value := getattr(now, word)) is not None},
        max_tokens=now.max_tokens,
        stop=now.stop,
        reasoning=now.reasoning,
        format=now.format,
    )


STANDING = (
    *("system", "tools", "parallel", *SAMPLING, "max_tokens", "stop"),
    *("reasoning", "format", "model", "also", "headers"),
)


def standing(conversation: Conversation) -> Ask:
    """The settings in force: the last exchange's own, else the first one's, for clients repeat them each time."""
    first, last = conversation[0][0], conversation[-1][0]
    blank = Ask()
    kept = {
        name: getattr(last, name) if getattr(last, name) != getattr(blank, name) else getattr(first, name)
        for name in STANDING
    }
    # A forced choice would force a call in every later exchange too: it holds only for the exchange that asks for it.
    return Ask(tool_choice=last.tool_choice, **kept)


def joined(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """The turns with neighbours of one role made one, to compare dialects that must alternate with the others."""
    out: list[Turn] = []
    for turn in turns:
        if out and out[-1].role == turn.role:
            out[-1] = Turn(turn.role, (*out[-1].blocks, *turn.blocks))
        elif turn.blocks:
            out.append(turn)
    return tuple(out)


# ---- the record ------------------------------------------------------------------------------------------------------


class Dialect(Struct, frozen=True, kw_only=True):
    """One wire protocol, as its client and as its server.

    - `ask(conversation, model=, stream=, key=)`: the request of a client, history echoed as it was heard.
    - `hear(status, headers, body, stream=, asked=)`: what a strict client makes of a response; never raises.
    - `read(path, headers, body)`: what a request means; raises `Malformed` and nothing else.
    - `heed(path, headers, body, provider)`: what the real provider would refuse, in its words; never raises.
    - `say(scene)`: the answer in this provider's wire habits. `say_error(failure, scene)`: an error before any content.
    - `route(method, path)`: which of `generate`, `models`, `count` this path is, None for none.
    - `list_models(provider)`: the body of its model list. `count(body)`: the answer to a token count, None where the
      provider has no such address.
    - `tool_names`, `call_ids_like`: patterns of the names and ids that a request of this wire may hold. `custom_tools`,
      `namespaces`: whether it has tools that take free text, and groups of tools.
    - `places`: whether a turn says in which order its texts, pictures and documents stand.
    - `details`: what its counts of tokens tell beside the totals.
    - `blurs`: stop reasons that this wire cannot tell from another; `interleaves`: whether calls may overlap on it;
      `seals`: whether it has a slot for signatures; `call_ids`: whether its calls carry ids;
      `framing`: that of its streams.
    """

    name: str
    ask: Callable[..., HttpAsk]
    hear: Callable[..., Heard]
    read: Callable[[str, Mapping[str, str], Any], Understood]
    heed: Callable[[str, Mapping[str, str], Any, Provider], Failure | None]
    say: Callable[[Scene], Spoken]
    say_error: Callable[[Failure, Provider], Spoken]
    route: Callable[[str, str], str | None]
    list_models: Callable[[Provider], dict[str, Any]]
    count: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    framing: str = SSE
    blurs: dict[str, str] = {}
    interleaves: bool = False
    seals: bool = False
    call_ids: bool = True
    call_ids_like: str = ".+"
    tool_names: str = ".+"
    custom_tools: bool = False
    namespaces: bool = False
    places: bool = True
    details: frozenset[str] = frozenset({"cache_read", "cache_write", "reasoning"})
