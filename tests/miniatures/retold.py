"""An answer heard and said again: lies that keep the client's protocol, for only its meaning is changed.

It hears as the mock's strict client and says as the mock's server, so one lie serves every dialect, unary and stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias
from urllib.parse import unquote

from msgspec import Struct

from conformance.bench import Answer
from mockserver.dialects import DIALECTS
from mockserver.dialects.contract import Auth, Failure, Heard, HttpAsk, Provider
from mockserver.dialects.contract import Scene as Said
from mockserver.faults import Write, play
from mockserver.frames import CONTENT_TYPES
from mockserver.scenario import Wire
from mockserver.speech import Block, Call, Content, Refuse, SayCall, SayRefusal, SayStop, SayText, SayThink, Text, Usage
from mockserver.speech import Think as Thought

from .doors import Scene, Tell


class Told(Struct, frozen=True):
    """What an answer says, ready to be said otherwise."""

    items: tuple[Content, ...]
    stop: SayStop
    usage: Usage

    @property
    def calls(self) -> tuple[SayCall, ...]:
        return tuple(item for item in self.items if isinstance(item, SayCall))


MINIATURE = {name: Provider(name="miniature", protocol=name, auth=Auth("authorization", "none")) for name in DIALECTS}
"""Who says an answer anew, by dialect."""

Change: TypeAlias = Callable[[Told], Told]


def retold(change: Change) -> Tell:
    """Say a whole answer anew, changed; one that failed goes on as it came."""

    def tell(scene: Scene, answer: Answer) -> Answer:
        heard = hear(scene, answer)
        return answer if answer.status != 200 or heard.error else said(scene, change(told(heard)), answer.headers)

    return tell


def hear(scene: Scene, answer: Answer) -> Heard:
    """The answer as the cell's client hears it."""
    asked = scene.client
    request = HttpAsk(asked.method, asked.path, asked.headers, asked.json())
    dialect = DIALECTS[scene.cell.frontend]
    return dialect.hear(answer.status, answer.headers, answer.body, stream=scene.cell.stream, asked=request)


def told(heard: Heard) -> Told:
    """What was heard; where no usage was, one token each way."""
    items = tuple(map(_item, heard.blocks))
    return Told(items, SayStop(heard.stop or "end", heard.matched), heard.usage or Usage(1, 1))


def said(scene: Scene, what: Told, headers: Mapping[str, str]) -> Answer:
    """A whole answer to the client's last request, in its protocol."""
    asked, front = scene.client, scene.cell.frontend
    body = asked.json()
    model = body.get("model") or unquote(asked.path.partition("/models/")[2].rpartition(":")[0])
    spoken = DIALECTS[front].say(
        Said(
            provider=MINIATURE[front],
            story=scene.cell.story,
            step=0,
            model=model,
            stream=scene.cell.stream,
            items=what.items,
            stop=what.stop,
            usage=what.usage,
            path=asked.path.removeprefix("/v1"),
            headers=asked.headers,
            body=body,
        )
    )
    data = b"".join(action.data for action in play(spoken, Wire()) if isinstance(action, Write))
    return Answer(200, {**headers, "content-type": CONTENT_TYPES[spoken.framing]}, data, broken=False)


def failed(scene: Scene, dialect: str, failure: Failure, headers: Mapping[str, str]) -> Answer:
    """An error in a dialect's shape, which need not be the client's."""
    spoken = DIALECTS[dialect].say_error(failure, MINIATURE[dialect])
    kept = {**headers, **spoken.headers, "content-type": CONTENT_TYPES[spoken.framing]}
    return Answer(spoken.status, kept, spoken.body, broken=False)


def _item(block: Block) -> Content:
    match block:
        case Text(text):
            return SayText((text,))
        case Thought(text, seal):
            return SayThink((text,), seal is not None)
        case Refuse(text):
            return SayRefusal((text,))
        case Call(id_, name, arguments):
            return SayCall(id_, name, (arguments,))
        case _:
            raise TypeError(f"no answer of a model holds a {type(block).__name__}")
