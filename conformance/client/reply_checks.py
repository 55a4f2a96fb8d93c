"""Checks shared by all reply parsers: content type, required keys, error bodies, tool calls, unexpected shapes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from crosswire.mockserver.scenarios.model import Block, ToolCall, kind_of_status

from .protocol import HttpRequest, Logprob, ParsedError, ParsedReply
from .told_losses import LossPlace, read_told_losses


def parse_json(body: bytes) -> Any:
    """Returns the JSON value of a body, or None where it is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def check_content_type(headers: Mapping[str, str], expected: str, complaints: list[str]) -> None:
    """Complains about a content type other than the expected one."""
    found = {name.lower(): value for name, value in headers.items()}.get("content-type")
    if found is None or found.partition(";")[0].strip().lower() != expected:
        complaints.append(f"headers: content-type is {found}, not {expected}")


def strict_parser(parse: Callable[..., ParsedReply], place: LossPlace) -> Callable[..., ParsedReply]:
    """Wraps a parser so that it never raises, and reads the losses that a proxy tells in a stream at this place.

    A parser indexes into the shapes that its protocol specifies. The exceptions that a response of another shape can
    cause there are caught here and nowhere else; they become a complaint.
    """

    def parse_safely(
        status: int, headers: Mapping[str, str], body: bytes, *, stream: bool, request: HttpRequest | None = None
    ) -> ParsedReply:
        try:
            reply = parse(status, headers, body, stream=stream, request=request)
            complaints: list[str] = []
            events = reply.events if stream and status < 400 else parse_json(body)
            told = read_told_losses(events, place, complaints)
            return replace(reply, told=told, complaints=(*reply.complaints, *complaints))
        except (AttributeError, TypeError, KeyError, IndexError, ValueError) as problem:
            what = f"the response is not of this protocol: {type(problem).__name__}: {problem}"
            return ParsedReply(error=ParsedError(status, "cut", what), complaints=(what,))

    return parse_safely


def check_keys(value: Any, keys: Mapping[str, type], where: str, complaints: list[str]) -> None:
    """Complains about keys that are missing or have the wrong type."""
    for key, kind in keys.items():
        if not isinstance(value, dict) or key not in value:
            complaints.append(f"{where}: `{key}` is missing")
        elif not isinstance(value[key], kind):
            complaints.append(f"{where}: `{key}` is not {kind.__name__}: {value[key]!r}")


def check_types(
    value: Mapping[str, Any], keys: Mapping[str, tuple[type, ...]], where: str, complaints: list[str]
) -> None:
    """Complains about keys that are missing or have none of the types; a boolean is not an integer."""
    for key, kinds in keys.items():
        if key not in value:
            complaints.append(f"{where}: `{key}` is missing")
        elif not isinstance(value[key], kinds) or (isinstance(value[key], bool) and bool not in kinds):
            complaints.append(f"{where}: `{key}` is of the wrong type: {value[key]!r}")


def objects_in(value: Any) -> list[dict[str, Any]]:
    """Returns the JSON objects of a list, and an empty list for any other value."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def parse_logprobs(entries: Any, required: Iterable[str], where: str, complaints: list[str]) -> tuple[Logprob, ...]:
    """Parses a list of tokens with their log probabilities; `required` are the keys that each must have."""
    out = []
    for entry in objects_in(entries):
        top = objects_in(entry.get("top_logprobs"))
        for token in (entry, *top):
            check_types(token, {"token": (str,), "logprob": (int, float)}, where, complaints)
            if (
                isinstance(token.get("bytes"), list)
                and bytes(token["bytes"]).decode(errors="replace") != token["token"]
            ):
                complaints.append(f"{where}: the bytes of {token['token']!r} are of another token")
        complaints += [f"{where}: `{key}` is missing" for key in required if key not in entry]
        out.append((entry["token"], entry["logprob"], tuple((token["token"], token["logprob"]) for token in top)))
    return tuple(out)


def parse_error_body(
    status: int, headers: Mapping[str, str], body: bytes, parse_error: Callable[[int, Any, list[str]], ParsedError]
) -> ParsedReply:
    """Parses a response of status 400 and above: a JSON object with the key `error`."""
    complaints: list[str] = []
    check_content_type(headers, "application/json", complaints)
    value = parse_json(body)
    error = value.get("error") if isinstance(value, dict) else None
    if error is None:
        complaints.append("error: the body has no `error`")
    return ParsedReply(error=parse_error(status, error, complaints), complaints=tuple(complaints))


def error_kind(status: int, kind: str = "internal") -> str:
    """Returns the kind of an HTTP error status; for an error inside a 200 response it is the given kind."""
    return kind_of_status(status) if status >= 400 else kind


def not_an_object(status: int, error: Any, complaints: list[str]) -> ParsedError:
    """Returns the error of a body whose `error` is not an object, and complains about it."""
    complaints.append("error: `error` is not an object")
    return ParsedError(status, error_kind(status), str(error), None, error)


def cut_error(why: str) -> ParsedError:
    """Returns the error of a stream that ended too early."""
    return ParsedError(200, "cut", f"the stream ended without its end: {why}")


def check_tool_calls(
    blocks: Iterable[Block], stop: str | None, complaints: list[str], *, allow_empty: bool = False, forced: bool = False
) -> None:
    """Complains about duplicate call ids, invalid arguments, and a stop reason that contradicts the calls.

    `allow_empty` accepts an empty text for no arguments; `forced` accepts the stop reason `end` after calls.
    """
    calls = [block for block in blocks if isinstance(block, ToolCall)]
    ids = [call.id for call in calls if call.id]
    if len(set(ids)) != len(ids):
        complaints.append(f"calls: two have the same id: {ids}")
    for call in calls:
        if call.kind == "custom" or (allow_empty and call.arguments == ""):
            continue
        if stop not in ("length", "content_filter") and not isinstance(parse_json(call.arguments.encode()), dict):
            complaints.append(f"calls: the arguments of {call.name} are no JSON object: {call.arguments[:60]!r}")
    if calls and stop == "end" and not forced:
        complaints.append("stop: says that the answer simply ended, though it calls tools")
    if not calls and stop == "tool":
        complaints.append("stop: says that tools are called, though none is")
