"""A sixth protocol for the tests: it has text, streams, a list of models and errors, in words that no vendor has.

A client posts `{"of": MODEL, "text": TEXT, "flow": BOOL}` to `/toy/chat` and gets `{"by": MODEL, "text": TEXT}`, or
lines
`{"by": MODEL, "part": TEXT}` with a last line `{"done": true}`. An error is `{"oops": TEXT}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crosswire.proxy.errors import upstream_failure
from crosswire.proxy.ir import (
    BlockDelta,
    BlockEnd,
    BlockStart,
    Event,
    Failure,
    Loss,
    Reply,
    ReplyEnd,
    ReplyStart,
    Request,
    Text,
    Turn,
)
from crosswire.proxy.ir.stream import Texts
from crosswire.proxy.ir.stream_losses import StreamLosses
from crosswire.proxy.protocols.protocol import (
    Endpoint,
    ListedModel,
    ModelList,
    NewId,
    Protocol,
    ReplyContext,
    UpstreamRequest,
    UpstreamTarget,
    UrlParams,
)
from crosswire.proxy.wire.framing import Frame
from crosswire.proxy.wire.json_fields import encode, need, parse_object, take

NAME = "toy"


def decode_request(body: dict[str, Any], url: UrlParams) -> Request:
    turns = (Turn("user", (Text(need(body, "text", str)),)),)
    return Request(protocol=NAME, model=need(body, "of", str), turns=turns, stream=take(body, "flow", bool, False))


def encode_request(request: Request, target: UpstreamTarget) -> UpstreamRequest:
    text = "".join(block.text for turn in request.turns for block in turn.blocks if isinstance(block, Text))
    return UpstreamRequest({"of": target.model, "text": text, "flow": request.stream}, (), target)


def decode_reply(body: dict[str, Any], sent: UpstreamRequest, new_id: NewId) -> Reply:
    return Reply(
        protocol=NAME, id=None, model=take(body, "by", str), blocks=(Text(need(body, "text", str)),), stop="end"
    )


def encode_reply(reply: Reply, context: ReplyContext) -> tuple[dict[str, Any], list[Loss]]:
    text = "".join(block.text for block in reply.blocks if isinstance(block, Text))
    return {"by": context.request.model, "text": text}, []


def encode_failure(failure: Failure, request_id: str) -> dict[str, Any]:
    return {"oops": failure.message}


def decode_failure(status: int, body: bytes, retry_after: float | None) -> Failure:
    return upstream_failure(status, body.decode(), retry_after=retry_after)


class StreamDecoder:
    def __init__(self, sent: UpstreamRequest, new_id: NewId) -> None:
        self.done = False
        self.fast_forward = False
        self._begun = False

    def feed(self, frame: Frame) -> list[Event]:
        line = parse_object(frame.data)
        events: list[Event] = []
        if not self._begun:
            self._begun = True
            events += [ReplyStart(NAME, None, take(line, "by", str)), BlockStart(0, Text(""))]
        if "done" in line:
            self.done = True
            return [*events, BlockEnd(0), ReplyEnd("end")]
        return [*events, BlockDelta(0, need(line, "part", str))]

    def feed_texts(self, objects: bytes, count: int) -> Texts | None:
        return None

    def close(self) -> list[Event]:
        return [] if self.done else [upstream_failure(502, kind="upstream_cut", message="cut")]


class StreamEncoder:
    def __init__(self, context: ReplyContext) -> None:
        self.losses = StreamLosses()
        self._model = context.request.model

    def encode(self, events: Sequence[Event]) -> bytes:
        lines: list[dict[str, Any]] = []
        for event in events:
            match event:
                case BlockDelta(_, text):
                    lines.append({"by": self._model, "part": text})
                case ReplyEnd():
                    lines.append({"done": True})
                    self.losses.tell_late(lines[-1])
                case Failure():
                    lines.append({"oops": event.message})
                case _:
                    pass
        return b"".join(encode(line) + b"\n" for line in lines)

    def encode_texts(self, texts: Texts) -> bytes | None:
        return None


def list_models(models: Sequence[ListedModel], query: Mapping[str, str]) -> dict[str, Any]:
    return {"toys": [model.name for model in models]}


def show_model(model: ListedModel) -> dict[str, Any]:
    return {"toy": model.name}


PROTOCOL = Protocol(
    name=NAME,
    title="Toy chat",
    capabilities=frozenset(("text",)),
    example_model="teddy",
    paths=("/toy/chat",),
    client_headers=("x-toy-key",),
    path_prefixes=("/toy/",),
    decode_request=decode_request,
    encode_reply=encode_reply,
    stream_encoder=StreamEncoder,
    encode_failure=encode_failure,
    stream_type="application/x-ndjson",
    ping=b"\n",
    encode_request=encode_request,
    decode_reply=decode_reply,
    stream_decoder=StreamDecoder,
    decode_failure=decode_failure,
    address=lambda model, stream: "/toy/chat",
    auth=lambda key: {"x-toy-key": key},
    framing="ndjson",
    model_in=("of",),
    model_out=(("by",),),
    terminal_markers=(b'"done"', b'"oops"'),
    endpoints=(Endpoint("GET", ("/toy/models",), "list_models", has_body=False),),
    model_list=ModelList(list_models=list_models, show_model=show_model),
)
