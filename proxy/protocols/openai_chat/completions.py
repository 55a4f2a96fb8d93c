"""The older completions: one prompt in, one text out, which many editors still ask for.

Its requests become requests of the chat with one message of the user, its replies are those of the chat in another
form. What no chat can do (a text between a prompt and its suffix, several prompts, prompts of token ids) is declared.

Source: https://platform.openai.com/docs/api-reference/completions
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ...errors import Malformed
from ...ir import Loss, Reply, Request
from ...ir.losses import declare_loss
from ...ir.stream import Texts
from ...wire import json_fields
from ...wire.json_fields import take
from ..openai.addresses import deployed_paths
from ..protocol import NewId, Protocol, UpstreamRequest, UrlParams
from . import reply_decoder, request_decoder
from .completions_encoder import CompletionsEncoder, encode_reply
from .stream_decoder import StreamDecoder

QUIRK = "completions"

PROMPTS, TOKENS = "prompt", "prompt_tokens"
"""The keys under which a request keeps a prompt that no chat can have, of several texts or of token ids."""

FEATURES = {"suffix": "fill_in", "best_of": "n", PROMPTS: "several_prompts", TOKENS: "token_input"}
"""The fields that no chat has, and the features that are lost with them."""

MOST_LOGPROBS = 20
"""The most alternatives to a token that a chat gives. https://platform.openai.com/docs/api-reference/chat/create"""


# ---- as a frontend ---------------------------------------------------------------------------------------------------


def decode_request(body: dict[str, Any], url: UrlParams) -> Request:
    """Decodes a request body; raises Malformed with the path of the faulty field."""
    prompt, extra = _prompt_in(body.pop("prompt", None))
    for key, kind in (("suffix", str), ("echo", bool)):
        if value := take(body, key, kind):
            extra[key] = value
    best_of = take(body, "best_of", int)
    if best_of is not None and best_of != (body.get("n") or 1):
        extra["best_of"] = best_of
    wanted = body.pop("logprobs", None)
    if wanted is not None:
        if type(wanted) is not int or not 0 <= wanted <= MOST_LOGPROBS:
            raise Malformed("logprobs", f"must be a number of alternatives from 0 to {MOST_LOGPROBS}")
        body["logprobs"] = True
        if wanted:
            body["top_logprobs"] = wanted
    body["messages"] = [{"role": "user", "content": prompt}]
    request = request_decoder.decode_request(body, url)
    return replace(request, extra={**(request.extra or {}), **extra} or None)


def _prompt_in(prompt: Any) -> tuple[str, dict[str, Any]]:
    """Returns the first text, and what of the prompt no message can hold."""
    wrong = "must be a string, or an array of strings or of token ids, not empty"
    if type(prompt) is str:
        return prompt, {}
    if type(prompt) is not list or not prompt:
        raise Malformed("prompt", f"is required and {wrong}")
    if all(type(each) is int for each in prompt):
        return "", {TOKENS: prompt}
    for i, each in enumerate(prompt):
        is_tokens = type(each) is list and each and all(type(token) is int for token in each)
        if type(each) is not str and not is_tokens:
            raise Malformed(
                f"prompt[{i}]", f"must be a string or an array of token ids, is {json_fields.describe(each)}"
            )
    extra: dict[str, Any] = {PROMPTS: prompt} if len(prompt) > 1 else {}
    if any(type(each) is list for each in prompt):
        extra[TOKENS] = prompt
    return prompt[0] if type(prompt[0]) is str else "", extra


def to_chat(request: Request) -> tuple[Request, tuple[Loss, ...]]:
    """Returns the request as the chat has it, and what no chat can express.

    The proxy itself repeats the prompt for `echo`, though not with the probabilities of its tokens.
    """
    extra = request.extra or {}
    losses = tuple(declare_loss(key, feature) for key, feature in FEATURES.items() if key in extra)
    if "echo" in extra and request.logprobs is not None:
        losses += (declare_loss("echo.logprobs", "logprobs"),)
    kept = {key: value for key, value in extra.items() if key not in FEATURES and key != "echo"}
    return replace(request, extra=kept or None), losses


# ---- as a backend, for a relay ---------------------------------------------------------------------------------------


def _to_chat_reply(body: dict[str, Any], key: str) -> dict[str, Any]:
    """Returns a body or a chunk as the chat has it, each choice's text in the message or the delta under `key`."""
    choices = body.get("choices")
    for choice in choices if type(choices) is list else ():
        if type(choice) is dict:
            choice.pop(key, None)  # of the chat, which this is not
            if "text" in choice:
                choice[key] = {"content": choice.pop("text")}
    return body


def decode_reply(body: dict[str, Any], sent: UpstreamRequest, new_id: NewId) -> Reply:
    """Decodes a reply body; raises UpstreamError if it holds an error, and Malformed if it is no completion."""
    return reply_decoder.decode_reply(_to_chat_reply(body, "message"), sent, new_id)


class CompletionsStreamDecoder(StreamDecoder):
    """Decodes the chunks of a completion as those of a chat."""

    def feed_texts(self, objects: bytes, count: int) -> Texts | None:
        return None  # they are of the chat's form

    def _parse(self, data: bytes) -> dict[str, Any]:
        return _to_chat_reply(super()._parse(data), "delta")


def address(model: str, stream: bool) -> str:
    return "/completions"


def as_dialect(chat: Protocol) -> Protocol:
    """Returns the record of completions, which differs from the chat's in addresses and forms alone."""
    return replace(
        chat,
        title="OpenAI completions",
        paths=deployed_paths("/completions"),
        decode_request=decode_request,
        plain_request=lambda body: None,
        known_tools=None,
        to_chat=to_chat,
        dialect_quirk=QUIRK,
        encode_reply=encode_reply,
        stream_encoder=CompletionsEncoder,
        decode_reply=decode_reply,
        stream_decoder=CompletionsStreamDecoder,
        address=address,
        needs_reencoding=lambda request, target, body: False,  # what traits change is no part of a completion
        endpoints=(),
    )
