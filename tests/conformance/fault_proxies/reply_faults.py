"""Faults in replies: changed content, bytes, errors, headers and records, and replies without an upstream request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from crosswire.conformance.harness.testbed import HttpResponse
from crosswire.mockserver.protocols.reply_context import Failure
from crosswire.mockserver.scenarios.model import SayCall, SayStop, SayText, Usage

from .fault_proxy import ChangeReply, FaultContext
from .reencode import ReplyContent, content_of, parse_reply, reencoded, render_failure, render_reply

OTHER_FORMAT = {
    "openai-chat": "anthropic",
    "openai-responses": "gemini",
    "anthropic": "openai-chat",
    "gemini": "ollama",
    "ollama": "openai-chat",
}
"""Frontend -> the protocol whose error format it receives."""

USAGE_KEYS = ("usage", "usageMetadata", "prompt_eval_count", "eval_count")
"""Keys of token counts in all protocols."""

# ---- content ---------------------------------------------------------------------------------------------------------


def drop_call(content: ReplyContent) -> ReplyContent:
    """Drops the last call."""
    gone = content.calls[-1:]
    return replace(content, items=tuple(item for item in content.items if item not in gone))


def swap_ids(content: ReplyContent) -> ReplyContent:
    """Swaps the ids of the first two calls."""
    ids = [call.id for call in content.calls]
    if len(ids) < 2:
        return content
    other = {ids[0]: ids[1], ids[1]: ids[0]}
    return _each_call(content, lambda call: replace(call, id=other.get(call.id, call.id)))


def merge_calls(content: ReplyContent) -> ReplyContent:
    """Merges all calls into one with the arguments of all."""
    if len(content.calls) < 2:
        return content
    arguments: dict[str, Any] = {}
    for call in content.calls:
        arguments |= {
            f"{key}{'' if key not in arguments else len(arguments)}": v for key, v in _arguments_of(call).items()
        }
    one = replace(content.calls[0], fragments=(json.dumps(arguments),))
    return replace(content, items=(*(item for item in content.items if not isinstance(item, SayCall)), one))


def change_arguments(content: ReplyContent) -> ReplyContent:
    """Changes one character of each call's arguments."""
    return _each_call(content, lambda call: replace(call, fragments=("".join(call.fragments).replace("o", "0", 1),)))


def rename_call(content: ReplyContent) -> ReplyContent:
    """Changes the name of the called tool."""
    return _each_call(content, lambda call: replace(call, name=call.name + "s"))


def move_calls_first(content: ReplyContent) -> ReplyContent:
    """Moves the calls before the text."""
    return replace(content, items=(*content.calls, *(item for item in content.items if not isinstance(item, SayCall))))


def change_stop(content: ReplyContent) -> ReplyContent:
    """Reports an ordinary end for a reply that reached the token limit."""
    return replace(content, stop=SayStop("end"))


def add_output_token(content: ReplyContent) -> ReplyContent:
    """Reports one output token more."""
    return replace(content, usage=replace(content.usage, output=(content.usage.output or 0) + 1))


def count_cached_twice(content: ReplyContent) -> ReplyContent:
    """Counts cached tokens as input once more."""
    usage = content.usage
    return replace(content, usage=replace(usage, input=(usage.input or 0) + (usage.cache_read or 0)))


def drop_citations(content: ReplyContent) -> ReplyContent:
    """Drops the citations, which reencoding does by itself."""
    return content


def drop_character(content: ReplyContent) -> ReplyContent:
    """Drops the last character of the text."""
    texts = tuple(
        SayText(("".join(item.deltas)[:-1],)) if isinstance(item, SayText) else item for item in content.items
    )
    return replace(content, items=texts)


def _each_call(content: ReplyContent, change: Callable[[SayCall], SayCall]) -> ReplyContent:
    return replace(content, items=tuple(change(item) if isinstance(item, SayCall) else item for item in content.items))


def _arguments_of(call: SayCall) -> dict[str, Any]:
    value: dict[str, Any] = json.loads("".join(call.fragments) or "{}")
    return value


