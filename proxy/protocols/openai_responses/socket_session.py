"""The Responses API over a WebSocket: one connection, several turns, and what each of them goes on with.

A client's message starts a turn as the body of a POST would; the server's messages are the data of the events of its
stream. A turn that goes on with an answer of the same connection brings the new input alone, so the session keeps what
was said, and puts it before the new input: any backend can go on with it then.

Sources: https://developers.openai.com/api/docs/guides/websocket-mode and https://www.openresponses.org
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Any

import msgspec
from msgspec import Raw, Struct

from ...errors import STATUS, Malformed
from ...wire import json_fields
from ...wire.framing import DONE, FRAMINGS, NULL
from ...wire.json_fields import maybe

CREATE = "response.create"

_END = (b'response.completed"', b'response.incomplete"')
_ITEM = b'response.output_item.done"'
_ECHO = (b'response.created"', b'response.in_progress"', *_END)
_NO_PREVIOUS = re.compile(rb'"previous_response_id": ?null')

_raws = msgspec.json.Decoder(list[Raw]).decode


class Conversation(Struct, frozen=True):
    """A conversation up to the end of one answer, as items of an input, and their size in bytes."""

    items: tuple[Raw, ...]
    size: int


class SocketSession:
    """One connection's memory. Answers are kept while they fit into `memory` bytes, the latest one in any case."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._kept: OrderedDict[str, Conversation] = OrderedDict()
        self._size = 0
        self._input: tuple[Raw, ...] = ()
        self._output: list[Raw] = []
        self._previous: str | None = None
        self._is_known = False

    # ---- a client's message ------------------------------------------------------------------------------------------

    def begin(self, message: bytes) -> bytes:
        """Begins a turn: the body of the request that this message stands for; raises Malformed."""
        self._input, self._output, self._previous, self._is_known = (), [], None, False
        fields = json_fields.raw_object(message)
        kind = self._text(fields, "type")
        if kind != CREATE:
            raise Malformed("type", f"must be {CREATE}; no other message is taken")
        del fields["type"]
        if self._text(fields, "stream_id") is not None:
            raise Malformed("stream_id", "is not taken; open a connection for each conversation")
        if bytes(fields.get("background", b"null")) not in (b"null", b"false"):
            raise Malformed("background", "is not taken on a WebSocket; send the request by POST")
        for key in ("background", "stream_id"):
            fields.pop(key, None)
        if bytes(fields.get("generate", b"null")) != b"false":
            fields.pop("generate", None)
        # "stream … MUST NOT be sent in WebSocket response.create messages" by Open Responses, but Codex sends it
        fields["stream"] = Raw(b"true")
        self._input = _items_in(fields.get("input"))
        previous = self._text(fields, "previous_response_id")
        if previous is None:
            return json_fields.encode(fields)
        self._previous = previous
        before = self._kept.get(previous)
        if before is not None:
            self._is_known = True
            self._kept.move_to_end(previous)
            del fields["previous_response_id"]
            self._input = (*before.items, *self._input)
            fields["input"] = Raw(b"[" + b",".join(map(bytes, self._input)) + b"]")
        return json_fields.encode(fields)

    def _text(self, fields: dict[str, Raw], key: str) -> str | None:
        value = json_fields.parse(bytes(fields[key])) if key in fields else None
        if value is not None and type(value) is not str:
            raise Malformed(key, f"must be a string, is {json_fields.describe(value)}")
        return value

    # ---- the server's messages ---------------------------------------------------------------------------------------

    def messages(self, frames: bytes) -> list[bytes]:
        """Returns the messages for whole frames of the answer's stream; none for a ping."""
        out = []
        for frame in FRAMINGS["sse"](len(frames) + 1).parse(frames):
            data = frame.data
            if data in (DONE, NULL, b""):
                continue
            if self._is_known and any(mark in data for mark in _ECHO):
                known = b'"previous_response_id":' + json_fields.encode(self._previous)
                data = _NO_PREVIOUS.sub(known.replace(b"\\", b"\\\\"), data, count=1)
            if _ITEM in data or any(mark in data for mark in _END):
                self._note(data)
            out.append(data)
        return out

    def error(self, status: int, body: bytes) -> bytes:
        """Returns the message for a turn that failed with this response before anything of it was sent."""
        try:
            error = json_fields.parse_object(body).get("error")
        except Malformed:
            error = None
        fields: dict[str, Any] = error if type(error) is dict else {"message": "The request failed."}
        fields["code"] = fields.get("code") or "error"
        if self._previous is not None and not self._is_known and _is_about_previous(status, fields):
            # Codex connects anew at this code, and sends all that was said
            status = 400
            text = f"Previous response with id '{self._previous[:200]}' not found on this connection; send all input."
            fields |= {"code": "previous_response_not_found", "message": text, "param": "previous_response_id"}
        return json_fields.encode({"type": "error", "status": status, "error": fields})

    def limit_reached(self) -> bytes:
        """Returns the message at the end of the time that a connection may last."""
        text = "This connection has lasted as long as it may; open another one, and send all input."
        error = {"type": "invalid_request_error", "code": "websocket_connection_limit_reached", "message": text}
        return json_fields.encode({"type": "error", "status": STATUS["bad_request"], "error": error})

    def _note(self, data: bytes) -> None:
        """Keeps the items of the answer, and at its end the whole conversation under its id."""
        try:
            event = json_fields.raw_object(data)
            kind = json_fields.parse(bytes(event.get("type", b"null")))
            if kind == "response.output_item.done" and "item" in event:
                self._output.append(event["item"])
            elif kind in ("response.completed", "response.incomplete") and "response" in event:
                response = json_fields.raw_object(bytes(event["response"]))
                id_ = json_fields.parse(bytes(response.get("id", b"null")))
                output = _raws(bytes(response.get("output", b"[]")))
                if type(id_) is str:
                    self._keep(id_, (*self._input, *(output or self._output)))
        except (Malformed, msgspec.DecodeError):
            return  # a host's own event: the client gets it, but cannot go on with it

    def _keep(self, id_: str, items: tuple[Raw, ...]) -> None:
        if (replaced := self._kept.pop(id_, None)) is not None:
            self._size -= replaced.size
        size = sum([len(bytes(item)) for item in items])
        self._kept[id_] = Conversation(items, size)
        self._size += size
        while self._size > self._memory and len(self._kept) > 1:
            self._size -= self._kept.popitem(last=False)[1].size


def _items_in(value: Raw | None) -> tuple[Raw, ...]:
    """Returns the items of an input; what is no input gives none, and the request's decoder says what is wrong."""
    if value is None:
        return ()
    raw = bytes(value)
    if raw.startswith(b'"'):
        return (Raw(b'{"type":"message","role":"user","content":' + raw + b"}"),)
    try:
        return tuple(_raws(raw))
    except msgspec.DecodeError:
        return ()


def _is_about_previous(status: int, error: dict[str, Any]) -> bool:
    """Returns whether a failure says that nobody has the answer that the turn went on with."""
    code, message = error.get("code"), maybe(error, "message", str) or ""
    if status == STATUS["not_found"]:
        return code != "model_not_found"
    return status == STATUS["loss"] and (
        code == "previous_response_not_found" or "previous_response_id" in message or "revious response" in message
    )
