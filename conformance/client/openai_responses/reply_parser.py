"""Parses Responses replies strictly: neutral content, and a complaint for every broken rule of the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from crosswire.mockserver.scenarios.model import Block, Image, Refusal, Text, Thinking, ToolCall, Usage

from ..protocol import HttpRequest, Logprob, ParsedError, ParsedReply
from ..reply_checks import (
    check_content_type,
    check_tool_calls,
    check_types,
    cut_error,
    objects_in,
    parse_json,
    parse_logprobs,
)
from .citations import cited_sources
from .error_parser import parse_error, parse_error_fields, parse_error_reply
from .event_sequence import EventSequence
from .tables import (
    OUTPUT_ITEM_KEYS,
    OUTPUT_PART_KEYS,
    RESPONSE_KEYS,
    STOP_REASONS,
    TERMINAL,
)

ADDS_TOOLS = ("additional_tools", "tool_search_output")
"""Types of the items of a request that add tools to those of the request."""


def parse_reply(
    status: int, headers: Mapping[str, str], body: bytes, *, stream: bool, request: HttpRequest | None = None
) -> ParsedReply:
    """Parses a reply; `request` is needed to check the fields that a response repeats."""
    complaints: list[str] = []
    if status >= 400:
        return parse_error_reply(status, headers, body)
    if stream:
        check_content_type(headers, "text/event-stream", complaints)
        return _parse_stream(body, complaints, request)
    check_content_type(headers, "application/json", complaints)
    value = parse_json(body)
    if not isinstance(value, dict):
        return ParsedReply(error=ParsedError(status, "cut", "the body is not a JSON object"), complaints=("not JSON",))
    if value.get("error") is not None and "output" not in value:
        error = parse_error(200, value["error"], complaints)
        return ParsedReply(error=error, complaints=(*complaints, "an error with status 200"))
    _check_response(value, "response", complaints)
    return _build_reply(value, objects_in(value.get("output")), complaints, request, ())


# ---- unary, and the response objects of a stream ---------------------------------------------------------------------


def _check_response(value: dict[str, Any], where: str, complaints: list[str]) -> None:
    """Checks a response object, finished or not."""
    check_types(value, RESPONSE_KEYS, where, complaints)
    if value.get("object") != "response":
        complaints.append(f"{where}: `object` is {value.get('object')!r}, not 'response'")
    status = value.get("status")
    if isinstance(value.get("text"), dict) and "format" not in value["text"]:
        complaints.append(f"{where}: `text.format` is missing")
    if (value.get("error") is not None) != (status == "failed"):
        complaints.append(f"{where}: status is {status!r}, but `error` is {value.get('error')!r}")
    if (value.get("incomplete_details") is not None) != (status == "incomplete"):
        complaints.append(
            f"{where}: status is {status!r}, but `incomplete_details` {value.get('incomplete_details')!r}"
        )
    # "completed_at: Unix timestamp (in seconds) of when this Response was completed. Only present when the status is
    # `completed`." https://platform.openai.com/docs/api-reference/responses/object
    if status == "completed" and not isinstance(value.get("completed_at"), int | float):
        complaints.append(f"{where}: `completed_at` is missing, though the status is 'completed'")
    for at, item in enumerate(objects_in(value.get("output"))):
        _check_item(item, f"{where}.output[{at}]", status, complaints)


def _check_item(item: dict[str, Any], where: str, status: Any, complaints: list[str]) -> None:
    kind = item.get("type")
    if not isinstance(kind, str):
        complaints.append(f"{where}: `type` is missing")
        return
    check_types(item, {key: (type_,) for key, type_ in OUTPUT_ITEM_KEYS.get(kind, {}).items()}, where, complaints)
    if kind == "message" and item.get("role") != "assistant":
        complaints.append(f"{where}: role is {item.get('role')!r}")
    if kind in ("message", "function_call") and status == "completed" and item.get("status") != "completed":
        complaints.append(f"{where}: status is {item.get('status')!r} in a completed response")
    if kind == "function_call" and item.get("arguments") == "" and status == "completed":
        complaints.append(f"{where}: `arguments` is empty; no arguments are '{{}}'")
    for key in ("content", "summary"):
        for at, part in enumerate(objects_in(item.get(key))):
            keys = OUTPUT_PART_KEYS.get(str(part.get("type")))
            if keys is None:
                complaints.append(f"{where}.{key}[{at}]: no such part: {part.get('type')!r}")
            else:
                check_types(part, {name: (type_,) for name, type_ in keys.items()}, f"{where}.{key}[{at}]", complaints)


def _parse_usage(usage: Any, complaints: list[str]) -> Usage | None:
    """Parses `usage`; cached and reasoning tokens are parts of the totals."""
    if not isinstance(usage, dict):
        return None
    counts: dict[str, tuple[type, ...]] = {key: (int,) for key in ("input_tokens", "output_tokens", "total_tokens")}
    details: dict[str, tuple[type, ...]] = {
        "input_tokens_details": (dict,),
        "output_tokens_details": (dict,),
    }
    check_types(usage, counts | details, "usage", complaints)
    into, out = _count(usage, "input_tokens") or 0, _count(usage, "output_tokens") or 0
    if usage.get("total_tokens") != into + out:
        complaints.append(f"usage: total_tokens {usage.get('total_tokens')} is not {into} + {out}")
    of_input, of_output = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    for name, part in (("cached_tokens", of_input), ("reasoning_tokens", of_output)):
        if _count(part, name) is None:
            complaints.append(f"usage: `{name}` is missing")
    read, write = _count(of_input, "cached_tokens"), _count(of_input, "cache_write_tokens")
    if (read or 0) + (write or 0) > into:
        complaints.append(f"usage: cached tokens {read} + {write} exceed input_tokens {into}")
    reasoning = _count(of_output, "reasoning_tokens")
    if (reasoning or 0) > out:
        complaints.append(f"usage: reasoning_tokens {reasoning} exceed output_tokens {out}")
    return Usage(max(into - (read or 0) - (write or 0), 0), out, read, write, reasoning)


def _count(holder: Any, key: str) -> int | None:
    value = holder.get(key) if isinstance(holder, dict) else None
    return value if isinstance(value, int) else None


def _check_mirrored(response: dict[str, Any], request: HttpRequest, complaints: list[str]) -> None:
    """Checks the request fields that a response repeats. https://platform.openai.com/docs/api-reference/responses/object"""
    for key in ("instructions", "max_output_tokens", "parallel_tool_calls"):
        expected = request.body.get(key)
        if expected not in (None, "") and response.get(key) != expected:
            complaints.append(f"response: `{key}` is {response.get(key)!r}, asked was {expected!r}")
    # the tools that a search found are told among the others
    among = [item for item in objects_in(request.body.get("input")) if item.get("type") in ADDS_TOOLS]
    names = [name for holder in (request.body, *among) for name in _tool_names(holder)]
    found = list(_tool_names(response))
    if names != found:
        complaints.append(f"response: `tools` names {found}, asked were {names}")


