"""A strict Gemini client: what a response says, and every rule of the protocol that it breaks."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from ...frames import ARRAY, CONTENT_TYPES, SSE, Stream, dump, parse_array, parse_sse
from ...speech import Call, Image, Text, Usage, kind_of
from ..contract import Heard, HeardError, HttpAsk, content_type, cut, echo_check, loads
from .fields import DATA, KNOWN
from .grounding import cites_in, sources_in
from .parts import Part, Words, weave
from .pieces import Pieces
from .words import ALSO, FINISH_NUMBERS, HEARD_STOPS, KEY_INVALID, OTHER_STOPS, STATUSES


def hear(status: int, headers: Mapping[str, str], body: bytes, *, stream: bool, asked: HttpAsk | None = None) -> Heard:
    """`asked` is the request: its path tells the framing that was wanted, and whether enums may be numbers."""
    complaints: list[str] = []
    if status >= 400:
        return _refused(status, headers, body, asked)
    if stream:
        return _stream(headers, body, complaints, asked)
    content_type(headers, "application/json", complaints)
    value = loads(body)
    if not isinstance(value, dict):
        return Heard(error=HeardError(status, "cut", "the body is not a JSON object"), complaints=("not JSON",))
    if "error" in value and "candidates" not in value:
        return Heard(error=_error(200, value["error"], complaints), complaints=("an error with status 200",))
    assembly = _Assembly(complaints, asked)
    assembly.chunk(value)
    if assembly.usage is None:
        complaints.append("body: `usageMetadata` is missing")
    if assembly.finish is None and not assembly.blocked:
        complaints.append("candidate: `finishReason` is missing")
    return assembly.heard(())


# ---- errors ----------------------------------------------------------------------------------------------------------


def _refused(status: int, headers: Mapping[str, str], body: bytes, asked: HttpAsk | None) -> Heard:
    complaints: list[str] = []
    content_type(headers, "application/json", complaints)
    value = loads(body)
    # A stream asked for as an array is refused as an array too.
    if isinstance(value, list) and len(value) == 1 and (asked is None or not _sse_asked(asked)):
        value = value[0]
    error = value.get("error") if isinstance(value, dict) else None
    if error is None:
        complaints.append("error: the body has no `error`")
    return Heard(error=_error(status, error, complaints), complaints=tuple(complaints))


def _error(status: int, error: Any, complaints: list[str]) -> HeardError:
    """`error` is a Status with the HTTP code in it. https://cloud.google.com/apis/design/errors#http_mapping"""
    if not isinstance(error, dict):
        complaints.append("error: `error` is not an object")
        return HeardError(status, kind_of(status) if status >= 400 else "internal", str(error), None, error)
    code, word = error.get("code"), error.get("status")
    if not isinstance(code, int) or isinstance(code, bool):
        complaints.append(f"error: `code` is {code!r}, not an HTTP status")
        code = None
    elif status >= 400 and code != status:
        complaints.append(f"error: `code` is {code}, the status is {status}")
    if not isinstance(error.get("message"), str):
        complaints.append(f"error: `message` is {error.get('message')!r}, not a string")
    if not isinstance(word, str):
        complaints.append(f"error: `status` is {word!r}, not a string")
    elif code is not None and word != STATUSES.get(code) and word not in ALSO.get(code, ()):
        complaints.append(f"error: `status` {word} does not belong to {code}; {STATUSES.get(code)} does")
    if "details" in error and not isinstance(error["details"], list):
        complaints.append("error: `details` is not an array")
    # The body's own code is the status of an error inside a stream.
    number = status if status >= 400 else code if code is not None else 500
    kind = "authentication" if KEY_INVALID in _reasons(error) else kind_of(number)
    return HeardError(number, kind, str(error.get("message", "")), word if isinstance(word, str) else None, error)


