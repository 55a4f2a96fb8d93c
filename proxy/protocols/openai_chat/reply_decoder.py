"""Decodes Chat Completions replies into neutral replies."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ...errors import Malformed, UpstreamError
from ...ir import Block, Citation, Failure, Refusal, Reply, StopReason, Text, TokenLogprob, ToolCall
from ...ir.repairs import Repairs, agreed_stop
from ...ir.token_logprobs import NATIVE, tokens_in, with_logprobs
from ...wire.error_bodies import error_in_body, is_error
from ...wire.json_fields import each, maybe, need, take
from ..openai.content import content_in, split_annotations
from ..openai.usage import usage_in
from ..protocol import NewId, UpstreamRequest
from .errors import error_in
from .request_decoder import call_in, part_in, reasoning_in
from .tables import FAILED_STOPS, NAME, OTHER_STOPS, STOPS


def decode_reply(body: dict[str, Any], sent: UpstreamRequest, new_id: NewId) -> Reply:
    """Decodes a reply body; raises Malformed if it is not a chat completion, UpstreamError if it holds an error."""
    if body.get("error") or (not body.get("choices") and is_error(body)):  # some hosts answer 200 with an error
        raise UpstreamError(error_in(error_in_body(body), None, None))
    repairs = Repairs()
    choices = need(body, "choices", list)
    if not choices or type(choices[0]) is not dict:
        raise Malformed("choices", "must hold at least one choice")
    choice = choices[0]
    if (failed := choice_failure(choice)) is not None:
        raise UpstreamError(failed)
    try:
        native = take(choice, "finish_reason", str)
        # Azure leaves the message out where its filter took all of it
        message = take(choice, "message", dict, {}) if native == "content_filter" else need(choice, "message", dict)
        blocks = _blocks_in(message, sent, new_id, repairs)
    except Malformed as fault:
        raise fault.under("choices[0]") from None
    usage = take_usage(body, choice, message, repairs)
    message.pop("role", None)
    if any(type(block) is Text for block in blocks) and (tokens := logprobs_in(choice.get("logprobs"))):
        blocks = with_logprobs(blocks, tokens)
        choice[NATIVE] = choice.pop("logprobs")
    id_, model = maybe(body, "id", str), maybe(body, "model", str)
    body = {key: value for key, value in body.items() if key not in ("id", "model")}
    if blocks and type(text := blocks[-1]) is Text:
        known = {citation.url for citation in text.citations}
        others = tuple(citation for citation in host_citations_in(body) if citation.url not in known)
        blocks = (*blocks[:-1], replace(text, citations=text.citations + others)) if others else blocks
    extra = {**body, **{f"choices[0].{k}": v for k, v in choice.items()}}
    extra |= {f"choices[0].message.{k}": v for k, v in message.items()}
    if len(choices) > 1:
        extra["n"] = choices[1:]
    return Reply(
        protocol=NAME,
        id=id_,
        model=model,
        blocks=blocks,
        stop=stop_in(native, any(isinstance(block, ToolCall) for block in blocks), repairs),
        native=native or None,
        usage=usage_in(usage, repairs) if usage else None,
        extra=extra or None,
        repaired=repairs.names(),
    )


def choice_failure(choice: dict[str, Any]) -> Failure | None:
    """Returns the failure that a choice tells by its `error` or its stop reason; None where it has none."""
    native, error = choice.get("finish_reason"), choice.get("error")
    status, sentence = FAILED_STOPS.get(native if type(native) is str else "", (None, None))
    if error:
        return error_in(error, None, None)
    return None if status is None else error_in({"message": sentence, "code": status}, None, None)


def logprobs_in(fields: Any) -> tuple[TokenLogprob, ...]:
    """Decodes the log probabilities of a choice's text; those of a refusal stay as they are."""
    return tokens_in(fields.get("content")) if type(fields) is dict and not fields.get("refusal") else ()


def take_usage(
    body: dict[str, Any], choice: dict[str, Any], message: dict[str, Any], repairs: Repairs
) -> dict[str, Any] | None:
    """Takes the usage of a body or a chunk, wherever it stands."""
    usage = body.pop("usage", None)
    if type(usage) is dict and usage:
        return usage
    # Moonshot: "choices": [{…, "usage": {…}}] https://platform.moonshot.ai/docs/api/chat
    for place in (choice, message):
        inner = place.pop("usage", None)
        if type(inner) is dict and inner:
            repairs.add("usage_place")
            return inner
    groq = body.get("x_groq")  # https://console.groq.com/docs/text-chat
    inner = groq.get("usage") if type(groq) is dict else None
    if type(inner) is dict and inner:
        repairs.add("usage_place")
        return inner
    return None