def _tool_names(holder: dict[str, Any]) -> Iterable[Any]:
    """Yields the names of the function and custom tools; those of a namespace as (namespace, name)."""
    for tool in objects_in(holder.get("tools")):
        if tool.get("type") in ("function", "custom"):
            yield tool.get("name")
        elif tool.get("type") == "namespace":
            yield from ((tool.get("name"), name) for name in _tool_names(tool))


# ---- blocks ----------------------------------------------------------------------------------------------------------


def _parse_blocks(items: Iterable[dict[str, Any]]) -> Iterable[Block]:
    for item in items:
        match item.get("type"):
            case "message":
                for part in objects_in(item.get("content")):
                    if part.get("type") == "refusal":
                        yield Refusal(str(part.get("refusal") or ""))
                    elif part.get("text"):
                        yield Text(str(part["text"]))
            case "function_call" | "custom_tool_call" as kind:
                custom = kind == "custom_tool_call"
                id, name, arguments = (
                    str(item.get(key) or "") for key in ("call_id", "name", "input" if custom else "arguments")
                )
                yield ToolCall(id, name, arguments, None, "custom" if custom else "function", item.get("namespace"))
            case "reasoning":
                raw = [str(part.get("text") or "") for part in objects_in(item.get("content"))]
                summary = [str(part.get("text") or "") for part in objects_in(item.get("summary"))]
                yield Thinking("\n\n".join(raw or summary), item.get("encrypted_content"))
            case "image_generation_call" if item.get("result"):
                yield Image(f"image/{item.get('output_format') or 'png'}", str(item["result"]))
            case _:
                pass


