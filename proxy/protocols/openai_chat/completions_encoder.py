"""Encodes neutral replies as completions of one text, whole and as a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...ir import (
    Block,
    BlockCitation,
    BlockDelta,
    BlockEnd,
    BlockSignature,
    BlockStart,
    Event,
    Failure,
    Loss,
    Reasoning,
    Refusal,
    Reply,
    ReplyEnd,
    ReplyStart,
    Request,
    StopReason,
    Text,
    TokenLogprob,
    Usage,
)
from ...ir.losses import block_extra_losses, block_feature, declare_loss, reply_extra_losses, reply_field_losses
from ...ir.stream import Texts
from ...ir.stream_losses import StreamLosses
from ...ir.token_logprobs import NATIVE
from ...wire import json_fields
from ...wire.framing import DONE, sse
from ..openai.losses import stop_losses
from ..protocol import ReplyContext
from .errors import encode_failure
from .reply_encoder import logprobs_out as chat_logprobs_out
from .reply_encoder import usage_out
from .tables import NAME, STOP_WORDS

OBJECT = "text_completion"

FINISH_WORDS = ("stop", "length", "content_filter")
"""The reasons to stop of a completion; every other is `stop`."""


def encode_reply(reply: Reply, context: ReplyContext) -> tuple[dict[str, Any], list[Loss]]:
    """Returns the body for a client, and the losses."""
    same = reply.protocol == NAME
    losses = [] if same else reply_extra_losses(reply)
    texts: list[str] = []
    for b, block in enumerate(reply.blocks):
        losses += _block_losses(block, b)
        if isinstance(block, Text):
            losses += [declare_loss(f"blocks[{b}].citations", "citations")] if block.citations else []
        if isinstance(block, Text | Refusal):
            texts.append(block.text)
    losses += stop_losses(reply.stop, reply.matched)
    tokens = [token for block in reply.blocks if isinstance(block, Text) for token in block.logprobs]
    extra = _Extra(reply.extra if same else None, _prompt_of(context.request), "message", tokens)
    head = {"id": f"cmpl-{context.id}", "object": OBJECT, "created": context.created, "model": context.request.model}
    body = {**extra.body, **head}
    body["choices"] = [extra.choice("".join(texts), reply.stop), *extra.others]
    if reply.usage is not None:
        body["usage"] = usage_out(reply.usage)
    return body, losses + extra.losses


def _prompt_of(request: Request) -> str:
    """Returns the text that comes back before the generated one, if the client asked for that."""
    if not (request.extra or {}).get("echo"):
        return ""
    return "".join(block.text for turn in request.turns for block in turn.blocks if isinstance(block, Text))


def _block_losses(block: Block, index: int) -> list[Loss]:
    """Returns what is lost of a block: a completion has room for text alone."""
    match block:
        case Text(signature=None) | Reasoning(text="", signature=None):
            return []
        case Text():
            return [declare_loss(f"blocks[{index}].seal", "signature")]
        case Refusal():
            return [declare_loss(f"blocks[{index}]", "refusal")]
        case _:
            return [Loss(f"blocks[{index}]", block_feature(block), "dropped")]


class _Extra:
    """The extra fields of a chat's answer as a completion has them; `key` holds the text of a raw choice.

    `tokens` are the log probabilities of the answer, for which those of a chat backend stand as it wrote them.
    """

    def __init__(
        self, extra: dict[str, Any] | None, prompt: str, key: str, tokens: Sequence[TokenLogprob] = ()
    ) -> None:
        self._prompt = prompt
        self._key = key
        self._logprobs: Any = chat_logprobs_out(tokens) if tokens else None
        self.body: dict[str, Any] = {}
        self.others: list[dict[str, Any]] = []
        self.losses = StreamLosses()
        for path, value in (extra or {}).items():
            if path in ("choices[0].logprobs", f"choices[0].{NATIVE}"):
                self._logprobs = value
            elif path == "n":
                self.others = self._others(value)
            elif path.startswith("choices[0]."):
                self.losses += reply_field_losses({path: value}, "")
            else:
                self.body[path] = value

    def choice(self, text: str, stop: StopReason | None, *, echoes: bool = True) -> dict[str, Any]:
        """Returns the first choice."""
        prompt = self._prompt if echoes else ""
        logprobs = logprobs_out(self._logprobs, len(self._prompt))
        return {"text": prompt + text, "index": 0, "logprobs": logprobs, "finish_reason": finish_out(stop)}

    def _others(self, choices: list[Any]) -> list[dict[str, Any]]:
        """Returns the raw further choices of a chat, those of a stream in the pieces in which they came."""
        out, begun = [], set()
        for choice in choices:
            index, message = choice.get("index"), choice.get(self._key)
            text = message.get("content") if type(message) is dict else None
            prompt = "" if index in begun else self._prompt
            begun.add(index)
            finish = choice.get("finish_reason")
            out.append(
                {
                    "text": prompt + (text if type(text) is str else ""),
                    "index": index,
                    "logprobs": logprobs_out(choice.get("logprobs"), len(prompt)),
                    "finish_reason": finish if finish is None or finish in FINISH_WORDS else "stop",
                }
            )
        return out


def finish_out(stop: StopReason | None) -> str | None:
    if stop is None:
        return None
    word = STOP_WORDS[stop]
    return word if word in FINISH_WORDS else "stop"


def logprobs_out(found: Any, offset: int) -> dict[str, Any] | None:
    """Returns a chat's probabilities of tokens in the four lists of a completion; `offset` is the first one's place."""
    entries = found.get("content") if type(found) is dict else None
    if type(entries) is not list:
        return found if type(found) is dict and "tokens" in found else None
    out: dict[str, Any] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for entry in entries:
        if type(entry) is not dict or type(entry.get("token")) is not str:
            continue
        top = entry.get("top_logprobs")
        out["tokens"].append(entry["token"])
        out["token_logprobs"].append(entry.get("logprob"))
        out["top_logprobs"].append(
            {each.get("token"): each.get("logprob") for each in top if type(each) is dict}
            if type(top) is list and top
            else None
        )
        out["text_offset"].append(offset)
        offset += len(entry["token"])
    return out


class CompletionsEncoder:
    """Encodes events as chunks of one text; usage comes if the client requested it, [DONE] only after success."""

    def __init__(self, context: ReplyContext) -> None:
        self.losses = StreamLosses()
        self._context = context
        options = (context.request.extra or {}).get("stream_options")
        self._wants_usage = type(options) is dict and options.get("include_usage") is True
        self._same = False
        self._usage: Usage | None = None
        self._texts: set[int] = set()
        self._cited: set[int] = set()
        self._tokens: list[TokenLogprob] = []
        head = {
            "id": f"cmpl-{context.id}",
            "object": OBJECT,
            "created": context.created,
            "model": context.request.model,
        }
        self._head = b"data: " + json_fields.encode(head)[:-1]
        self._tail = b',"usage":null}\n\n' if self._wants_usage else b"}\n\n"
        self._before = self._head + b',"choices":[{"text":'
        self._after = b',"index":0,"logprobs":null,"finish_reason":null}]' + self._tail

    def encode_texts(self, texts: Texts) -> bytes | None:
        return None

    def encode(self, events: Sequence[Event]) -> bytes:
        """Returns the frames for these events."""
        return b"".join([self._event(event) for event in events])

    def _event(self, event: Event) -> bytes:
        match event:
            case BlockDelta(index, text, logprobs):
                self._tokens += logprobs
                return self._text(text) if index in self._texts else b""
            case ReplyStart():
                self._same = event.protocol == NAME
                self._usage = event.usage
                if not self._same:
                    self.losses += reply_field_losses(event.extra, "")
                prompt = _prompt_of(self._context.request)
                return self._text(prompt) if prompt else b""
            case BlockStart(index, block):
                if not self._same:
                    self.losses += block_extra_losses(block, index)
                self.losses += _block_losses(block, index)
                if isinstance(block, Reasoning) and not block.signature and not block.text:
                    self.losses.append(Loss(f"blocks[{index}]", "reasoning_text", "dropped"))
                if isinstance(block, Text | Refusal):
                    self._texts.add(index)
                    return self._text(block.text) if block.text else b""
                return b""
            case BlockSignature(index):
                self.losses.append(declare_loss(f"blocks[{index}].seal", "signature"))
                return b""
            case BlockCitation(index):
                if index not in self._cited:
                    self._cited.add(index)
                    self.losses.append(declare_loss(f"blocks[{index}].citations", "citations"))
                return b""
            case BlockEnd(index, extra):
                if not self._same:
                    self.losses += reply_field_losses(extra, f"blocks[{index}]")
                return b""
            case ReplyEnd():
                return self._finish(event)
            case Failure():
                error = encode_failure(event, self._context.id)
                self.losses.tell_late(error["error"])
                return sse(json_fields.encode(error))

    def _text(self, text: str) -> bytes:
        return self._before + json_fields.encode(text) + self._after

    def _finish(self, finish: ReplyEnd) -> bytes:
        self.losses += stop_losses(finish.stop, finish.matched)
        if not self._same:
            self.losses += reply_field_losses(finish.extra, "")
        extra = _Extra(finish.extra if self._same else None, _prompt_of(self._context.request), "delta", self._tokens)
        self.losses += extra.losses
        fields = {key: value for key, value in extra.body.items() if key not in ("object", "created")}
        fields["choices"] = [extra.choice("", finish.stop, echoes=False), *extra.others]
        usage = finish.usage or self._usage
        if usage is not None and self._usage is not None:
            usage = self._usage.merge(usage)
        counted = usage_out(usage) if self._wants_usage and usage is not None else None
        self.losses.tell_late(fields if counted is None else counted)
        out = self._head + b"," + json_fields.encode(fields)[1:-1] + self._tail
        if counted is not None:  # no usage is not a usage of zero
            out += self._head + b',"choices":[],"usage":' + json_fields.encode(counted) + b"}\n\n"
        return out + sse(DONE)
