"""Decodes the chunks of a Gemini backend into neutral events."""

from __future__ import annotations

from typing import Any

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
    Opaque,
    Reasoning,
    ReplyEnd,
    ReplyStart,
    Text,
    TokenLogprob,
    ToolCall,
    Usage,
)
from ...ir.repairs import Repairs
from ...ir.stream import Texts
from ...ir.token_logprobs import NATIVE, add_logprobs
from ...wire import json_fields
from ...wire.error_bodies import error_in_body, is_error
from ...wire.framing import DONE, Frame
from ...wire.json_fields import take
from ..protocol import NewId, UpstreamRequest
from .errors import error_in, failed_stop
from .fields import enum_names, take_list
from .grounding import AnswerText, citations_in
from .hosted_tools import CodeRuns, tool_uses_in
from .logprobs import FIELD as LOGPROBS
from .logprobs import tokens_in
from .parts import ToolCallIds, is_empty_part, merge_pair, signature_in
from .plain_chunk import text_chunks
from .reply_decoder import (
    feedback_in,
    finish_reason_in,
    free_text_in,
    reply_block_in,
    stop_in,
    take_usage,
    usage_in,
    with_client_name,
    with_issuer,
)
from .streamed_arguments import StreamedArguments
from .tables import ANSWER_FIELDS, NAME


