"""Parses Gemini API replies strictly: neutral content, and a complaint for every broken rule of the protocol."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from crosswire.mockserver.framing import ARRAY, CONTENT_TYPES, SSE, Stream, dump, parse_array, parse_sse
from crosswire.mockserver.protocols.gemini.message_schema import DATA, KNOWN
from crosswire.mockserver.protocols.gemini.parts import Part, TextPart, build_blocks
from crosswire.mockserver.scenarios.model import Image, Text, ToolCall, Usage

from ..protocol import HttpRequest, Logprob, ParsedError, ParsedReply
from ..reply_checks import check_content_type, check_tool_calls, cut_error, parse_json
from ..told_losses import KEY
from .citations import cited_sources, quoted_sources
from .error_parser import parse_error, parse_error_reply, wants_sse
from .streamed_arguments import ArgumentAssembler
from .tables import FINISH_NUMBERS, OTHER_STOPS, STOP_REASONS


def parse_reply(
    status: int, headers: Mapping[str, str], body: bytes, *, stream: bool, request: HttpRequest | None = None
) -> ParsedReply:
    """Parses a reply; the path of `request` selects the framing, and allows numbers as enums."""
    complaints: list[str] = []
    if status >= 400:
        return parse_error_reply(status, headers, body, request)
    if stream:
        return _parse_stream(headers, body, complaints, request)
    check_content_type(headers, "application/json", complaints)
    value = parse_json(body)
    if not isinstance(value, dict):
        return ParsedReply(error=ParsedError(status, "cut", "the body is not a JSON object"), complaints=("not JSON",))
    if "error" in value and "candidates" not in value:
        return ParsedReply(error=parse_error(200, value["error"], complaints), complaints=("an error with status 200",))
    assembler = _ReplyAssembler(complaints, request)
    assembler.add(value)
    if assembler.usage is None:
        complaints.append("body: `usageMetadata` is missing")
    if assembler.finish is None and not assembler.blocked:
        complaints.append("candidate: `finishReason` is missing")
    return assembler.build_reply(())


# ---- unary, and a chunk ----------------------------------------------------------------------------------------------


class _ReplyAssembler:
    """Assembles a reply from chunks; a unary body is a single chunk."""

    def __init__(self, complaints: list[str], request: HttpRequest | None) -> None:
        self.complaints = complaints
        self.accepts_numbers = request is not None and "enum-encoding" in request.path
        self.parts: list[Part] = []
        self.echo: list[dict[str, Any]] = []
        self.head: dict[str, Any] = {}
        self.finish: str | None = None
        self.blocked: str | None = None
        self.usage: Usage | None = None
        self.logprobs: list[Logprob] = []
        self.grounding: Any = None
        self.sources: Any = None
        self.role: str | None = None
        self.open: tuple[int, ArgumentAssembler] | None = None

    def add(self, chunk: dict[str, Any]) -> None:
        self._check_known(chunk, "response")
        for key in ("responseId", "modelVersion"):
            found = chunk.get(key)
            if not isinstance(found, str) or not found:
                self.complaints.append(f"response: `{key}` is missing")
            elif self.head.setdefault(key, found) != found:
                self.complaints.append(f"response: `{key}` changes within the stream")
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, dict) and feedback.get("blockReason") is not None:
            self.blocked = str(feedback["blockReason"])
        candidates = chunk.get("candidates")
        if candidates is None and self.blocked is None and "usageMetadata" not in chunk:
            self.complaints.append("response: neither `candidates` nor `promptFeedback` nor `usageMetadata`")
        if candidates is not None and (not isinstance(candidates, list) or not candidates):
            self.complaints.append("response: `candidates` is not an array that holds one")
        for candidate in candidates if isinstance(candidates, list) else []:
            if not isinstance(candidate, dict):
                self.complaints.append(f"candidate: not an object: {dump(candidate)[:60]}")
            # only the first of several candidates is parsed
            elif candidate.get("index", 0) == 0:
                self._candidate(candidate)
        if chunk.get("usageMetadata") is not None:
            self.usage = self._usage(chunk["usageMetadata"])

    def _candidate(self, candidate: dict[str, Any]) -> None:
        self._check_known(candidate, "candidate")
        self.grounding = candidate.get("groundingMetadata") or self.grounding
        self.sources = candidate.get("citationMetadata") or self.sources
        self._logprobs(candidate.get("logprobsResult") or {})
        finish = self._finish(candidate.get("finishReason"))
        content = candidate.get("content")
        if content is None:
            if finish is None:
                self.complaints.append("candidate: neither `content` nor `finishReason`")
        elif not isinstance(content, dict):
            self.complaints.append("candidate: `content` is not an object")
        else:
            self._content(content, finish)
        if finish is not None:
            if self.finish is not None:
                self.complaints.append("candidate: `finishReason` comes twice")
            self.finish = finish

    def _logprobs(self, result: dict[str, Any]) -> None:
        """Parses `logprobsResult`: both of its lists have the length of the decoding steps.

        https://ai.google.dev/api/generate-content#LogprobsResult
        """
        chosen, tops = result.get("chosenCandidates") or [], result.get("topCandidates") or []
        if tops and len(tops) != len(chosen):
            self.complaints.append(f"logprobsResult: {len(chosen)} chosen tokens, {len(tops)} lists of likely ones")
        for at, step in enumerate(chosen):
            top = (tops[at].get("candidates") or []) if at < len(tops) else []
            found = [(token.get("token", ""), token.get("logProbability", 0.0)) for token in (step, *top)]
            self.logprobs.append((*found[0], tuple(found[1:])))

    def _content(self, content: dict[str, Any], finish: str | None) -> None:
        self._check_known(content, "content")
        if content and content.get("role") != "model":
            self.complaints.append(f"content: role is {content.get('role')!r}, not 'model'")
        parts = content.get("parts")
        if parts is None:
            # a blocked or cut reply may have no content
            if finish is None:
                self.complaints.append("content: `parts` is missing")
            return
        if not isinstance(parts, list) or not parts:
            self.complaints.append("content: `parts` is not an array that holds one")
            return
        if self.finish is not None:
            self.complaints.append("candidate: content after `finishReason`")
        for part in parts:
            if isinstance(part, dict):
                self._part(part, alone=finish is not None and len(parts) == 1)
            else:
                self.complaints.append(f"part: not an object: {dump(part)[:60]}")

    def _part(self, part: dict[str, Any], *, alone: bool) -> None:
        self._check_known(part, "part")
        data = [key for key in DATA if key in part]
        signature = self._signature(part.get("thoughtSignature"))
        if len(data) != 1:
            self.complaints.append(f"part: one of its data fields must be set, found {data}")
        if "thought" in part and not isinstance(part["thought"], bool):
            self.complaints.append("part: `thought` is neither true nor false")
        if "functionCall" in part:
            self._call(part["functionCall"], signature)
            return
        if "text" in part:
            text = part["text"]
            if not isinstance(text, str):
                self.complaints.append(f"part: `text` is not a string: {dump(text)[:60]}")
                return
            # the service ends some streams with an empty text beside the finish reason, or after executed code
            if not text and signature is None and not alone and not (self.echo and "executableCode" in self.echo[-1]):
                self.complaints.append("part: an empty text")
            # metadata that a client sends back unchanged: https://ai.google.dev/api/caching#Part
            kept = {"partMetadata": part["partMetadata"]} if "partMetadata" in part else {}
            self._add_text(TextPart(text, part.get("thought") is True, signature), kept)
            return
        # audio, code and hosted tools have no neutral block: they are only echoed
        media = part.get("inlineData")
        if isinstance(media, dict) and str(media.get("mimeType")).startswith("image/"):
            self.parts.append(Image(media["mimeType"], media.get("data")))
        self.echo.append(part)

    def _add_text(self, text_part: TextPart, kept: dict[str, Any]) -> None:
        self.parts.append(text_part)
        last = self.echo[-1] if self.echo else None
        # "Don't merge one part with a signature with another part without a signature."
        # https://ai.google.dev/gemini-api/docs/thought-signatures
        signed = text_part.signature is not None or (last is not None and "thoughtSignature" in last)
        joins = last is not None and "text" in last and not signed and not kept
        if joins and last is not None and last.get("thought", False) == text_part.thought:
            last["text"] += text_part.text
        elif text_part.text or text_part.signature is not None:
            part: dict[str, Any] = {"text": text_part.text} | ({"thought": True} if text_part.thought else {})
            self.echo.append(
                part | ({"thoughtSignature": text_part.signature} if text_part.signature is not None else {}) | kept
            )

    def _call(self, call: Any, signature: str | None) -> None:
        if not isinstance(call, dict):
            self.complaints.append("functionCall: not an object")
            return
        self._check_known(call, "functionCall")
        fragments = call.get("partialArgs")
        if self.open is not None and "name" not in call:
            self._add_arguments(call, fragments)
            return
        if self.open is not None:
            self.complaints.append("functionCall: another begins before the last one's arguments are whole")
            self.open = None
        id, name, args = call.get("id"), call.get("name"), call.get("args")
        if not isinstance(name, str) or not name:
            self.complaints.append("functionCall: `name` is missing")
        if id is not None and (not isinstance(id, str) or not id):
            self.complaints.append(f"functionCall: `id` is {id!r}, not a string")
        partial = call.get("willContinue") is True or fragments is not None
        if not isinstance(args, dict) and not (partial and args is None):
            self.complaints.append(f"functionCall: `args` is {dump(args)[:60]}, not an object")
        text = dump(args if isinstance(args, dict) else {})
        self.parts.append(ToolCall(id if isinstance(id, str) else "", str(name or ""), text, signature))
        kept: dict[str, Any] = {k: v for k, v in call.items() if k in ("id", "name")}
        kept["args"] = args if isinstance(args, dict) else {}
        self.echo.append({"functionCall": kept} | ({"thoughtSignature": signature} if signature is not None else {}))
        if partial:
            self.open = len(self.parts) - 1, ArgumentAssembler()
            self._add_arguments(call, fragments)

    def _add_arguments(self, call: dict[str, Any], fragments: Any) -> None:
        """Adds a fragment of streamed arguments; one without `willContinue` is the last."""
        if self.open is None:
            return
        at, found = self.open
        for fragment in fragments if isinstance(fragments, list) else []:
            problem = found.add(fragment)
            if problem is not None:
                self.complaints.append(f"functionCall: {problem}")
        begun = self.parts[at]
        if isinstance(begun, ToolCall) and found.value:
            self.parts[at] = ToolCall(begun.id, begun.name, dump(found.value), begun.signature)
            last = next(part for part in reversed(self.echo) if "functionCall" in part)
            last["functionCall"]["args"] = found.value
        if call.get("willContinue") is not True:
            self.open = None

    def _signature(self, signature: Any) -> str | None:
        """Checks `thoughtSignature`: "A base64-encoded string." https://ai.google.dev/api/caching#Part"""
        if signature is None:
            return None
        if isinstance(signature, str):
            try:
                base64.b64decode(
                    signature.replace("-", "+").replace("_", "/") + "=" * (-len(signature) % 4), validate=True
                )
                return signature
            except (binascii.Error, ValueError):
                pass
        self.complaints.append(f"part: `thoughtSignature` is not base64: {dump(signature)[:60]}")
        return signature if isinstance(signature, str) else None

    def _finish(self, finish: Any) -> str | None:
        if isinstance(finish, int) and not isinstance(finish, bool):
            if not self.accepts_numbers:
                self.complaints.append(f"candidate: `finishReason` is the number {finish}; numbers must be asked for")
            return FINISH_NUMBERS[finish] if 0 <= finish < len(FINISH_NUMBERS) else str(finish)
        if finish is None or (isinstance(finish, str) and (finish in STOP_REASONS or finish in OTHER_STOPS)):
            return finish
        self.complaints.append(f"candidate: there is no `finishReason` {finish!r}")
        return str(finish)

    def _usage(self, usage: Any) -> Usage | None:
        """Parses `usageMetadata`: `promptTokenCount` includes cached tokens, `candidatesTokenCount` excludes thoughts.

        https://ai.google.dev/api/generate-content#UsageMetadata
        """
        if not isinstance(usage, dict):
            self.complaints.append("usage: `usageMetadata` is not an object")
            return None
        self._check_known(usage, "usageMetadata")
        counts: dict[str, int | None] = {}
        for key in ("prompt", "candidates", "total", "thoughts", "cachedContent", "toolUsePrompt"):
            value = usage.get(f"{key}TokenCount")
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
                self.complaints.append(f"usage: `{key}TokenCount` is {value!r}, not a count")
                value = None
            counts[key] = value
        if all(count is None for count in counts.values()):
            # some chunks only have the billing type
            return self.usage
        prompt, cached, tools = counts["prompt"] or 0, counts["cachedContent"], counts["toolUsePrompt"] or 0
        candidate_tokens, thought = counts["candidates"] or 0, counts["thoughts"]
        if cached is not None and cached > prompt:
            self.complaints.append(f"usage: cachedContentTokenCount {cached} exceeds promptTokenCount {prompt}")
        total = prompt + candidate_tokens + tools + (thought or 0)
        if counts["total"] != total:
            self.complaints.append(f"usage: totalTokenCount is {counts['total']}, its parts are {total}")
        return Usage(max(prompt - (cached or 0), 0) + tools, candidate_tokens + (thought or 0), cached, None, thought)

    def _check_known(self, value: dict[str, Any], kind: str) -> None:
        """Complains about fields that this kind of message does not have."""
        for key in value:
            if key == KEY and kind in ("response", "usageMetadata"):
                continue  # a proxy's own, which is read elsewhere
            if key not in KNOWN[kind]:
                self.complaints.append(f"{kind}: there is no field `{key}`")

    def build_reply(self, events: tuple[Any, ...]) -> ParsedReply:
        blocks = build_blocks(self.parts, merge=True)
        calls = any(isinstance(block, ToolCall) for block in blocks)
        stop = None if self.finish is None else STOP_REASONS.get(self.finish, "other")
        # "UNEXPECTED_TOOL_CALL: Model generated a tool call but no tools were enabled in the request."
        # https://ai.google.dev/api/generate-content#FinishReason
        if calls and (stop == "end" or self.finish == "UNEXPECTED_TOOL_CALL"):
            stop = "tool"
        if self.finish is None and self.blocked is not None:
            # "blockReason: Optional. If set, the prompt was blocked and no candidates are returned."
            # https://ai.google.dev/api/generate-content#PromptFeedback
            stop = "content_filter"
        if self.open is not None:
            self.complaints.append("functionCall: the arguments never came to an end")
        check_tool_calls(blocks, stop, self.complaints)
        text = "".join(block.text for block in blocks if isinstance(block, Text))
        return ParsedReply(
            blocks=blocks,
            cites=(*cited_sources(self.grounding, text, self.complaints), *quoted_sources(self.sources, text)),
            stop=stop,
            native_stop=self.finish or self.blocked,
            usage=self.usage,
            logprobs=tuple(self.logprobs),
            model=self.head.get("modelVersion"),
            id=self.head.get("responseId"),
            echo=({"role": "model", "parts": self.echo},) if self.echo else (),
            events=events,
            complaints=tuple(self.complaints),
        )