def _parse_logprobs(items: Iterable[dict[str, Any]], complaints: list[str]) -> Iterable[Logprob]:
    """Yields the tokens of all texts, each with all of its keys. https://platform.openai.com/docs/api-reference/responses/object"""
    for item in items:
        for part in objects_in(item.get("content")):
            yield from parse_logprobs(
                part.get("logprobs"), ("bytes", "top_logprobs"), "output_text.logprobs", complaints
            )


def _echo(items: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Yields the items as a client that keeps its own history sends them back: without ids and status.

    Reasoning without encrypted content is identified by its id, so that id is kept.
    """
    for item in items:
        kept = {key: value for key, value in item.items() if key not in ("id", "status") and value is not None}
        if item.get("type") == "reasoning":
            if not kept.get("content"):
                kept.pop("content", None)
            if "encrypted_content" not in kept and item.get("id"):
                kept["id"] = item["id"]
        yield kept


def _build_reply(
    response: dict[str, Any],
    items: list[dict[str, Any]],
    complaints: list[str],
    request: HttpRequest | None,
    events: tuple[Any, ...],
    error: ParsedError | None = None,
) -> ParsedReply:
    """Builds the reply from the finished response, else the latest snapshot, and the items received so far."""
    blocks = tuple(_parse_blocks(items))
    status = response.get("status")
    stop: str | None = None
    native: str | None = None
    if status == "completed":
        stop, native = ("tool" if any(isinstance(b, ToolCall) for b in blocks) else "end"), "completed"
    elif status == "incomplete":
        details = response.get("incomplete_details")
        native = str(details.get("reason") if isinstance(details, dict) else None)
        stop = STOP_REASONS.get(native, "other")
    elif status in ("queued", "cancelled"):
        # a background or cancelled response has no stop reason
        stop, native = "other", str(status)
    elif status == "failed":
        failed = response.get("error")
        error_body = failed if isinstance(failed, dict) else {}
        check_types(error_body, {"code": (str,), "message": (str,)}, "response.error", complaints)
        error = error or parse_error_fields(200, error_body, complaints)
    if stop is not None:
        if response.get("usage") is None:
            complaints.append("usage: is missing")
        if request is not None:
            _check_mirrored(response, request, complaints)
        # an interrupted reply may hold half a call, so only complete ones are checked
        check_tool_calls(blocks, stop, complaints)
    return ParsedReply(
        blocks=blocks,
        cites=tuple(cited_sources(items, complaints)),
        logprobs=tuple(_parse_logprobs(items, complaints)),
        stop=stop,
        native_stop=native,
        usage=_parse_usage(response.get("usage"), complaints),
        error=error,
        model=response.get("model"),
        id=response.get("id"),
        echo=tuple(_echo(items)),
        events=events,
        complaints=tuple(complaints),
    )


# ---- streaming -------------------------------------------------------------------------------------------------------


def _parse_stream(body: bytes, complaints: list[str], request: HttpRequest | None) -> ParsedReply:
    sequence = EventSequence(complaints)
    sequence.parse(body)
    error: ParsedError | None = None
    if sequence.error is not None:
        # The service nests the error; its reference shows it flat: "code", "message", "param" beside the type.
        # https://platform.openai.com/docs/api-reference/responses-streaming/error
        nested = sequence.error.get("error")
        flat = {key: sequence.error[key] for key in ("code", "message", "param") if key in sequence.error}
        error = parse_error(200, nested if nested is not None else {"type": "server_error"} | flat, complaints)
    elif sequence.end is None:
        error = cut_error("no response.completed")
    for where, snapshot in sequence.snapshots:
        _check_response(snapshot, where, complaints)
    response = dict(sequence.snapshots[-1][1]) if sequence.snapshots else {}
    if sequence.end is None:
        response["status"] = None
    elif response.get("status") != TERMINAL[sequence.end]:
        complaints.append(f"{sequence.end}: its status is {response.get('status')!r}, not {TERMINAL[sequence.end]!r}")
        if response.get("status") not in TERMINAL.values():  # what the response says of itself is what clients read
            response["status"] = TERMINAL[sequence.end]
    return _build_reply(response, sequence.current_items(), complaints, request, tuple(sequence.events), error)
