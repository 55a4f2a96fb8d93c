"""Decodes the chunks of a chat backend into neutral events."""

from __future__ import annotations

from typing import Any, Literal

from msgspec.structs import replace

from ...errors import Malformed, upstream_cut
from ...ir import (
    Block,
    BlockCitation,
    BlockDelta,
    BlockEnd,
    BlockSignature,
    BlockStart,
    Event,
    Reasoning,
    Refusal,
    ReplyEnd,
    ReplyStart,
    Text,
    TokenLogprob,
    ToolCall,
)
from ...ir.repairs import Repairs
from ...ir.stream import Texts
from ...ir.token_logprobs import NATIVE, add_logprobs
from ...ir.tool_names import Alias
from ...wire import json_fields
from ...wire.error_bodies import error_in_body, is_error
from ...wire.framing import DONE, Frame
from ...wire.json_fields import each, maybe, need, take
from ..openai.usage import later_usage, usage_in
from ..protocol import NewId, UpstreamRequest
from .errors import error_in
from .plain_chunk import text_chunks
from .reply_decoder import choice_failure, citations_in, host_citations_in, images_in, logprobs_in, stop_in, take_usage
from .request_decoder import google_signature_in, part_in, reasoning_in
from .streamed_calls import StreamedCall, StreamedCalls
from .tables import CHUNK, NAME, PLAIN_CHOICE, PLAIN_CHUNK, PLAIN_DELTA, USAGE