def omit_cached_in_streams(context: FaultContext, response: HttpResponse) -> HttpResponse:
    """Reports cached tokens as ordinary input in streams, with the right total.

    A single cell cannot distinguish this from a provider that does not count cached tokens.
    """
    if not context.cell.stream:
        return response

    def without(content: ReplyContent) -> ReplyContent:
        usage = content.usage
        return replace(content, usage=Usage((usage.input or 0) + (usage.cache_read or 0), usage.output))

    return reencoded(without)(context, response)


# ---- bytes -----------------------------------------------------------------------------------------------------------


def drop_usage(context: FaultContext, response: HttpResponse) -> HttpResponse:
    """Drops all usage fields."""

    def cut(value: Any) -> Any:
        match value:
            case dict():
                return {key: cut(inner) for key, inner in value.items() if key not in USAGE_KEYS}
            case list():
                return [cut(inner) for inner in value]
            case _:
                return value

    def line(found: re.Match[bytes]) -> bytes:
        return found[1] + json.dumps(cut(json.loads(found[2])), ensure_ascii=False).encode()

    return replace(response, body=re.sub(rb"^((?:data: *)?)(\{.*\})[ \r]*$", line, response.body, flags=re.MULTILINE))


def wrong_model_in_body(context: FaultContext, response: HttpResponse) -> HttpResponse:
    """Names another model in the body."""
    model = parse_reply(context, response).model or ""
    return replace(response, body=response.body.replace(f'"{model}"'.encode(), b'"some-other-model"'))