def _reasons(error: dict[str, Any]) -> list[Any]:
    details = error.get("details")
    return [detail.get("reason") for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []


# ---- unary, and a chunk ----------------------------------------------------------------------------------------------


class _Assembly:
    """What the responses so far amount to; a unary body is one of them."""

    def __init__(self, complaints: list[str], asked: HttpAsk | None) -> None:
        self.complaints = complaints
        self.numbers = asked is not None and "enum-encoding" in asked.path
        self.parts: list[Part] = []
        self.echo: list[dict[str, Any]] = []
        self.head: dict[str, Any] = {}
        self.finish: str | None = None
        self.blocked: str | None = None
        self.usage: Usage | None = None
        self.grounding: Any = None
        self.sources: Any = None
        self.role: str | None = None
        self.open: tuple[int, Pieces] | None = None

    def chunk(self, chunk: dict[str, Any]) -> None:
        self._known(chunk, "response")
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
            # Only the first of several candidates is heard.
            elif candidate.get("index", 0) == 0:
                self._candidate(candidate)
        if chunk.get("usageMetadata") is not None:
            self.usage = self._usage(chunk["usageMetadata"])

    def _candidate(self, candidate: dict[str, Any]) -> None:
        self._known(candidate, "candidate")
        self.grounding = candidate.get("groundingMetadata") or self.grounding
        self.sources = candidate.get("citationMetadata") or self.sources
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

    def _content(self, content: dict[str, Any], finish: str | None) -> None:
        self._known(content, "content")
        if content and content.get("role") != "model":
            self.complaints.append(f"content: role is {content.get('role')!r}, not 'model'")
        parts = content.get("parts")
        if parts is None:
            # A blocked or cut answer may have nothing to show.
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
        self._known(part, "part")
        data = [key for key in DATA if key in part]
        seal = self._seal(part.get("thoughtSignature"))
        if len(data) != 1:
            self.complaints.append(f"part: one of its data fields must be set, found {data}")
        if "thought" in part and not isinstance(part["thought"], bool):
            self.complaints.append("part: `thought` is neither true nor false")
        if "functionCall" in part:
            self._call(part["functionCall"], seal)
            return
        if "text" in part:
            text = part["text"]
            if not isinstance(text, str):
                self.complaints.append(f"part: `text` is not a string: {dump(text)[:60]}")
                return
            # The service itself closes some streams with an empty text beside the finish reason, or after its own code.
            if not text and seal is None and not alone and not (self.echo and "executableCode" in self.echo[-1]):
                self.complaints.append("part: an empty text")
            # What a client keeps of a part without looking into it. https://ai.google.dev/api/caching#Part
            kept = {"partMetadata": part["partMetadata"]} if "partMetadata" in part else {}
            self._words(Words(text, part.get("thought") is True, seal), kept)
            return
        # Sound, code and the service's own tools have no noun here: they are echoed only.
        media = part.get("inlineData")
        if isinstance(media, dict) and str(media.get("mimeType")).startswith("image/"):
            self.parts.append(Image(media["mimeType"], media.get("data")))
        self.echo.append(part)

    def _words(self, words: Words, kept: dict[str, Any]) -> None:
        self.parts.append(words)
        last = self.echo[-1] if self.echo else None
        # "Don't merge one part with a signature with another part without a signature."
        # https://ai.google.dev/gemini-api/docs/thought-signatures
        signed = words.seal is not None or (last is not None and "thoughtSignature" in last)
        joins = last is not None and "text" in last and not signed and not kept
        if joins and last is not None and last.get("thought", False) == words.thought:
            last["text"] += words.text
        elif words.text or words.seal is not None:
            part: dict[str, Any] = {"text": words.text} | ({"thought": True} if words.thought else {})
            self.echo.append(part | ({"thoughtSignature": words.seal} if words.seal is not None else {}) | kept)

    def _call(self, call: Any, seal: str | None) -> None:
        if not isinstance(call, dict):
            self.complaints.append("functionCall: not an object")
            return
        self._known(call, "functionCall")
        pieces = call.get("partialArgs")
        if self.open is not None and "name" not in call:
            self._more(call, pieces)
            return
        if self.open is not None:
            self.complaints.append("functionCall: another begins before the last one's arguments are whole")
            self.open = None
        id, name, args = call.get("id"), call.get("name"), call.get("args")
        if not isinstance(name, str) or not name:
            self.complaints.append("functionCall: `name` is missing")
        if id is not None and (not isinstance(id, str) or not id):
            self.complaints.append(f"functionCall: `id` is {id!r}, not a string")
        partial = call.get("willContinue") is True or pieces is not None
        if not isinstance(args, dict) and not (partial and args is None):
            self.complaints.append(f"functionCall: `args` is {dump(args)[:60]}, not an object")
        text = dump(args if isinstance(args, dict) else {})
        self.parts.append(Call(id if isinstance(id, str) else "", str(name or ""), text, seal))
        kept: dict[str, Any] = {k: v for k, v in call.items() if k in ("id", "name")}
        kept["args"] = args if isinstance(args, dict) else {}
        self.echo.append({"functionCall": kept} | ({"thoughtSignature": seal} if seal is not None else {}))
        if partial:
            self.open = len(self.parts) - 1, Pieces()
            self._more(call, pieces)

    def _more(self, call: dict[str, Any], pieces: Any) -> None:
        """A piece of a call whose arguments are streamed; one without `willContinue` is the last."""
        if self.open is None:
            return
        at, found = self.open
        for piece in pieces if isinstance(pieces, list) else []:
            wrong = found.add(piece)
            if wrong is not None:
                self.complaints.append(f"functionCall: {wrong}")
        begun = self.parts[at]
        if isinstance(begun, Call) and found.value:
            self.parts[at] = Call(begun.id, begun.name, dump(found.value), begun.seal)
            last = next(part for part in reversed(self.echo) if "functionCall" in part)
            last["functionCall"]["args"] = found.value
        if call.get("willContinue") is not True:
            self.open = None

    def _seal(self, seal: Any) -> str | None:
        """`thoughtSignature`: "A base64-encoded string." https://ai.google.dev/api/caching#Part"""
        if seal is None:
            return None
        if isinstance(seal, str):
            try:
                base64.b64decode(seal.replace("-", "+").replace("_", "/") + "=" * (-len(seal) % 4), validate=True)
                return seal
            except (binascii.Error, ValueError):
                pass
        self.complaints.append(f"part: `thoughtSignature` is not base64: {dump(seal)[:60]}")
        return seal if isinstance(seal, str) else None

    def _finish(self, finish: Any) -> str | None:
        if isinstance(finish, int) and not isinstance(finish, bool):
            if not self.numbers:
                self.complaints.append(f"candidate: `finishReason` is the number {finish}; numbers must be asked for")
            return FINISH_NUMBERS[finish] if 0 <= finish < len(FINISH_NUMBERS) else str(finish)
        if finish is None or (isinstance(finish, str) and (finish in HEARD_STOPS or finish in OTHER_STOPS)):
            return finish
        self.complaints.append(f"candidate: there is no `finishReason` {finish!r}")
        return str(finish)

    def _usage(self, usage: Any) -> Usage | None:
        """`promptTokenCount` includes what was cached, `candidatesTokenCount` excludes thoughts.

        https://ai.google.dev/api/generate-content#UsageMetadata
        """
        if not isinstance(usage, dict):
            self.complaints.append("usage: `usageMetadata` is not an object")
            return None
        self._known(usage, "usageMetadata")
        counts: dict[str, int | None] = {}
        for key in ("prompt", "candidates", "total", "thoughts", "cachedContent", "toolUsePrompt"):
            value = usage.get(f"{key}TokenCount")
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
                self.complaints.append(f"usage: `{key}TokenCount` is {value!r}, not a count")
                value = None
            counts[key] = value
        if all(count is None for count in counts.values()):
            # Some chunks only tell how the traffic is billed.
            return self.usage
        prompt, cached, tools = counts["prompt"] or 0, counts["cachedContent"], counts["toolUsePrompt"] or 0
        said, thought = counts["candidates"] or 0, counts["thoughts"]
        if cached is not None and cached > prompt:
            self.complaints.append(f"usage: cachedContentTokenCount {cached} exceeds promptTokenCount {prompt}")
        whole = prompt + said + tools + (thought or 0)
        if counts["total"] != whole:
            self.complaints.append(f"usage: totalTokenCount is {counts['total']}, its parts are {whole}")
        return Usage(max(prompt - (cached or 0), 0) + tools, said + (thought or 0), cached, None, thought)

    def _known(self, value: dict[str, Any], kind: str) -> None:
        for key in value:
            if key not in KNOWN[kind]:
                self.complaints.append(f"{kind}: there is no field `{key}`")

    def heard(self, events: tuple[Any, ...]) -> Heard:
        blocks = weave(self.parts, merge=True)
        calls = any(isinstance(block, Call) for block in blocks)
        stop = None if self.finish is None else HEARD_STOPS.get(self.finish, "other")
        if stop == "end" and calls:
            stop = "tool"
        if self.finish is None and self.blocked is not None:
            # "blockReason: Optional. If set, the prompt was blocked and no candidates are returned."
            # https://ai.google.dev/api/generate-content#PromptFeedback
            stop = "content_filter"
        if self.open is not None:
            self.complaints.append("functionCall: the arguments never came to an end")
        echo_check(blocks, stop, self.complaints)
        text = "".join(block.text for block in blocks if isinstance(block, Text))
        return Heard(
            blocks=blocks,
            cites=(*cites_in(self.grounding, text, self.complaints), *sources_in(self.sources, text)),
            stop=stop,
            native_stop=self.finish or self.blocked,
            usage=self.usage,
            model=self.head.get("modelVersion"),
            id=self.head.get("responseId"),
            echo=({"role": "model", "parts": self.echo},) if self.echo else (),
            events=events,
            complaints=tuple(self.complaints),
        )


# ---- streaming -------------------------------------------------------------------------------------------------------


def _sse_asked(asked: HttpAsk) -> bool:
    return "alt=sse" in asked.path.partition("?")[2].split("&")


def _stream(headers: Mapping[str, str], body: bytes, complaints: list[str], asked: HttpAsk | None) -> Heard:
    found = {name.lower(): value for name, value in headers.items()}.get("content-type", "")
    sse = _sse_asked(asked) if asked is not None else "json" not in found
    content_type(headers, CONTENT_TYPES[SSE if sse else ARRAY], complaints)
    parsed = parse_sse(body) if sse else parse_array(body)
    if sse:
        _framing(parsed, complaints)
    assembly = _Assembly(complaints, asked)
    events: list[Any] = []
    error: HeardError | None = None
    for event in parsed.events:
        value = loads(event.data.encode())
        events.append(value)
        if not isinstance(value, dict):
            complaints.append(f"stream: an event that is not a JSON object: {event.data[:60]!r}")
            continue
        if error is not None:
            complaints.append("stream: an event after an error")
        if value.get("error") is not None:
            error = _error(200, value["error"], complaints)
            continue
        assembly.chunk(value)
    if parsed.rest:
        complaints.append(f"stream: it does not end well: {parsed.rest[:60]!r}")
    ended = assembly.finish is not None or assembly.blocked is not None
    # The stream ends by its end: there is no sentinel, the finish reason is all that tells a whole answer from a cut.
    if error is None and (not ended or (not sse and parsed.rest)):
        error = cut("no finishReason" if not ended else "no closing bracket")
    if error is None and assembly.usage is None:
        complaints.append("stream: no `usageMetadata`")
    if error is not None and ended and error.kind != "cut":
        complaints.append("stream: an error after finishReason")
    return replace(assembly.heard(tuple(events)), error=error)


def _framing(parsed: Stream, complaints: list[str]) -> None:
    for comment in parsed.comments:
        # google-genai takes a comment for a line of JSON.
        complaints.append(f"stream: a comment ({comment!r}); the official client breaks on it")
    for event in parsed.events:
        if event.event is not None:
            complaints.append(f"stream: an `event:` line ({event.event}); this protocol has none")
        if event.data == "[DONE]":
            complaints.append("stream: a [DONE]; this protocol ends by the end of the stream")
