"""Renders Responses replies and errors, unary and streamed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ...framing import SSE, dump, sse
from ...scenarios.model import (
    Citation,
    Cut,
    Garble,
    Pause,
    SayCall,
    SayError,
    SayRefusal,
    SayText,
    SayThink,
    Usage,
    faults_of,
    in_sequence,
)
from ...scenarios.provider import Provider
from ..reply_context import (
    MOCK_CREATED,
    Failure,
    RenderedReply,
    ReplyContext,
    ReplyPart,
    derived_id,
    error_reply,
    failure_of,
    likely_tokens,
    mint_signature,
    token_logprob,
)
from ..strict_schema import is_strict_compatible, make_strict
from .tables import ERRORS, FAILURE_CODES, LOGPROBS_FIELD, SIGNATURE_FIELD, STOPS

OutputItem = SayText | SayRefusal | SayThink | SayCall

INCOMPLETE_SUFFIX = ".."
"""Suffix of a signature in the start event of a reasoning item.

"The `encrypted_content` in `response.output_item.added` may be incomplete."
https://github.com/openai/openai-openapi (ReasoningItem)
"""


def render_reply(context: ReplyContext) -> RenderedReply:
    """Renders a unary body, or the events of a stream, with the faults of the story."""
    headers = {"x-request-id": f"req_{derived_id(context, 'request', 32)}", "openai-version": "2020-10-01"}
    if context.stream:
        return RenderedReply(200, headers, tuple(_stream(context)), SSE)
    output = [item for _, item in _output_items(context)]
    return RenderedReply(200, headers, (*faults_of(context.items), dump(_finished_response(context, output)).encode()))


def render_error(error: Failure, provider: Provider) -> RenderedReply:
    """Renders an error sent before any content."""
    return error_reply(error, {"error": _error_body(error)})


def _error_body(error: Failure) -> dict[str, Any]:
    kind, code = ERRORS[error.kind]
    return {"message": error.message, "type": kind, "param": error.param, "code": error.code or code}


# ---- the response object ---------------------------------------------------------------------------------------------


def _response(context: ReplyContext, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the response object; it repeats the settings of the request, with the defaults of the service.

    https://platform.openai.com/docs/api-reference/responses/object
    """
    request = context.body
    reasoning = request.get("reasoning") or {}
    text = request.get("text") or {}
    return {
        "id": f"resp_{derived_id(context, 'id', 50)}",
        "object": "response",
        "created_at": MOCK_CREATED,
        "status": status,
        "background": False,
        "completed_at": MOCK_CREATED + 2 if status == "completed" else None,
        "error": None,
        "frequency_penalty": 0.0,
        "incomplete_details": None,
        "instructions": request.get("instructions"),
        "max_output_tokens": request.get("max_output_tokens"),
        "max_tool_calls": request.get("max_tool_calls"),
        "model": context.model,
        "moderation": None,
        "output": output,
        "parallel_tool_calls": request.get("parallel_tool_calls") is not False,
        "presence_penalty": 0.0,
        "previous_response_id": None,
        "prompt_cache_key": request.get("prompt_cache_key"),
        "prompt_cache_retention": None,
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "safety_identifier": request.get("safety_identifier"),
        "service_tier": "auto" if status == "in_progress" else "default",
        "store": request.get("store") is not False,
        "temperature": 1.0 if request.get("temperature") is None else request["temperature"],
        "text": {"format": _completed_format(text.get("format")), "verbosity": text.get("verbosity") or "medium"},
        "tool_choice": request.get("tool_choice") or "auto",
        "tools": [_completed_tool(tool) for tool in _request_tools(request)],
        "top_logprobs": request.get("top_logprobs") or 0,
        "top_p": 1.0 if request.get("top_p") is None else request["top_p"],
        "truncation": request.get("truncation") or "disabled",
        "usage": None,
        "user": request.get("user"),
        "metadata": request.get("metadata") or {},
    }