def truncate_last_frame(context: FaultContext, response: HttpResponse) -> HttpResponse:
    """Sends half of the last frame and then ends the stream cleanly."""
    body = response.body.rstrip()
    return replace(response, body=body[: -len(body.rpartition(b"\n")[2]) // 2])


def truncate_frame_before_error(context: FaultContext, response: HttpResponse) -> HttpResponse:
    """Sends the first half of a frame that was cut upstream before the error event."""
    framing = b"\n" if context.cell.frontend == "ollama" else b"\r\n\r\n" if b"\r\n\r\n" in response.body else b"\n\n"
    frames = response.body.split(framing)
    last = max(at for at, frame in enumerate(frames) if frame.strip())
    half = frames[last - 1][: len(frames[last - 1]) // 2]
    return replace(response, body=framing.join([*frames[:last], half + frames[last], *frames[last + 1 :]]))


def add_blank(context: FaultContext, response: HttpResponse) -> HttpResponse:
    """Adds a blank to the JSON, which does not change its meaning."""
    return replace(response, body=response.body.replace(b'":', b'": ', 1))


def break_connection(context: FaultContext, response: HttpResponse) -> HttpResponse:
    """Breaks the connection after the complete reply."""
    return replace(response, broken=True)


# ---- errors ----------------------------------------------------------------------------------------------------------


def complete_cut_stream(context: FaultContext, response: HttpResponse) -> HttpResponse:
    """Completes a broken stream with a stop reason and usage."""
    return render_reply(
        context, replace(content_of(parse_reply(context, response)), stop=SayStop("end")), response.headers
    )


def close_cleanly(context: FaultContext, response: HttpResponse) -> HttpResponse:
    """Closes the connection cleanly after an error event."""
    return replace(response, broken=False)


def change_error_format(context: FaultContext, response: HttpResponse) -> HttpResponse:
    """Renders the error in another protocol's format."""
    error = parse_reply(context, response).error
    kind, message = (error.kind, error.message) if error else ("internal", "")
    return render_failure(
        context, OTHER_FORMAT[context.cell.frontend], Failure(response.status, kind, message), response.headers
    )


def change_text_before_error(context: FaultContext, response: HttpResponse) -> HttpResponse:
    """Changes the text that was sent before a stream broke."""
    return replace(response, body=response.body.replace(b"So far", b"So bad"))


def change_status(context: FaultContext, response: HttpResponse) -> HttpResponse:
    """Changes the HTTP status of an error."""
    return replace(response, status=418)


def blame_client_key(context: FaultContext, response: HttpResponse) -> HttpResponse:
    """Reports the provider's rejection of the proxy's key as a 401 for the client."""
    return render_failure(
        context, context.cell.frontend, Failure(401, "authentication", "that key is wrong"), response.headers
    )


def leak_key(context: FaultContext, response: HttpResponse) -> HttpResponse:
    """Passes on the provider's message with the rejected key in it."""
    key = f"Incorrect API key provided: {context.key}."
    return render_failure(context, context.cell.frontend, Failure(502, "internal", key), response.headers)


def fail_despite_reply(context: FaultContext, response: HttpResponse) -> HttpResponse:
    """Reports an error although the provider replied."""
    return render_failure(context, context.cell.frontend, Failure(502, "internal", "no answer"), response.headers)


def replace_error_message(context: FaultContext, response: HttpResponse) -> HttpResponse:
    """Replaces the provider's error message."""
    return render_failure(
        context, context.cell.frontend, Failure(400, "bad_request", "Something was wrong."), response.headers
    )


def hide_error(context: FaultContext, response: HttpResponse) -> HttpResponse:
    """Sends an apology as a model's reply in place of the provider's error."""
    sorry = ReplyContent((SayText(("Sorry, not now.",)),), SayStop("end"), Usage(1, 4))
    return render_reply(context, sorry, response.headers)


def drop_retry_after(context: FaultContext, response: HttpResponse) -> HttpResponse:
    """Drops the header retry-after."""
    return _without_header(response, "retry-after")


# ---- headers and record ----------------------------------------------------------------------------------------------


def hide_loss_header(context: FaultContext, response: HttpResponse) -> HttpResponse:
    """Drops the loss header."""
    return _without_header(response, "x-crosswire-loss")


def declare_in_header(feature: str) -> ChangeReply:
    """Returns a fault that adds a loss to the header."""

    def add_header(context: FaultContext, response: HttpResponse) -> HttpResponse:
        losses = [response.headers.get("x-crosswire-loss"), feature]
        return _with_header(response, "x-crosswire-loss", ",".join(filter(None, losses)))

    return add_header


def declare_in_record(feature: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Returns a fault that adds a loss to the record."""
    loss = {"path": "$", "feature": feature, "how": "dropped"}
    return lambda record: record | {"losses": [*record["losses"], loss]}


def add_attempt(record: dict[str, Any]) -> dict[str, Any]:
    """Adds an attempt to the record that never happened."""
    return record | {"attempts": [*record["attempts"], *record["attempts"][-1:]]}


def deny_relay(record: dict[str, Any]) -> dict[str, Any]:
    """Records relayed attempts as converted."""
    return record | {"attempts": [attempt | {"relayed": False} for attempt in record["attempts"]]}


def set_header(name: str, value: str) -> ChangeReply:
    """Returns a fault that changes one header."""
    return lambda context, response: _with_header(response, name, value)


def _with_header(response: HttpResponse, name: str, value: str) -> HttpResponse:
    return replace(response, headers={**response.headers, name: value})


def _without_header(response: HttpResponse, name: str) -> HttpResponse:
    return replace(response, headers={key: value for key, value in response.headers.items() if key != name})


# ---- replies without an upstream request -----------------------------------------------------------------------------


def reply_from_memory(context: FaultContext) -> HttpResponse:
    """Sends the right reply to the story `text` without any upstream request."""
    content = ReplyContent((SayText(("Hello! How can I help you today?",)),), SayStop("end"), Usage(10, 9))
    return render_reply(context, content, {"x-request-id": "req_memory"})


def refuse(context: FaultContext) -> HttpResponse:
    """Refuses a request that every provider accepts."""
    return render_failure(context, context.cell.frontend, Failure(400, "bad_request", "This request is refused."), {})


def refuse_in_other_format(context: FaultContext) -> HttpResponse:
    """Refuses a request that every provider accepts, in another protocol's error format."""
    return render_failure(
        context, OTHER_FORMAT[context.cell.frontend], Failure(400, "bad_request", "This request is refused."), {}
    )
