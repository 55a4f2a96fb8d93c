"""A strict Responses client: what a response says, and every rule of the protocol that it breaks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...speech import Block, Call, Cite, Refuse, Text, Think, Usage, kind_of
from ..contract import Heard, HeardError, HttpAsk, content_type, cut, echo_check, loads
from .ladder import Ladder
from .words import HEARD_ERRORS, HEARD_STOPS, OUTPUT_ITEMS, OUTPUT_PART_KEYS, REQUIRED, TERMINAL


def hear(status: int, headers: Mapping[str, str], body: bytes, *, stream: bool, asked: HttpAsk | None = None) -> Heard:
    """`asked` is the request, for what the response must mirror of it."""
    complaints: list[str] = []
    if status >= 400:
        return _refused(status, headers, body)
    if stream:
        content_type(headers, "text/event-stream", complaints)
        return _stream(body, complaints, asked)
    content_type(headers, "application/json", complaints)
    value = loads(body)
    if not isinstance(value, dict):
        return Heard(error=HeardError(status, "cut", "the body is not a JSON object"), complaints=("not JSON",))
    if value.get("error") is not None and "output" not in value:
        error = _error(200, value["error"], complaints)
        return Heard(error=error, complaints=(*complaints, "an error with status 200"))
    _response(value, "response", complaints)
    return _heard(value, _objects(value.get("output")), complaints, asked, ())


# ---- errors ----------------------------------------------------------------------------------------------------------


def _refused(status: int, headers: Mapping[str, str], body: bytes) -> Heard:
    complaints: list[str] = []
    content_type(headers, "application/json", complaints)
    value = loads(body)
    error = value.get("error") if isinstance(value, dict) else None
    if error is None:
        complaints.append("error: the body has no `error`")
    return Heard(error=_error(status, error, complaints), complaints=tuple(complaints))


def _error(status: int, error: Any, complaints: list[str]) -> HeardError:
    """The error of a body or of an `error` event."""
    if not isinstance(error, dict):
        complaints.append("error: `error` is not an object")
        return HeardError(status, kind_of(status) if status >= 400 else "internal", str(error), None, error)
    # "code: string or null, message: string, param: string or null, type: string" are all required.
    # https://platform.openai.com/docs/api-reference (schema Error)
    for key in ("message", "type", "param", "code"):
        if key not in error:
            complaints.append(f"error: `{key}` is missing")
    return _judged(status, error, complaints)


def _judged(status: int, error: dict[str, Any], complaints: list[str]) -> HeardError:
    for key, optional in (("message", False), ("type", False), ("code", True), ("param", True)):
        value = error.get(key, "")
        if not isinstance(value, str) and not (optional and value is None):
            complaints.append(f"error: `{key}` is not a string: {value!r}")
    code, kind = error.get("code"), error.get("type")
    found = HEARD_ERRORS.get(str(code)) or HEARD_ERRORS.get(str(kind)) or "internal"
    return HeardError(
        status,
        kind_of(status) if status >= 400 else found,
        str(error.get("message", "")),
        None if code is None else str(code),
        error,
    )


# ---- unary, and the response objects of a stream ---------------------------------------------------------------------


def _response(value: dict[str, Any], where: str, complaints: list[str]) -> None:
    """What holds for every response object, finished or not."""
    _expect(value, REQUIRED, where, complaints)
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
    for at, item in enumerate(_objects(value.get("output"))):
        _item(item, f"{where}.output[{at}]", status, complaints)


def _item(item: dict[str, Any], where: str, status: Any, complaints: list[str]) -> None:
    kind = item.get("type")
    if not isinstance(kind, str):
        complaints.append(f"{where}: `type` is missing")
        return
    _expect(item, {key: (type_,) for key, type_ in OUTPUT_ITEMS.get(kind, {}).items()}, where, complaints)
    if kind == "message" and item.get("role") != "assistant":
        complaints.append(f"{where}: role is {item.get('role')!r}")
    if kind in ("message", "function_call") and status == "completed" and item.get("status") != "completed":
        complaints.append(f"{where}: status is {item.get('status')!r} in a completed response")
    if kind == "function_call" and item.get("arguments") == "" and status == "completed":
        complaints.append(f"{where}: `arguments` is empty; no arguments are '{{}}'")
    for key in ("content", "summary"):
        for at, part in enumerate(_objects(item.get(key))):
            keys = OUTPUT_PART_KEYS.get(str(part.get("type")))
            if keys is None:
                complaints.append(f"{where}.{key}[{at}]: no such part: {part.get('type')!r}")
            else:
                _expect(part, {name: (type_,) for name, type_ in keys.items()}, f"{where}.{key}[{at}]", complaints)


def _expect(value: Mapping[str, Any], keys: Mapping[str, tuple[type, ...]], where: str, complaints: list[str]) -> None:
    for key, kinds in keys.items():
        if key not in value:
            complaints.append(f"{where}: `{key}` is missing")
        elif not isinstance(value[key], kinds) or (isinstance(value[key], bool) and bool not in kinds):
            complaints.append(f"{where}: `{key}` is of the wrong type: {value[key]!r}")


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _usage(usage: Any, complaints: list[str]) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    counts: dict[str, tuple[type, ...]] = {key: (int,) for key in ("input_tokens", "output_tokens", "total_tokens")}
    details: dict[str, tuple[type, ...]] = {
        "input_tokens_details": (dict,),
        "output_tokens_details": (dict,),
    }
    _expect(usage, counts | details, "usage", complaints)
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


def _mirrors(response: dict[str, Any], asked: HttpAsk, complaints: list[str]) -> None:
    """A response repeats what it was asked with. https://platform.openai.com/docs/api-reference/responses/object"""
    for key in ("instructions", "max_output_tokens", "parallel_tool_calls"):
        wanted = asked.body.get(key)
        if wanted not in (None, "") and response.get(key) != wanted:
            complaints.append(f"response: `{key}` is {response.get(key)!r}, asked was {wanted!r}")
    among = [item for item in _objects(asked.body.get("input")) if item.get("type") == "additional_tools"]
    names = [name for holder in (asked.body, *among) for name in _functions(holder)]
    found = list(_functions(response))
    if names != found:
        complaints.append(f"response: `tools` names {found}, asked were {names}")