# ---- streaming -------------------------------------------------------------------------------------------------------


def _parse_stream(
    headers: Mapping[str, str], body: bytes, complaints: list[str], request: HttpRequest | None
) -> ParsedReply:
    found = {name.lower(): value for name, value in headers.items()}.get("content-type", "")
    sse = wants_sse(request) if request is not None else "json" not in found
    check_content_type(headers, CONTENT_TYPES[SSE if sse else ARRAY], complaints)
    parsed = parse_sse(body) if sse else parse_array(body)
    if sse:
        _check_framing(parsed, complaints)
    assembler = _ReplyAssembler(complaints, request)
    events: list[Any] = []
    error: ParsedError | None = None
    for event in parsed.events:
        value = parse_json(event.data.encode())
        events.append(value)
        if not isinstance(value, dict):
            complaints.append(f"stream: an event that is not a JSON object: {event.data[:60]!r}")
            continue
        if error is not None:
            complaints.append("stream: an event after an error")
        if value.get("error") is not None:
            error = parse_error(200, value["error"], complaints)
            continue
        assembler.add(value)
    if parsed.rest:
        complaints.append(f"stream: it does not end well: {parsed.rest[:60]!r}")
    ended = assembler.finish is not None or assembler.blocked is not None
    # there is no end marker: only the finish reason distinguishes a complete reply from a cut one
    if error is None and (not ended or (not sse and parsed.rest)):
        error = cut_error("no finishReason" if not ended else "no closing bracket")
    if error is None and assembler.usage is None:
        complaints.append("stream: no `usageMetadata`")
    if error is not None and ended and error.kind != "cut":
        complaints.append("stream: an error after finishReason")
    return replace(assembler.build_reply(tuple(events)), error=error)


def _check_framing(parsed: Stream, complaints: list[str]) -> None:
    for comment in parsed.comments:
        # google-genai parses a comment as JSON
        complaints.append(f"stream: a comment ({comment!r}); the official client breaks on it")
    for event in parsed.events:
        if event.event is not None:
            complaints.append(f"stream: an `event:` line ({event.event}); this protocol has none")
        if event.data == "[DONE]":
            complaints.append("stream: a [DONE]; this protocol ends by the end of the stream")