class StreamDecoder:
    """Decodes Gemini chunks. No chunk is marked as the last: the stream ends a reply that has a finishReason."""

    def __init__(self, sent: UpstreamRequest, new_id: NewId) -> None:
        self.done = False
        self.fast_forward = False
        self._sent = sent
        self._call_ids = ToolCallIds(lambda: new_id("call_"))
        self._started = False
        self._next_index = 0
        self._open: Block | None = None  # the open text or thinking block, without its text
        self._texts: list[str] = []
        self._call: tuple[int, ToolCall, StreamedArguments] | None = None  # the call whose arguments are being streamed
        self._has_calls = False
        self._is_said = False  # there is more than thinking
        self._native: str | None = None
        self._feedback: str | None = None
        self._usage: dict[str, Any] | None = None
        self._repairs = Repairs()
        self._extra: dict[str, Any] = {}
        self._runs = CodeRuns()
        self._tokens: tuple[TokenLogprob, ...] = ()  # log probabilities that came without a text
        self._parts = 0  # parts of the answer until now

    def feed(self, frame: Frame) -> list[Event]:
        """Returns the events of one frame; raises Malformed if it is not a Gemini chunk."""
        if self.done:
            return []
        if frame.data == DONE:  # gateways end every stream so
            return self._end(is_marked=True)
        chunk = json_fields.parse(frame.data)
        if type(chunk) is list and len(chunk) == 1:
            chunk = chunk[0]
        if type(chunk) is not dict:
            raise Malformed("", f"must be a JSON object, is {json_fields.describe(chunk)}")
        is_part = not chunk.keys().isdisjoint(ANSWER_FIELDS)
        if chunk.get("error") or (not is_part and (frame.event == "error" or is_error(chunk))):
            self.done = True
            return [error_in(error_in_body(chunk), None, None)]
        out: list[Event] = []
        if not is_part:
            self._repairs.add("unknown_frame")
            return []
        candidates = take_list(chunk, "candidates")
        first = candidates[0] if candidates and type(candidates[0]) is dict else {}
        usage = take_usage(chunk, first, self._repairs)
        id_, model = take(chunk, "responseId", str), take(chunk, "modelVersion", str)
        self._add_usage(usage)
        if not self._started:
            self._started = True
            out.append(ReplyStart(NAME, id_, model, self._first_usage()))
        self._feedback = feedback_in(chunk) or self._feedback
        for candidate in candidates:
            if candidate is None:
                self._repairs.add("unknown_frame")
                continue
            if type(candidate) is not dict:
                raise Malformed("candidates", "must hold objects")
            if candidate.get("index"):
                self._extra.setdefault("n", []).append(enum_names(candidate))
            else:
                self._candidate(candidate, out)
        self._keep_extra(chunk, "")
        return out

    def feed_texts(self, objects: bytes, count: int) -> Texts | None:
        if self.done or self._open is None or self._call is not None or self._tokens:
            return None
        if merge_pair(self._open, Text("")) is None or (chunks := text_chunks(objects, count)) is None:
            return None
        for chunk in chunks:
            self._add_usage(chunk.usage)
        pieces = [chunk.candidates[0].content.parts[0].text for chunk in chunks]
        self._texts += pieces
        self._parts += count
        return Texts(self._next_index - 1, pieces)

    def _add_usage(self, usage: dict[str, Any] | None) -> None:
        """A later report leaves out what an earlier one said; a field that it has is the whole until then."""
        if usage:
            self._usage = {**(self._usage or {}), **{key: value for key, value in usage.items() if value is not None}}

    def _candidate(self, candidate: dict[str, Any], out: list[Event]) -> None:
        content = take(candidate, "content", dict, {})
        content.pop("role", None)
        native = finish_reason_in(candidate)
        for part in take_list(content, "parts"):
            if part is None or part == {}:
                continue
            if type(part) is not dict:
                raise Malformed("candidates[0].content.parts", "must hold objects")
            if not is_empty_part(part):
                self._part(part, out)
            self._parts += part.keys() != {"text"} or part["text"] != ""  # empty texts end many streams
        self._logprobs(candidate, out)
        self._keep_extra(content, "candidates[0].content.")
        self._keep_extra(candidate, "candidates[0].")
        self._native = native or self._native

    def _logprobs(self, candidate: dict[str, Any], out: list[Event]) -> None:
        """Adds log probabilities to the text that they came with, else to the next one."""
        if tokens := tokens_in(candidate.get(LOGPROBS)):
            candidate[NATIVE] = candidate.pop(LOGPROBS)
            self._tokens += tokens
        if self._tokens and isinstance(self._open, Text):
            add_logprobs(out, self._next_index - 1, self._tokens)
            self._tokens = ()

    def _keep_extra(self, fields: dict[str, Any], prefix: str) -> None:
        """Collects extra fields; over several chunks, lists are appended and objects merged."""
        for key, value in enum_names(fields).items():
            if value is None:
                continue
            path = prefix + key
            known = self._extra.get(path)
            if type(known) is dict and type(value) is dict and key in _LIST_FIELDS:
                self._extra[path] = {**known, **{k: _extended(known.get(k), v) for k, v in value.items()}}
            else:
                self._extra[path] = {**known, **value} if type(known) is dict and type(value) is dict else value

    def _part(self, part: dict[str, Any], out: list[Event]) -> None:
        call = part.get("functionCall")
        if type(call) is dict and ("partialArgs" in call or call.get("willContinue") or not call.get("name")):
            self._partial_call(part, call, out)
            return
        block = reply_block_in(part, self._sent, self._call_ids)
        match block:
            case Text(text, _, signature) | Reasoning(text, signature):
                if text or signature or block.extra:
                    self._add_text(block, text, out)
            case ToolCall(arguments=arguments, signature=signature):
                self._close_block(out)
                self._has_calls = True
                index = self._begin(replace(block, arguments="", signature=None), out)
                if signature:
                    out.append(BlockSignature(index, signature))
                if arguments:
                    out.append(BlockDelta(index, arguments))
                out.append(BlockEnd(index))
            case _:
                self._close_block(out)
                if isinstance(block, Opaque):
                    block = self._runs.with_call(block)
                out.append(BlockEnd(self._begin(block, out)))

    def _begin(self, block: Block, out: list[Event]) -> int:
        """Emits the start of a block and returns its index."""
        self._is_said |= type(block) is not Reasoning
        out.append(BlockStart(self._next_index, block))
        self._next_index += 1
        return self._next_index - 1

    def _add_text(self, block: Text | Reasoning, text: str, out: list[Event]) -> None:
        """Adds text to the open block if the new one continues it, else closes that and opens another."""
        if self._open is None or merge_pair(self._open, block) is None:
            self._close_block(out)
            self._open = replace(block, text="", signature=None)
            self._begin(self._open, out)
        index = self._next_index - 1
        if text:
            self._texts.append(text)
            out.append(BlockDelta(index, text))
        if block.signature:
            self._open = replace(self._open, signature=block.signature)
            out.append(BlockSignature(index, block.signature))

    def _close_block(self, out: list[Event]) -> None:
        """Closes the open block and the streamed call."""
        if self._open is not None:
            out.append(BlockEnd(self._next_index - 1))
            self._open = None
            self._texts = []
        if self._call is not None:
            index, call, arguments = self._call
            text = arguments.text()
            out += [BlockDelta(index, free_text_in(text) if call.kind == "custom" else text), BlockEnd(index)]
            self._call = None

    def _partial_call(self, part: dict[str, Any], call: dict[str, Any], out: list[Event]) -> None:
        """Decodes a fragment of a streamed call: the first has the name, the last no `willContinue`."""
        name, id_ = take(call, "name", str), take(call, "id", str)
        args, fragments = take(call, "args", dict, {}), take_list(call, "partialArgs")
        more = take(call, "willContinue", bool, False)
        if name:
            self._close_block(out)
            self._has_calls = True
            opened = with_client_name(ToolCall(self._call_ids.add_call(id_, name), name), self._sent)
            self._call = (self._begin(opened, out), opened, StreamedArguments(args))
        elif self._call is None:
            if fragments or args:
                raise Malformed("functionCall.name", "is required in a call's first piece")
            return  # the call has already ended
        assert self._call is not None  # noqa: S101 - set above
        if signature := signature_in(part):
            out.append(BlockSignature(self._call[0], with_issuer(signature.value, self._sent)))
        for fragment in fragments:
            if type(fragment) is dict:
                self._call[2].add(fragment)
        if not more:
            self._close_block(out)

    def _first_usage(self) -> Usage | None:
        """Returns the counts of the first chunk, whose output is only what came with it."""
        return usage_in(self._usage, Repairs()) if self._usage else None

    def _end(self, *, is_marked: bool = False) -> list[Event]:
        self.done = True
        if self._native is None and self._feedback is None and not (is_marked and self._started):
            return [upstream_cut()]
        failed = None if self._is_said else failed_stop(self._native, self._extra.get("candidates[0].finishMessage"))
        if failed is not None:
            return [failed]
        out: list[Event] = []
        uses = tool_uses_in({k[14:]: v for k, v in self._extra.items() if k.startswith("candidates[0].")})
        if isinstance(self._open, Text):
            candidate = {k[14:]: self._extra.pop(k) for k in list(self._extra) if k in _CITATION_FIELDS}
            citations = citations_in(candidate, AnswerText("".join(self._texts), self._part_places()))
            out += [BlockCitation(self._next_index - 1, citation) for citation in citations]
            self._extra |= {f"candidates[0].{key}": value for key, value in candidate.items()}
        if self._tokens:  # they were of no text
            self._extra[f"candidates[0].{LOGPROBS}"] = self._extra.pop(f"candidates[0].{NATIVE}")
        self._close_block(out)
        for use in uses:
            out.append(BlockEnd(self._begin(use, out)))
        stop = stop_in(self._native, self._feedback, self._has_calls, self._repairs)
        usage = usage_in(self._usage, self._repairs) if self._usage else None
        names = self._repairs.names()
        out.append(ReplyEnd(stop, None, self._native or self._feedback, usage, self._extra or None, names))
        return out

    def _part_places(self) -> dict[int, tuple[int, int]]:
        """Returns the place in the last text of each part that belongs to it, counted over all chunks."""
        places, end = {}, sum(map(len, self._texts))
        for k, text in enumerate(reversed(self._texts), 1):
            places[self._parts - k] = end - len(text), end
            end -= len(text)
        return places

    def close(self) -> list[Event]:
        """Ends the stream: returns the ReplyEnd, or a Failure if the reply is incomplete."""
        return [] if self.done else self._end()


_LIST_FIELDS = ("citationMetadata", LOGPROBS, NATIVE)
"""Fields with lists inside that continue from chunk to chunk."""
_CITATION_FIELDS = ("candidates[0].groundingMetadata", "candidates[0].citationMetadata")


def _extended(known: Any, value: Any) -> Any:
    return known + value if type(known) is list and type(value) is list else value
