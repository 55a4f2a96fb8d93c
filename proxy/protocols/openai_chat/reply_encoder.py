"""Encodes neutral replies as Chat Completions replies, and declares what is lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...ir import (
    Audio,
    Citation,
    Document,
    HostedCall,
    Image,
    Loss,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Reply,
    ReplyStart,
    StopReason,
    Text,
    TokenLogprob,
    ToolCall,
    ToolResult,
    Usage,
    Video,
    signatures,
)
from ...ir.losses import citation_text_losses, opaque_loss, reply_extra_losses
from ...ir.readable import joined_thinking
from ...ir.token_logprobs import NATIVE, tokens_out
from ..openai.losses import stop_losses
from ..openai.media import url_out
from ..protocol import ReplyContext
from . import signature_carrier
from .tables import NAME, STOP_WORDS, USAGE


def encode_reply(reply: Reply, context: ReplyContext) -> tuple[dict[str, Any], list[Loss]]:
    """Returns the body for a client, and the losses."""
    same = reply.protocol == NAME
    losses = [] if same else reply_extra_losses(reply)
    annotations: list[dict[str, Any]] = []
    # OpenAI's own answers always have the annotations, empty or not
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "annotations": annotations}
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    details: list[dict[str, Any]] = []
    thinking: list[str] = []
    images: list[dict[str, Any]] = []
    for b, block in enumerate(reply.blocks):
        match block:
            case Text(text, citations, signature):
                offset = sum(map(len, texts))
                texts.append(text)
                annotations += [citation_out(citation, offset, len(text), same) for citation in citations]
                losses += [] if same else citation_text_losses(citations, f"blocks[{b}]")
                if signature:
                    details.append(signature_carrier.carrier_out(signature))
            case Refusal(text):
                message["refusal"] = (message["refusal"] or "") + text
            case Reasoning(text, signature):
                if text:
                    thinking.append(text)
                extra = (block.extra or {}) if same else {}
                if same and (signature or extra):
                    token = signatures.for_client(signature, NAME) if signature else None
                    details.append(signature_carrier.detail_out(block, token, extra))
                elif not same and (text or signature):
                    details.append(signature_carrier.foreign_detail_out(block, signature))
            case ToolCall():
                calls.append({**_call_out(block), **((block.extra or {}) if same else {})})
            case Image(Media(data=str()) as media) | Image(Media(url=str()) as media):
                images.append(image_out(media, len(images)))
            case Image() | Document() | Audio() | Video() | ToolResult():
                losses.append(Loss(f"blocks[{b}]", "media_out", "dropped"))
            case Opaque(call=HostedCall()):
                losses.append(opaque_loss(block, f"blocks[{b}]"))
            case Opaque():
                pass  # declared with the extra fields
    if thinking:
        # pieces of one text, where a host of this protocol details it
        message["reasoning_content"] = "".join(thinking) if same else joined_thinking(thinking)
    if images:
        message["images"] = images
    if same and details:
        message["reasoning_details"] = details
    elif any("signature" in detail or "data" in detail for detail in details):
        # clients that read details read nothing else, so all thinking must be among them
        message["reasoning_details"] = [{**detail, "index": k} for k, detail in enumerate(details)]
    if texts:
        message["content"] = "".join(texts)
    if calls and is_legacy(context):
        message["function_call"] = calls[0]["function"]
    elif calls:
        message["tool_calls"] = calls
    losses += stop_losses(reply.stop, reply.matched)
    tokens = [token for block in reply.blocks if isinstance(block, Text) for token in block.logprobs]
    logprobs = logprobs_out(tokens) if tokens else None
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": stop_out(reply.stop, context)}
    body: dict[str, Any] = {
        "id": reply_id(reply, context),
        "object": "chat.completion",
        "created": context.created,
        "model": context.request.model,
        "choices": [choice],
    }
    if reply.usage is not None:
        body["usage"] = usage_out(reply.usage)
    if same and reply.extra:
        extra_out(reply.extra, body, choice, message)
    return body, losses


def extra_out(extra: dict[str, Any], body: dict[str, Any], choice: dict[str, Any], message: dict[str, Any]) -> None:
    """Puts the extra fields of a chat answer back where its decoder found them."""
    for path, value in extra.items():
        if path == "n":
            body["choices"] += value
        elif path == "host_sources":
            body |= value
        elif path == f"choices[0].{NATIVE}":
            choice["logprobs"] = value
        elif path.startswith("choices[0].message."):
            message[path[19:]] = value
        elif path.startswith("choices[0]."):
            choice[path[11:]] = value
        elif path != USAGE or USAGE not in body:
            body[path] = value


def logprobs_out(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    return {"content": tokens_out(tokens), "refusal": None}


def _call_out(call: ToolCall) -> dict[str, Any]:
    name = f"{call.namespace}__{call.name}" if call.namespace else call.name
    out: dict[str, Any] = {"id": call.id, "type": call.kind}
    if call.kind == "custom":
        out["custom"] = {"name": name, "input": call.arguments}
    else:
        out["function"] = {"name": name, "arguments": call.arguments or "{}"}
    if call.signature:
        out["extra_content"] = {"google": {"thought_signature": signatures.for_client(call.signature, NAME)}}
    return out


def citation_out(citation: Citation, offset: int, length: int, same: bool) -> dict[str, Any]:
    """Returns an annotation; its bounds are required, so a citation without any covers the whole block of text."""
    cited: dict[str, Any] = {
        "start_index": (citation.start or 0) + offset,
        "end_index": (length if citation.end is None else citation.end) + offset,
        "title": citation.title or "",
        "url": citation.url,
    }
    if same and citation.text is not None:
        # "content": "Added if available", by OpenRouter: https://openrouter.ai/docs/features/web-search
        cited["content"] = citation.text
    return {"type": "url_citation", "url_citation": cited}


def image_out(media: Media, position: int) -> dict[str, Any]:
    """Returns an image of an answer as the hosts that answer with images write it.

    "The generated image will be in the assistant message": `images`, each with an `image_url`.
    https://openrouter.ai/docs/features/multimodal/image-generation
    """
    return {"type": "image_url", "image_url": {"url": url_out(media)}, "index": position}


def is_legacy(context: ReplyContext) -> bool:
    """Tells whether the client sent the `functions` of 2023 and expects `function_call`."""
    return bool(context.request.extra) and "functions" in (context.request.extra or {})


def reply_id(reply: Reply | ReplyStart, context: ReplyContext) -> str:
    return reply.id if reply.protocol == NAME and reply.id else f"chatcmpl-{context.id}"


def stop_out(stop: StopReason, context: ReplyContext) -> str:
    return "function_call" if stop == "tool" and is_legacy(context) else STOP_WORDS[stop]


def usage_out(usage: Usage) -> dict[str, Any]:
    prompt, output = usage.prompt or 0, usage.output or 0
    out: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
    details = {}
    if usage.cache_read is not None:
        details["cached_tokens"] = usage.cache_read
    if usage.cache_write is not None:
        details["cache_write_tokens"] = usage.cache_write
    if details:
        out["prompt_tokens_details"] = details
    if usage.reasoning is not None:
        out["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning}
    return out
