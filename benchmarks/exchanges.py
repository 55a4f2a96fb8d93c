"""Exchanges of a client and a backend, with random mutations of JSON and of bytes that a lever could miss."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from msgspec import Struct

from crosswire.conformance.replay.mutation import MISSING, VALUES, mutated, places
from crosswire.conformance.replay.recording import find_recordings, read_recording

from . import bodies
from .program import ROOT

EVIDENCE = ROOT / "tests" / "evidence"
"""Literal answers of the vendors' documentation."""

REQUESTS: dict[str, dict[str, Any]] = {
    "openai-chat": {"messages": [{"role": "user", "content": "Say hello."}]},
    "openai-responses": {"input": "Say hello."},
    "anthropic": {"max_tokens": 64, "messages": [{"role": "user", "content": "Say hello."}]},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "Say hello."}]}]},
    "ollama": {"messages": [{"role": "user", "content": "Say hello."}], "stream": False},
}
"""The smallest request of each protocol."""

_TOOLS = bodies.tools(bodies.CHAT, 20)["tools"]

_SAID = "Say hello, or call a tool: 1, {2}, [3]; \u201cfour\u201d."

LARGER: dict[str, tuple[dict[str, Any], ...]] = {
    "openai-responses": (
        {**REQUESTS["openai-responses"], "tools": [{"type": "function", **tool["function"]} for tool in _TOOLS]},
    ),
    "ollama": ({**REQUESTS["ollama"], "tools": _TOOLS},),
    "openai-chat": (
        {**REQUESTS["openai-chat"], "tools": _TOOLS},
        bodies.chat({"role": "user", "content": _SAID * 300}),
        bodies.image(bodies.CHAT, 4_000),
        bodies.image(bodies.CHAT, 300_000),
    ),
    "anthropic": (
        bodies.tools(bodies.ANTHROPIC, 20),
        {"max_tokens": 64, "messages": [{"role": "user", "content": _SAID * 300}]},
        bodies.image(bodies.ANTHROPIC, 4_000),
        bodies.image(bodies.ANTHROPIC, 300_000),
    ),
}
"""Requests with tools, a long text and pictures, of which one is large."""

_UNARY = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1beta/models/MODEL:generateContent", "/api/chat")
PATHS = dict(zip(REQUESTS, _UNARY, strict=True))

BYTES: tuple[tuple[str, bytes], ...] = (
    ("no UTF-8", b"\xff"),
    ("half a character", b"\xc3"),
    ("a lone surrogate", b"\\ud800"),
    ("a byte order mark", b"\xef\xbb\xbf"),
    ("a control character", b"\x01"),
    ("a line break", b"\n"),
    ("a carriage return", b"\r"),
    ("a quotation mark", b'"'),
    ("a brace", b"}"),
    ("an empty line", b"\n\n"),
)
"""Bytes that are put anywhere into an answer or a request."""


class Answer(Struct, frozen=True):
    """An answer of a backend, as its vendor sends it."""

    name: str
    protocol: str
    status: int
    body: bytes
    is_stream: bool


class Exchange(Struct, frozen=True):
    """One request, and the answer of the backend that gets it, in these pieces."""

    name: str
    request: bytes
    protocol: str
    status: int
    pieces: tuple[bytes, ...]
    is_stream: bool
    whole: bool
    """False if the connection breaks before the end of the answer."""


def evidence() -> list[Answer]:
    """The answers of the vendors' documentation."""
    found = []
    for file in sorted(EVIDENCE.glob("*/*.json")):
        case = json.loads(file.read_text("utf-8"))
        name, protocol, kind = str(file.relative_to(EVIDENCE)), file.parent.name, case["kind"]
        if kind == "stream":
            found.append(Answer(name, protocol, 200, case["stream"].encode(), True))
        elif kind in ("reply", "error"):
            body = json.dumps(case["body"], ensure_ascii=False).encode()
            found.append(Answer(name, protocol, case.get("status", 200), body, False))
    return found