def _functions(holder: dict[str, Any]) -> Iterable[Any]:
    """The names of the tools that are called by name, those of a namespace after it."""
    for tool in _objects(holder.get("tools")):
        if tool.get("type") in ("function", "custom"):
            yield tool.get("name")
        elif tool.get("type") == "namespace":
            yield from ((tool.get("name"), name) for name in _functions(tool))


# ---- blocks ----------------------------------------------------------------------------------------------------------


def _blocks(items: Iterable[dict[str, Any]]) -> Iterable[Block]:
    for item in items:
        match item.get("type"):
            case "message":
                for part in _objects(item.get("content")):
                    if part.get("type") == "refusal":
                        yield Refuse(str(part.get("refusal") or ""))
                    elif part.get("text"):
                        yield Text(str(part["text"]))
            case "function_call" | "custom_tool_call" as kind:
                custom = kind == "custom_tool_call"
                id, name, said = (
                    str(item.get(key) or "") for key in ("call_id", "name", "input" if custom else "arguments")
                )
                yield Call(id, name, said, None, "custom" if custom else "function", item.get("namespace"))
            case "reasoning":
                raw = [str(part.get("text") or "") for part in _objects(item.get("content"))]
                summary = [str(part.get("text") or "") for part in _objects(item.get("summary"))]
                yield Think("\n\n".join(raw or summary), item.get("encrypted_content"))
            case _:
                pass