def _blocks_in(message: dict[str, Any], sent: UpstreamRequest, new_id: NewId, repairs: Repairs) -> tuple[Block, ...]:
    provider = sent.target.provider
    blocks: tuple[Block, ...] = reasoning_in(message, repairs, provider)
    content = content_in(message, "content", part_in, required=False)
    if content and type(content[-1]) is Text:
        citations = citations_in(message)
        content = (*content[:-1], replace(content[-1], citations=citations))
    blocks += content
    blocks += images_in(message)
    if refusal := take(message, "refusal", str):
        blocks += (Refusal(refusal),)
    calls = take(message, "tool_calls", list, [])
    function = take(message, "function_call", dict)
    if function and function.get("name"):  # some hosts send {"name": "", "arguments": ""} without a call
        calls = [*calls, {"function": function}]
    for call in calls:
        if type(call) is dict and not call.get("id"):
            repairs.add("call_id")
            call["id"] = new_id("call_")
    for found in each(calls, "tool_calls", lambda call: call_in(call, provider)):
        alias = sent.names.get(found.name)
        if alias is not None:
            found = replace(found, name=alias.name, namespace=alias.namespace)
        blocks += (found,)
    return blocks


def images_in(message: dict[str, Any]) -> tuple[Block, ...]:
    """Pops the images of an answer, which some hosts put beside its text.

    "message.images", each with an `image_url`: https://openrouter.ai/docs/features/multimodal/image-generation
    """
    images = message.get("images")
    if type(images) is not list or not all(type(image) is dict for image in images):
        return ()
    del message["images"]
    return tuple(each(images, "images", lambda image: part_in({"type": "image_url", **image})))


def citations_in(message: dict[str, Any]) -> tuple[Citation, ...]:
    """Pops the URL citations of a message; annotations of another kind are left in it."""
    annotations = message.pop("annotations", None)
    if type(annotations) is not list:
        return ()
    citations, others = split_annotations(annotations, _citation_in)
    if others:
        message["annotations"] = others
    return citations


HOST_SOURCES = "host_sources"
"""Extra field of a reply with the fields in which a host lists its sources, for a client of this protocol."""


def host_citations_in(body: dict[str, Any]) -> tuple[Citation, ...]:
    """Returns the sources that a host lists beside the choices; the fields themselves are kept under one name.

    "citations: array of strings", "search_results: array of objects with title, url, date" of Perplexity:
    https://docs.perplexity.ai/api-reference/chat-completions-post; xAI has the former:
    https://docs.x.ai/docs/guides/live-search#returning-citations
    """
    addresses, results = body.get("citations"), body.get("search_results")
    titles = {
        result["url"]: maybe(result, "title", str)
        for result in (results if type(results) is list else ())
        if type(result) is dict and type(result.get("url")) is str
    }
    found = [url for url in addresses if type(url) is str] if type(addresses) is list else []
    urls = list(dict.fromkeys((*found, *titles)))
    if not urls:
        return ()
    body[HOST_SOURCES] = {key: body.pop(key) for key in ("citations", "search_results") if key in body}
    return tuple(Citation(url, titles.get(url)) for url in urls)


def _citation_in(annotation: Any) -> Citation | None:
    match annotation:
        case {"type": "url_citation", "url_citation": {"url": str(url)} as fields}:
            return Citation(
                url,
                maybe(fields, "title", str),
                maybe(fields, "content", str),
                maybe(fields, "start_index", int),
                maybe(fields, "end_index", int),
            )
    return None


def stop_in(native: str | None, called: bool | None, repairs: Repairs) -> StopReason:
    """Maps a finish reason; `called` tells whether there is a call, None where that is not known.

    A call counts as `tool` although some hosts report `stop` with it, and no call does not, whatever they report.
    """
    stop: StopReason = STOPS.get(native or "") or "other"
    if not native:
        stop = "end"
        repairs.add("stop_missing")
    elif stop == "other" and native.lower() in OTHER_STOPS | STOPS:
        stop = (OTHER_STOPS | STOPS)[native.lower()]
        repairs.add("stop_word")
    return agreed_stop(stop, called, repairs)