class StreamDecoder:
    """Decodes chunks into events.

    Chat does not mark the end of a block: text ends where another block begins, calls end with the stream.
    """

    def __init__(self, sent: UpstreamRequest, new_id: NewId) -> None:
        self.done = False
        self.fast_forward = False
        self._sent = sent
        self._new_id = new_id
        self._started = False
        self._next_index = 0
        self._open: tuple[type[Block], int] | None = None  # the open text, refusal or thinking
        self._detail: tuple[Any, ...] = ()  # which of several reasoning details is open
        self._signed = False  # the open thinking has its signature
        self._repairs = Repairs()
        self._calls = StreamedCalls(self._repairs)
        self._cited: set[str] = set()  # the addresses of the sources that were told
        self._tokens: tuple[TokenLogprob, ...] = ()  # log probabilities that came without a text
        self._native: str | None = None
        self._usage: dict[str, Any] | None = None
        self._extra: dict[str, Any] = {}

    def feed(self, frame: Frame) -> list[Event]:
        """Returns the events of one frame; raises Malformed if it is not a chat chunk."""
        if self.done:
            return []
        if frame.data == DONE:
            return self._end(is_marked=True)
        chunk = self._parse(frame.data)
        if frame.event != "error" and (plain := self._plain(chunk)) is not None:
            return plain
        choices = take(chunk, "choices", list)
        if chunk.get("error") or (not choices and (frame.event == "error" or is_error(chunk))):
            self.done = True
            return [error_in(error_in_body(chunk), None, None)]
        out: list[Event] = []
        usage = maybe(chunk, "usage", dict)
        id_, model = maybe(chunk, "id", str), maybe(chunk, "model", str)
        if choices is None and usage is None:
            self._repairs.add("unknown_frame")
            return []  # no part of the answer: some hosts send pings of their own
        if not self._started and (choices or usage):
            self._started = True
            out.append(ReplyStart(NAME, id_ or None, model or None))
        for choice in choices or ():
            if type(choice) is not dict:
                self._repairs.add("unknown_frame")
            elif choice.get("index"):
                self._extra.setdefault("n", []).append(choice)
            elif (failed := choice_failure(choice)) is not None:
                self.done = True
                return [*out, failed]
            else:
                self._choice(choice, out)
        if usage := take_usage(chunk, {}, {}, self._repairs):
            self._add_usage(usage, is_unasked=bool(choices))
        self._keep_rest(chunk)
        if self._native is not None and usage and not choices:
            out += self._end()
        return out

    def feed_texts(self, objects: bytes, count: int) -> Texts | None:
        if self.done or self._open is None or self._open[0] is not Text:
            return None
        chunks = text_chunks(objects, count)
        return None if chunks is None else Texts(self._open[1], [each.choices[0].delta.content for each in chunks])

    def _parse(self, data: bytes) -> dict[str, Any]:
        """Returns a chunk as one of the chat."""
        return json_fields.parse_object(data)

    def _add_usage(self, usage: dict[str, Any], *, is_unasked: bool) -> None:
        """Keeps the latest token counts: of a running usage the last is the whole."""
        self._usage = later_usage(self._usage, usage)
        if is_unasked:  # "an additional chunk … with an empty choices array" is what `include_usage` asks for
            self._extra[USAGE] = self._usage

    def _plain(self, chunk: dict[str, Any]) -> list[Event] | None:
        """Decodes the commonest chunks fast: the role, a piece of text, the stop reason, the usage at the end."""
        choices, usage = chunk.get("choices"), chunk.get("usage")
        if type(choices) is not list or not chunk.keys() <= PLAIN_CHUNK or self._tokens:
            return None
        if not choices and type(usage) is dict and usage and self._native and chunk.get("object") == CHUNK:
            del chunk["choices"], chunk["usage"]
            self._add_usage(usage, is_unasked=False)
            self._keep_rest(chunk)
            return self._end()
        choice = choices[0] if len(choices) == 1 else None
        delta = choice.get("delta") if type(choice) is dict and choice.keys() <= PLAIN_CHOICE else None
        if (
            type(choice) is not dict
            or type(delta) is not dict
            or not delta.keys() <= PLAIN_DELTA
            or choice.get("index")
            or choice.get("logprobs") is not None
            or usage is not None
        ):
            return None
        native, text = choice.get("finish_reason"), delta.get("content")
        if native is None and type(text) is str and text and self._native is None:
            if self._open is not None and self._started:
                return [BlockDelta(self._open[1], text)] if self._open[0] is Text else None
        elif native not in ("stop", "length", self._native) or not (text is None or text == ""):
            return None
        out: list[Event] = []
        if not self._started:
            self._started = True
            out.append(ReplyStart(NAME, maybe(chunk, "id", str) or None, maybe(chunk, "model", str) or None))
        del chunk["choices"], choice["delta"]
        self._native = choice.pop("finish_reason", None) or self._native
        self._keep_extra(choice, "choices[0].")
        self._keep_rest(chunk)
        if text:
            self._add_text(Text(""), text, out)
        return out

    def _keep_rest(self, chunk: dict[str, Any]) -> None:
        """Keeps the fields of a chunk that are no part of the answer."""
        for key in ("id", "model"):
            chunk.pop(key, None)
        self._keep_extra(chunk, "")

    def _choice(self, choice: dict[str, Any], out: list[Event]) -> None:
        before = len(out)
        native = take(choice, "finish_reason", str)
        delta = take(choice, "delta", dict) or {}
        whole = take(choice, "message", dict)
        if whole and not delta:  # a whole answer in one chunk
            delta = whole
        delta.pop("role", None)
        if usage := take_usage({}, choice, delta, self._repairs):
            self._add_usage(usage, is_unasked=True)
        self._reasoning(delta, out)
        self._content(delta, out)
        for image in images_in(delta) if "images" in delta else ():
            self._close_block(out)
            out += [BlockStart(self._next_index, image), BlockEnd(self._next_index)]
            self._next_index += 1
        if refusal := take(delta, "refusal", str):
            self._add_text(Refusal(""), refusal, out)
        calls = delta.pop("tool_calls", None)
        for call in calls if type(calls) is list else (calls,):
            if type(call) is dict:
                self._call(call, out)
            elif call is not None:
                raise Malformed("tool_calls", "must hold objects")
        function = take(delta, "function_call", dict)
        if function and any(function.values()):  # some hosts send {"name": "", "arguments": ""} without a call
            self._call({"index": 0, "function": function}, out)
        self._keep_extra(delta, "choices[0].message.")
        self._logprobs(choice, out)
        self._keep_extra(choice, "choices[0].")
        if native:
            self._native = native
        elif not self._native:  # an empty reason beside a text is a null, which some hosts write so
            self._native = "" if native == "" and len(out) == before else None

    def _logprobs(self, choice: dict[str, Any], out: list[Event]) -> None:
        """Adds log probabilities to the text that they came with, else to the next one."""
        fields = choice.get("logprobs")
        tokens = logprobs_in(fields)
        if tokens or (type(fields) is dict and not fields.get("content") and not fields.get("refusal")):
            choice[NATIVE] = choice.pop("logprobs")
            self._tokens += tokens
        if self._tokens and self._open is not None and self._open[0] is Text:
            add_logprobs(out, self._open[1], self._tokens)
            self._tokens = ()

    def _keep_extra(self, fields: dict[str, Any], prefix: str) -> None:
        """Keeps fields without a neutral slot; a later value replaces an earlier one, but logprobs accumulate."""
        for key, value in fields.items():
            path = prefix + key
            if value is None or key == "obfuscation":
                continue
            before = self._extra.get(path)
            if key in ("logprobs", NATIVE) and type(before) is dict and type(value) is dict:
                tokens = (maybe(before, "content", list) or []) + (maybe(value, "content", list) or [])
                self._extra[path] = {**before, "content": tokens}
            else:
                self._extra[path] = value

    def _content(self, delta: dict[str, Any], out: list[Event]) -> None:
        content = delta.pop("content", None)
        if type(content) is list:
            for block in each(content, "content", part_in):
                if isinstance(block, Text | Reasoning | Refusal):
                    self._add_text(replace(block, text=""), block.text, out)
        elif type(content) is str:
            if content:
                self._add_text(Text(""), content, out)
        elif content is not None:
            raise Malformed("content", f"must be a string, is {json_fields.describe(content)}")
        for citation in citations_in(delta):
            self._cited.add(citation.url)
            out.append(BlockCitation(self._add_text(Text(""), "", out), citation))

    def _reasoning(self, delta: dict[str, Any], out: list[Event]) -> None:
        for block in reasoning_in(delta, self._repairs, self._sent.target.provider):
            detail = (block.redacted, block.summary, (block.extra or {}).get("index"))
            if detail != self._detail or self._signed:
                self._close_block(out)  # another detail, or one that ended with its signature
            self._detail = detail
            head = replace(block, text="", signature=None)
            index = self._add_text(head, block.text, out)
            if block.signature:
                self._signed = True
                out.append(BlockSignature(index, block.signature))

    def _add_text(self, block: Block, text: str, out: list[Event]) -> int:
        """Appends text to the open block if it has this type, else closes it and opens this one; returns the index."""
        kind = type(block)
        if self._open is None or self._open[0] is not kind:
            self._close_block(out)
            self._signed = False
            self._open = (kind, self._next_index)
            out.append(BlockStart(self._next_index, block))
            self._next_index += 1
        index = self._open[1]
        if text:
            out.append(BlockDelta(index, text))
        return index

    def _close_block(self, out: list[Event]) -> None:
        if self._open is not None:
            out.append(BlockEnd(self._open[1]))
            self._open = None

    def _call(self, call: dict[str, Any], out: list[Event]) -> None:
        id_ = take(call, "id", str) or None
        custom = maybe(call, "custom", dict)
        function = {} if call.get("function") is None and custom is None else custom or need(call, "function", dict)
        name, arguments = take(function, "name", str) or None, function.get("arguments", function.get("input"))
        found: int | str | None = maybe(call, "index", int)
        index = maybe(call, "index", str) if found is None else found
        streamed = self._calls.of(index, id_, name, arguments)
        if streamed.is_begun and streamed.name is None and name is not None:
            self._repairs.add("call_name")
        streamed.is_begun = True
        streamed.id = streamed.id or id_
        streamed.custom |= bool(custom)
        if arguments:
            streamed.pieces.append(arguments if type(arguments) is str else json_fields.encode(arguments).decode())
        if streamed.block is None:
            # as in a body, the extra fields stay with the call; the signature has an event of its own
            skipped = ("index", "type", "function", "custom", "extra_content")
            streamed.extra |= {key: value for key, value in call.items() if key not in skipped}
        if signature := google_signature_in(call, self._sent.target.provider):
            streamed.signature = signature
        pieces = streamed.pieces[-1:] if arguments else []
        if streamed.name is None and name is not None:
            self._open_call(streamed, name, out)
            pieces = streamed.pieces  # some came before the name
        if streamed.signature is not None and streamed.block is not None:
            # before the arguments that came with it: some encoders carry it before the call
            out.append(BlockSignature(streamed.block, streamed.signature))
            streamed.signature = None
        if streamed.block is not None and pieces:
            out.append(BlockDelta(streamed.block, "".join(pieces)))

    def _open_call(self, streamed: StreamedCall, name: str, out: list[Event]) -> None:
        """Starts the block of a call."""
        self._close_block(out)
        if streamed.id is None:
            self._repairs.add("call_id")
        alias = self._sent.names.get(name) or Alias(name)
        kind: Literal["function", "custom"] = "custom" if streamed.custom else "function"
        id_ = streamed.id or self._new_id("call_")
        streamed.id, streamed.name, streamed.block = id_, name, self._next_index
        block = ToolCall(id_, alias.name, "", kind, alias.namespace, extra=streamed.extra or None)
        out.append(BlockStart(self._next_index, block))
        self._next_index += 1

    def _end(self, *, is_marked: bool = False) -> list[Event]:
        self.done = True
        if self._native is None and not is_marked:
            return [upstream_cut()]
        if not self._started and self._native is None:
            return [upstream_cut()]  # the sentinel alone is no answer
        out: list[Event] = []
        if self._open is not None and self._open[0] is Text:
            others = (citation for citation in host_citations_in(self._extra) if citation.url not in self._cited)
            out += [BlockCitation(self._open[1], citation) for citation in others]
        if self._tokens:  # they were of no text
            self._extra["choices[0].logprobs"] = self._extra.pop(f"choices[0].{NATIVE}")
        self._close_block(out)
        for call in self._calls.all:
            if call.block is not None:
                out.append(BlockEnd(call.block))
            elif call.pieces:
                raise Malformed("tool_calls", "a call's name never came")
            else:
                self._repairs.add("call_empty")
        called = None if self.fast_forward else any(call.block is not None for call in self._calls.all)
        stop = stop_in(self._native, called, self._repairs)
        usage = usage_in(self._usage, self._repairs) if self._usage else None
        names = self._repairs.names()
        out.append(ReplyEnd(stop, None, self._native or None, usage, self._extra or None, names))
        return out

    def close(self) -> list[Event]:
        """Ends the stream: returns the ReplyEnd, or a Failure if the reply is incomplete."""
        return [] if self.done else self._end()