def recorded(folder: Path) -> list[Answer]:
    """The answers of recorded traffic, as `crosswire-matrix replay` reads it."""
    found = (read_recording(file, folder) for file in find_recordings(folder))
    return [
        Answer(one.file, one.protocol, one.status, one.reply, one.streamed)
        for one in found
        if one.skipped is None and not one.array
    ]


def exchanges(answers: Sequence[Answer], number: int, seed: int) -> Iterator[Exchange]:
    """So many exchanges, the same ones for a seed; the first are the answers as they are, the rest are mutated."""
    dice = Random(seed)
    for at in range(number):
        answer = answers[at] if at < len(answers) else dice.choice(answers)
        frontend = dice.choice((answer.protocol, answer.protocol, *REQUESTS))
        what, body, request = "as it is", answer.body, _request(frontend, answer, dice)
        if at >= len(answers):
            if dice.random() < 0.25:
                what, changed = _changed(request.partition(b"\r\n\r\n")[2], dice, is_stream=False)
                request = _framed(frontend, answer, changed)
            else:
                what, body = _changed(answer.body, dice, is_stream=answer.is_stream)
        whole = dice.random() < 0.9
        if not whole:
            body = body[: dice.randrange(len(body) + 1)]
        name = f"{answer.name}, {what}, {frontend} client{'' if whole else ', broken off'}"
        pieces = tuple(_pieces(body, dice))
        yield Exchange(name, request, answer.protocol, answer.status, pieces, answer.is_stream, whole)


def _request(frontend: str, answer: Answer, dice: Random) -> bytes:
    larger = LARGER.get(frontend, ())
    body = dict(dice.choice(larger) if larger and dice.random() < 0.3 else REQUESTS[frontend])
    if frontend == "ollama":
        body["stream"] = answer.is_stream
    elif answer.is_stream and frontend != "gemini":
        body["stream"] = True
    named = body if frontend == "gemini" else {"model": f"m-{answer.protocol}", **body}
    return _framed(frontend, answer, json.dumps(named).encode())


def _framed(frontend: str, answer: Answer, body: bytes) -> bytes:
    path = PATHS[frontend].replace("MODEL", f"m-{answer.protocol}")
    if frontend == "gemini" and answer.is_stream:
        path = path.replace(":generateContent", ":streamGenerateContent?alt=sse")
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def _changed(body: bytes, dice: Random, *, is_stream: bool) -> tuple[str, bytes]:
    """A mutation of the JSON of a body or of one line of a stream, or of any byte."""
    if dice.random() < 0.6:
        lines = body.split(b"\n") if is_stream else [body]
        at = dice.randrange(len(lines))
        mark = b"data: " if lines[at].startswith(b"data: ") else b""
        try:
            value = json.loads(lines[at][len(mark) :])
        except ValueError:
            value = None
        if found := list(places(value)):
            place, new = dice.choice(found), dice.choice((*VALUES, MISSING))
            lines[at] = mark + json.dumps(mutated(value, place, new), ensure_ascii=dice.random() < 0.5).encode()
            said = "missing" if new is MISSING else repr(new)
            return f"{'.'.join(map(str, place))} = {said} in line {at}", b"\n".join(lines)
    at, (what, inserted) = dice.randrange(len(body) + 1), dice.choice(BYTES)
    return f"{what} at byte {at}", body[:at] + inserted + body[at + dice.choice((0, 0, 1)) :]


def _pieces(body: bytes, dice: Random) -> Iterator[bytes]:
    """The body in one piece, in a few, or in many."""
    cuts = sorted(dice.randrange(len(body) + 1) for _ in range(dice.choice((0, 0, 1, 4, 20))))
    for start, end in zip((0, *cuts), (*cuts, len(body)), strict=True):
        if end > start:
            yield body[start:end]
