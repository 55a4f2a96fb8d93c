"""Neutral events as chunks for a chat client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ... import ledger, seals, wire
from ...framing import DONE, sse
from ...ir import (
    Audio,
    Block,
    Close,
    Delta,
    Document,
    Event,
    Failure,
    Finish,
    Image,
    Loss,
    Note,
    Open,
    Own,
    Reasoning,
    Refusal,
    Seal,
    Signature,
    Start,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from ..contract import Asked
from .failure import encode_failure
from .reply_out import (
    citation_out,
    is_legacy,
    own_out,
    reply_id,
    rider_out,
    stop_losses,
    stop_out,
    thought_out,
    usage_out,
)
from .request_out import detail_out
from .words import NAME


class StreamEncoder:
    """Events to chunks: the role first, a call's id and name once, usage if asked for, [DONE] only after success."""

    def __init__(self, asked: Asked) -> None:
        self.losses: list[Loss] = []
        self._asked = asked
        self._legacy = is_legacy(asked)
        options = (asked.request.own or {}).get("stream_options")
        self._wants_usage = type(options) is dict and options.get("include_usage") is True
        self._same = False
        self._head = self._tail = self._before = self._after = b""
        self._blocks: dict[int, Block] = {}
        self._calls: dict[int, int] = {}  # our index -> the wire's, which counts calls alone
        self._silent: set[int] = set()  # calls without arguments so far
        self._offsets: dict[int, int] = {}  # text that went out before a block began
        self._cited: dict[int, int] = {}  # the last citation's place among those of its block
        self._said = 0
        self._thoughts: dict[int, list[str]] = {}
        self._details = 0
        self._untold: list[Reasoning] = []  # thinking without a seal, to be told as a detail too once any has one
        self._usage: Usage | None = None

    def encode(self, events: Sequence[Event]) -> bytes:
        return b"".join([self._event(event) for event in events])

    def _event(self, event: Event) -> bytes:
        match event:
            case Delta(index, text):
                return self._delta(index, text)
            case Start():
                return self._start(event)
            case Open(index, block):
                return self._open(index, block)
            case Seal(index, seal):
                return self._seal(index, seal)
            case Note(index, citation):
                nth = self._cited[index] = self._cited.get(index, -1) + 1
                self.losses += [] if self._same else ledger.quote_losses((citation,), f"blocks[{index}]", nth)
                before = self._offsets.get(index, 0)
                return self._chunk({"annotations": [citation_out(citation, before, self._said - before, self._same)]})
            case Close(index, own):
                if not self._same:
                    self.losses += ledger.leftovers(own, f"blocks[{index}]")
                    if isinstance(self._blocks[index], Reasoning):
                        return self._thought(index, None)
                if index in self._silent:  # "{}" is what a call without arguments says
                    return self._call_chunk(index, {"function": {"arguments": "{}"}})
                return b""
            case Finish():
                return self._finish(event)
            case Failure():
                return sse(wire.encode(encode_failure(event, self._asked.id)))

    def _start(self, start: Start) -> bytes:
        head = {
            "id": reply_id(start, self._asked),
            "object": "chat.completion.chunk",
            "created": self._asked.created,
            "model": self._asked.request.model,
        }
        self._same = start.dialect == NAME
        self._usage = start.usage
        self._head = b"data: " + wire.encode(head)[:-1]
        self._tail = b',"usage":null}\n\n' if self._wants_usage else b"}\n\n"
        # nearly every chunk is a piece of text: all of it but the text is made once
        self._before = self._head + b',"choices":[{"index":0,"delta":{"content":'
        self._after = b'},"logprobs":null,"finish_reason":null}]' + self._tail
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._head + b',"choices":[' + wire.encode(choice) + b"]" + self._tail

    def _open(self, index: int, block: Block) -> bytes:
        self._blocks[index] = block
        if not self._same:
            self.losses += ledger.block_leftovers(block, index)
        match block:
            case ToolCall(id=id_, name=name, namespace=namespace, kind=kind):
                self._calls[index] = len(self._calls)
                name = f"{namespace}__{name}" if namespace else name
                if self._legacy:
                    return self._chunk({"function_call": {"name": name, "arguments": ""}})
                if kind == "custom":
                    return self._call_chunk(index, {"id": id_, "type": kind, "custom": {"name": name, "input": ""}})
                self._silent.add(index)
                return self._call_chunk(index, {"id": id_, "type": kind, "function": {"name": name, "arguments": ""}})
            case Text():
                self._offsets[index] = self._said
            case Reasoning():
                self._thoughts[index] = []
            case Image() | Document() | Audio() | ToolResult():
                self.losses.append(Loss(f"blocks[{index}]", "media_out", "dropped"))
        return b""

    def _call_chunk(self, index: int, fields: dict[str, Any]) -> bytes:
        if self._legacy:
            return self._chunk({"function_call": fields["function"]})
        return self._chunk({"tool_calls": [{"index": self._calls[index], **fields}]})

    def _delta(self, index: int, text: str) -> bytes:
        match self._blocks[index]:
            case Text():
                self._said += len(text)
                return self._before + wire.encode(text) + self._after
            case ToolCall(kind="custom"):
                return self._call_chunk(index, {"custom": {"input": text}})
            case ToolCall():
                self._silent.discard(index)
                return self._call_chunk(index, {"function": {"arguments": text}})
            case Reasoning() as block:
                self._thoughts[index].append(text)
                delta: dict[str, Any] = {"reasoning_content": text}
                if own := self._own(block):
                    delta["reasoning_details"] = [detail_out(msgspec.structs.replace(block, text=text), None, own)]
                return self._chunk(delta)
            case Refusal():
                return self._chunk({"refusal": text})
        return b""

    def _seal(self, index: int, seal: Signature) -> bytes:
        match self._blocks[index]:
            case ToolCall():
                signed = {"google": {"thought_signature": seals.for_client(seal, NAME)}}
                return self._call_chunk(index, {"extra_content": signed})
            case Reasoning() as block if self._same:
                detail = detail_out(block, seals.for_client(seal, NAME), self._own(block))
                return self._chunk({"reasoning_details": [detail]})
            case Reasoning():
                return self._thought(index, seal)
            case _:
                return self._tell(rider_out(seal))

    def _thought(self, index: int, seal: Signature | None) -> bytes:
        """The detail of a thinking block, in whole, at its seal or its end.

        Who reads details reads nothing else, so once there is one every thought needs its own.
        """
        texts, block = self._thoughts.pop(index, None), self._blocks[index]
        if texts is None or not isinstance(block, Reasoning):
            return b""  # its seal has told it
        block = msgspec.structs.replace(block, text="".join(texts), own=None)
        if seal is not None:
            return self._tell(thought_out(block, seal))
        if not block.text:
            return b""
        if self._details:
            return self._tell(thought_out(block, None))
        self._untold.append(block)
        return b""

    def _tell(self, detail: dict[str, Any]) -> bytes:
        details = [*(thought_out(block, None) for block in self._untold), detail]
        self._untold = []
        numbered = [{**one, "index": self._details + k} for k, one in enumerate(details)]
        self._details += len(details)
        return self._chunk({"reasoning_details": numbered})

    def _own(self, block: Reasoning) -> dict[str, Any]:
        return block.own if block.own and self._same else {}

    def _finish(self, finish: Finish) -> bytes:
        self.losses += stop_losses(finish.stop, finish.matched)
        if not self._same:
            self.losses += ledger.leftovers(finish.own, "")
        out = self._last_chunk(stop_out(finish.stop, self._asked), finish.own if self._same else None)
        usage = finish.usage or self._usage
        if usage is not None and self._usage is not None:
            usage = self._usage.merge(usage)
        if self._wants_usage and usage is not None:  # a backend that counts nothing did not count zero
            counted = wire.encode(usage_out(usage))
            out += self._head + b',"choices":[],"usage":' + counted + b"}\n\n"
        return out + sse(DONE)

    def _last_chunk(self, finish: str, own: Own) -> bytes:
        """The chunk that says why it stopped, and whatever else the same dialect's backend said of the answer."""
        if not own:
            return self._chunk({}, finish)
        delta: dict[str, Any] = {}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        body: dict[str, Any] = {"choices": [choice]}
        own_out({key: value for key, value in own.items() if key not in ("object", "created")}, body, choice, delta)
        return self._head + b"," + wire.encode(body)[1:-1] + self._tail