def _cites(items: Iterable[dict[str, Any]], complaints: list[str]) -> Iterable[Cite]:
    """https://platform.openai.com/docs/guides/tools-web-search#output-and-citations"""
    keys: dict[str, tuple[type, ...]] = {"url": (str,), "title": (str,), "start_index": (int,), "end_index": (int,)}
    parts = [part for item in items if item.get("type") == "message" for part in _objects(item.get("content"))]
    for part in parts:
        text = str(part.get("text") or "")
        for cite in _objects(part.get("annotations")):
            if cite.get("type") != "url_citation":
                yield Cite(None, cite.get("filename"))
                continue
            _expect(cite, keys, "url_citation", complaints)
            start, end = cite.get("start_index", 0), cite.get("end_index", 0)
            if not 0 <= start <= end <= len(text):
                complaints.append(f"url_citation: {start} to {end} is no stretch of a text of {len(text)} characters")
            yield Cite(str(cite.get("url")), cite.get("title") or None, None, text[start:end])


def _echo(items: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """The items as a client that keeps its own history sends them back: without ids and status.

    Reasoning without a seal is nothing but its id to the service, so that id stays.
    """
    for item in items:
        kept = {key: value for key, value in item.items() if key not in ("id", "status") and value is not None}
        if item.get("type") == "reasoning":
            if not kept.get("content"):
                kept.pop("content", None)
            if "encrypted_content" not in kept and item.get("id"):
                kept["id"] = item["id"]
        yield kept


def _heard(
    response: dict[str, Any],
    items: list[dict[str, Any]],
    complaints: list[str],
    asked: HttpAsk | None,
    events: tuple[Any, ...],
    error: HeardError | None = None,
) -> Heard:
    """`response` is the finished one, else the newest snapshot; `items` are those that are there, whole or not."""
    blocks = tuple(_blocks(items))
    status = response.get("status")
    stop: str | None = None
    native: str | None = None
    if status == "completed":
        stop, native = ("tool" if any(isinstance(b, Call) for b in blocks) else "end"), "completed"
    elif status == "incomplete":
        details = response.get("incomplete_details")
        native = str(details.get("reason") if isinstance(details, dict) else None)
        stop = HEARD_STOPS.get(native, "other")
    elif status in ("queued", "cancelled"):
        # in the background, or called off: an answer that stopped for no reason of its own
        stop, native = "other", str(status)
    elif status == "failed":
        failed = response.get("error")
        told = failed if isinstance(failed, dict) else {}
        _expect(told, {"code": (str,), "message": (str,)}, "response.error", complaints)
        error = error or _judged(200, told, complaints)
    if stop is not None:
        if response.get("usage") is None:
            complaints.append("usage: is missing")
        if asked is not None:
            _mirrors(response, asked, complaints)
        # What broke off before its end may hold half a call; that is no fault of its own.
        echo_check(blocks, stop, complaints)
    return Heard(
        blocks=blocks,
        cites=tuple(_cites(items, complaints)),
        stop=stop,
        native_stop=native,
        usage=_usage(response.get("usage"), complaints),
        error=error,
        model=response.get("model"),
        id=response.get("id"),
        echo=tuple(_echo(items)),
        events=events,
        complaints=tuple(complaints),
    )


# ---- streaming -------------------------------------------------------------------------------------------------------


def _stream(body: bytes, complaints: list[str], asked: HttpAsk | None) -> Heard:
    ladder = Ladder(complaints)
    ladder.climb(body)
    error: HeardError | None = None
    if ladder.error is not None:
        # The service nests the error; its reference shows it flat: "code", "message", "param" beside the type.
        # https://platform.openai.com/docs/api-reference/responses-streaming/error
        nested = ladder.error.get("error")
        flat = {key: ladder.error[key] for key in ("code", "message", "param") if key in ladder.error}
        error = _error(200, nested if nested is not None else {"type": "server_error"} | flat, complaints)
    elif ladder.end is None:
        error = cut("no response.completed")
    for where, snapshot in ladder.snapshots:
        _response(snapshot, where, complaints)
    response = dict(ladder.snapshots[-1][1]) if ladder.snapshots else {}
    if ladder.end is None:
        response["status"] = None
    elif response.get("status") != TERMINAL[ladder.end]:
        complaints.append(f"{ladder.end}: its status is {response.get('status')!r}, not {TERMINAL[ladder.end]!r}")
        response["status"] = TERMINAL[ladder.end]
    return _heard(response, ladder.items_heard(), complaints, asked, tuple(ladder.events), error)
