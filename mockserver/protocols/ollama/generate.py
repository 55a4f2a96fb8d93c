"""Ollama's generate endpoint: one prompt, one text; played by the stories of the chat.

Wire format: https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-completion
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from ...framing import dump
from ..protocol import ParsedRequest
from ..reply_context import RenderedReply, ReplyContext, ReplyPart
from ..rule import Asked, Breach, Check, Rule
from . import endpoints, reply_writer, request_parser, request_validator
from .tables import GENERATE_PATH, PATH

TEXTS = ("prompt", "system", "suffix", "template")


def is_generate(path: str) -> bool:
    """Returns whether a path is that of generate."""
    return path.partition("?")[0].endswith(GENERATE_PATH)


def endpoint_of(method: str, path: str) -> str | None:
    """Returns `generate` or `models` for a method and path, None for an unknown path."""
    return "generate" if method == "POST" and is_generate(path) else endpoints.endpoint_of(method, path)


def _as_chat(body: dict[str, Any]) -> dict[str, Any]:
    """Returns the body of a chat with the same texts and options."""
    rest = {key: value for key, value in body.items() if key not in (*TEXTS, "images", "raw", "context")}
    user = {"role": "user", "content": body.get("prompt") or ""}
    if body.get("images"):
        user["images"] = body["images"]
    system = [{"role": "system", "content": body["system"]}] if body.get("system") else []
    return {**rest, "messages": [*system, user]}


def parse_request(path: str, headers: Mapping[str, str], body: Any) -> ParsedRequest:
    """Parses a request; raises `MalformedRequest` if the body has the wrong shape."""
    return request_parser.parse_request(path, headers, _as_chat(body) if is_generate(path) else body)


def _text_wrong(asked: Asked) -> Iterator[Breach]:
    for key in TEXTS if is_generate(asked.path) else ():
        value = asked.body.get(key)
        if value is not None and not isinstance(value, str):
            kind = {bool: "bool", list: "array", dict: "object"}.get(type(value), "number")
            yield {"type": kind, "field": key}


def _raw_with_more(asked: Asked) -> Iterator[Breach]:
    body = asked.body
    if is_generate(asked.path) and body.get("raw") and any(body.get(key) for key in ("template", "system", "context")):
        yield {}


def _no_insert(asked: Asked) -> Iterator[Breach]:
    if is_generate(asked.path) and asked.body.get("suffix"):
        yield {"model": dump(asked.model)}


def _of_chat(check: Check) -> Check:
    """Returns a check of chats that also checks the prompts of generate, as the chats that they are."""

    def checked(asked: Asked) -> Iterator[Breach]:
        if is_generate(asked.path) and isinstance(asked.body, dict):
            asked = replace(asked, path=asked.path.replace(GENERATE_PATH, PATH), body=_as_chat(asked.body))
        return check(asked)

    return checked


ROUTES = "https://github.com/ollama/ollama/blob/main/server/routes.go"

_OWN = (
    Rule(
        id="generate-type-wrong",
        says="The error of the server's JSON decoder.",
        source="https://github.com/ollama/ollama/issues/10255",
        check=_text_wrong,
        message="json: cannot unmarshal {type} into Go struct field GenerateRequest.{field} of type string",
    ),
    Rule(
        id="generate-raw",
        says="raw mode does not support template, system, or context",
        source=ROUTES,
        check=_raw_with_more,
        message="raw mode does not support template, system, or context",
    ),
    Rule(
        id="generate-insert",
        says='"%s does not support insert", for a model whose template has no suffix.',
        source=ROUTES,
        check=_no_insert,
        message="{model} does not support insert",
    ),
)

_CHAT = tuple(replace(rule, check=_of_chat(rule.check)) for rule in request_validator.RULES)

RULES: tuple[Rule, ...] = (*_CHAT[:2], *_OWN, *_CHAT[2:])
"""The rules of chats and of generate; the first two are about the key and the body as a whole."""


def render_reply(context: ReplyContext) -> RenderedReply:
    """Renders a unary body, or the lines of a stream, with the faults of the story."""
    rendered = reply_writer.render_reply(context)
    if not is_generate(context.path):
        return rendered
    return replace(rendered, parts=tuple(_generated(part) for part in rendered.parts))


def _generated(part: ReplyPart) -> ReplyPart:
    """Returns a body or a line of a chat with its message's text as `response`."""
    if not isinstance(part, bytes):
        return part
    fields = json.loads(part)
    message = fields.pop("message", None)
    if message is None:  # an error
        return part
    head = {key: fields.pop(key) for key in ("model", "created_at")}
    text = {"response": message.pop("content")}
    message.pop("role")
    end = b"\n" if part.endswith(b"\n") else b""
    return dump(head | text | message | fields).translate(reply_writer.ESCAPES).encode() + end