def _finished_response(context: ReplyContext, output: list[dict[str, Any]]) -> dict[str, Any]:
    reason = STOPS[context.stop.reason]
    response = _response(context, "completed" if reason is None else "incomplete", output)
    if reason is not None:
        response["incomplete_details"] = {"reason": reason}
    response["usage"] = _usage(context.usage)
    return response


def _completed_format(request: dict[str, Any] | None) -> dict[str, Any]:
    if request is None or request.get("type") != "json_schema":
        return request or {"type": "text"}
    return {"type": "json_schema", "description": None, "strict": False} | request


def _request_tools(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the tools of the request, then those in `additional_tools` items."""
    yield from request.get("tools") or []
    for item in request["input"] if isinstance(request.get("input"), list) else ():
        if item.get("type") == "additional_tools":
            yield from item["tools"]


def _completed_tool(tool: dict[str, Any]) -> dict[str, Any]:
    """Returns a tool as the service repeats it; a function without `strict` becomes strict if its schema allows it."""
    if tool.get("type") != "function":
        return tool
    completed = {"type": "function", "description": None, "name": None, "parameters": None} | tool
    if tool.get("strict") is None:
        completed["strict"] = is_strict_compatible(tool.get("parameters"))
        if completed["strict"]:
            completed["parameters"] = make_strict(tool.get("parameters"))
    return completed


def _usage(usage: Usage) -> dict[str, Any]:
    """Returns the usage; `cached_tokens`, `cache_write_tokens` and `reasoning_tokens` are included in the totals.

    https://platform.openai.com/docs/api-reference/responses/object
    """
    read, write = usage.cache_read or 0, usage.cache_write or 0
    into, out = (usage.input or 0) + read + write, usage.output or 0
    return {
        "input_tokens": into,
        "input_tokens_details": {"cache_write_tokens": write, "cached_tokens": read},
        "output_tokens": out,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": into + out,
    }


# ---- items -----------------------------------------------------------------------------------------------------------


def _output_items(context: ReplyContext) -> Iterator[tuple[OutputItem, dict[str, Any]]]:
    """Yields each content item with its finished output item; an incomplete response makes the last item incomplete."""
    sources = [
        item for item in in_sequence(context.items) if isinstance(item, SayText | SayRefusal | SayThink | SayCall)
    ]
    # This protocol has signatures on reasoning items only, not on calls or texts.
    signatures = 0
    for at, item in enumerate(sources):
        cut = STOPS[context.stop.reason] is not None and at == len(sources) - 1
        status = "incomplete" if cut else "completed"
        match item:
            case SayText(deltas, cites=cites):
                text = "".join(deltas)
                part = (
                    {"type": "output_text"} | _text_fields(text, cites) | {"logprobs": _logprobs(context.body, deltas)}
                )
                yield item, _message_item(context, at, status, part)
            case SayRefusal(deltas):
                yield item, _message_item(context, at, status, {"type": "refusal", "refusal": "".join(deltas)})
            case SayThink(_, sealed):
                yield item, _reasoning_item(context, at, item, mint_signature(context, signatures) if sealed else None)
                signatures += sealed
            case SayCall(id, name, fragments, sealed, kind, namespace):
                of = {"call_id": id, "name": name} | ({"namespace": namespace} if namespace else {})
                number = derived_id(context, f"item{at}", 50)
                if kind == "custom":
                    call = {"id": f"ctc_{number}", "type": "custom_tool_call", "status": status}
                    yield item, call | {"input": "".join(fragments)} | of
                else:
                    call = {"id": f"fc_{number}", "type": "function_call", "status": status}
                    yield item, call | {"arguments": "".join(fragments) or "{}"} | of
                signatures += sealed


def _message_item(context: ReplyContext, at: int, status: str, part: dict[str, Any]) -> dict[str, Any]:
    id = f"msg_{derived_id(context, f'item{at}', 50)}"
    return {"id": id, "type": "message", "status": status, "content": [part], "role": "assistant"}


def _text_fields(text: str, cites: tuple[Citation, ...]) -> dict[str, Any]:
    """Returns the fields of a text part; the offsets of a source count characters of the part.

    https://platform.openai.com/docs/guides/tools-web-search#output-and-citations
    """
    span = {"type": "url_citation", "start_index": 0, "end_index": len(text)}
    annotations = [span | {"title": cite.title or "", "url": cite.url} for cite in cites]
    return {"annotations": annotations, "logprobs": [], "text": text}


def _logprobs(body: dict[str, Any], tokens: Iterable[str]) -> list[dict[str, Any]]:
    """Returns the log probability of every token if requested; a token is a text delta of the story.

    "message.output_text.logprobs: Include logprobs with assistant messages."
    https://platform.openai.com/docs/api-reference/responses/create
    """
    if LOGPROBS_FIELD not in (body.get("include") or []):
        return []
    most = body.get("top_logprobs") or 0
    return [
        _token(text, token_logprob(text)) | {"top_logprobs": [_token(*likely) for likely in likely_tokens(text, most)]}
        for text in tokens
    ]


def _token(text: str, logprob: float) -> dict[str, Any]:
    return {"bytes": list(text.encode()), "logprob": logprob, "token": text}


def _reasoning_item(context: ReplyContext, at: int, think: SayThink, signature: str | None) -> dict[str, Any]:
    """Returns a reasoning item, with a summary and a signature if the request asks for them.

    https://platform.openai.com/docs/guides/reasoning#reasoning-summaries
    """
    shown = (context.body.get("reasoning") or {}).get("summary") is not None and think.deltas
    item: dict[str, Any] = {"id": f"rs_{derived_id(context, f'item{at}', 50)}", "type": "reasoning", "content": []}
    if signature is not None and SIGNATURE_FIELD in (context.body.get("include") or []):
        item["encrypted_content"] = signature
    item["summary"] = [{"type": "summary_text", "text": "".join(think.deltas)}] if shown else []
    return item


# ---- streaming -------------------------------------------------------------------------------------------------------


EventFields = tuple[str, dict[str, Any]]
"""Type and fields of an event, without its sequence number and obfuscation."""


class _EventWriter:
    """Encodes events with sequence numbers, and deltas with obfuscation."""

    def __init__(self, context: ReplyContext) -> None:
        self.context = context
        # "Stream obfuscation adds random characters to an `obfuscation` field on streaming delta events"
        # https://platform.openai.com/docs/api-reference/responses/create
        options = context.body.get("stream_options") or {}
        self.padded = options.get("include_obfuscation") is not False
        self.number = 0

    def write(self, *events: EventFields) -> Iterator[bytes]:
        """Yields the frames of the events."""
        for kind, fields in events:
            event: dict[str, Any] = {"type": kind} | fields
            # Deltas of a refusal have no obfuscation.
            if self.padded and kind.endswith(".delta") and kind != "response.refusal.delta":
                event["obfuscation"] = derived_id(self.context, f"pad{self.number}", 16 - len(fields["delta"]) % 16)
            event["sequence_number"] = self.number
            self.number += 1
            yield sse(event, kind)


def _stream(context: ReplyContext) -> Iterator[ReplyPart]:
    writer = _EventWriter(context)
    finished = iter(tuple(_output_items(context)))
    output: list[dict[str, Any]] = []
    # The closing events of an item are sent before the next item, so that a fault between them leaves the item open.
    closing: tuple[EventFields, ...] = ()
    begun = {"response": _response(context, "in_progress", [])}
    yield from writer.write(("response.created", begun), ("response.in_progress", begun))
    for item in in_sequence(context.items):
        match item:
            case Pause() | Cut() | Garble():
                yield item
            case SayError():
                yield from writer.write(*_failure_events(context, failure_of(item), output[:-1]))
                return
            case SayText() | SayRefusal() | SayThink() | SayCall():
                yield from writer.write(*closing)
                source, rendered_item = next(finished)
                opening, closing = _item_events(source, rendered_item, len(output))
                yield from writer.write(*opening)
                output.append(rendered_item)
            case _:
                pass
    response = _finished_response(context, output)
    yield from writer.write(*closing, (f"response.{response['status']}", {"response": response}))


def _failure_events(context: ReplyContext, error: Failure, output: list[dict[str, Any]]) -> Iterator[EventFields]:
    """Yields an `error` event and a failed response: the service sends both.

    https://github.com/openai/codex/issues/43337
    """
    body = _error_body(error)
    yield "error", {"error": body}
    response = _response(context, "failed", output)
    response["error"] = {
        "code": FAILURE_CODES.get(error.kind) or body["code"] or "server_error",
        "message": error.message,
    }
    yield "response.failed", {"response": response}


def _item_events(
    source: OutputItem, rendered_item: dict[str, Any], index: int
) -> tuple[tuple[EventFields, ...], tuple[EventFields, ...]]:
    """Returns the events of an item up to its last delta, and the events that close it."""
    of: dict[str, Any] = {"item_id": rendered_item["id"], "output_index": index}
    head: list[EventFields] = [
        ("response.output_item.added", {"item": _started_item(rendered_item), "output_index": index})
    ]
    tail: list[EventFields] = []
    match source:
        case SayText(deltas):
            of, part = {"content_index": 0} | of, rendered_item["content"][0]
            rendered = of | {"logprobs": part["logprobs"]}
            begun = part | {"text": "", "annotations": [], "logprobs": []}
            head.append(("response.content_part.added", of | {"part": begun}))
            for text in deltas:
                found = [token for token in part["logprobs"] if token["token"] == text][:1]
                head.append(("response.output_text.delta", {"delta": text} | of | {"logprobs": found}))
            for n, annotation in enumerate(part["annotations"]):
                fields = {"annotation_index": n, "annotation": annotation}
                head.append(("response.output_text.annotation.added", of | fields))
            tail.append(("response.output_text.done", rendered | {"text": part["text"]}))
            tail.append(("response.content_part.done", of | {"part": part}))
        case SayRefusal(deltas):
            of, part = {"content_index": 0} | of, rendered_item["content"][0]
            head.append(("response.content_part.added", of | {"part": part | {"refusal": ""}}))
            head.extend(("response.refusal.delta", {"delta": text} | of) for text in deltas)
            tail.append(("response.refusal.done", of | {"refusal": part["refusal"]}))
            tail.append(("response.content_part.done", of | {"part": part}))
        case SayThink(deltas) if rendered_item["summary"]:
            of, part = of | {"summary_index": 0}, rendered_item["summary"][0]
            head.append(("response.reasoning_summary_part.added", of | {"part": part | {"text": ""}}))
            head.extend(("response.reasoning_summary_text.delta", {"delta": text} | of) for text in deltas)
            tail.append(("response.reasoning_summary_text.done", of | {"text": part["text"]}))
            tail.append(("response.reasoning_summary_part.done", of | {"part": part}))
        case SayCall(kind="custom", fragments=fragments):
            head.extend(("response.custom_tool_call_input.delta", {"delta": text} | of) for text in fragments)
            tail.append(("response.custom_tool_call_input.done", {"input": rendered_item["input"]} | of))
        case SayCall(_, _, fragments):
            pieces = fragments if any(fragments) else ("{}",)
            head.extend(("response.function_call_arguments.delta", {"delta": text} | of) for text in pieces)
            tail.append(("response.function_call_arguments.done", {"arguments": rendered_item["arguments"]} | of))
        case _:
            pass
    tail.append(("response.output_item.done", {"item": rendered_item, "output_index": index}))
    return tuple(head), tuple(tail)


def _started_item(rendered_item: dict[str, Any]) -> dict[str, Any]:
    """Returns an item as in `response.output_item.added`, before its content."""
    empty = {"status": "in_progress", "content": [], "summary": [], "arguments": "", "input": ""}
    begun = {key: empty.get(key, value) for key, value in rendered_item.items()}
    if "encrypted_content" in begun:
        begun["encrypted_content"] += INCOMPLETE_SUFFIX
    return begun
