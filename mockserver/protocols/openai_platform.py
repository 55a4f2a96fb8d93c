"""Rules of the OpenAI platform that Chat Completions and Responses have in common, and its model list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..scenarios.provider import Provider
from .reply_context import MOCK_CREATED, sent_key
from .rule import EVERYWHERE, TODAY, TOKENS, Asked, Breach, Check, Rule

ERROR_CODES = "https://platform.openai.com/docs/guides/error-codes/api-errors"


def _key_missing(asked: Asked) -> Iterator[Breach]:
    if sent_key(asked.headers, asked.provider.auth) is None:
        yield {}


def _key_wrong(asked: Asked) -> Iterator[Breach]:
    given = sent_key(asked.headers, asked.provider.auth)
    if given is not None and given != asked.provider.auth.key:
        yield {"given": given[:8]}


def _not_an_object(asked: Asked) -> Iterator[Breach]:
    if not isinstance(asked.body, dict):
        yield {}


ACCESS_RULES: tuple[Rule, ...] = (
    Rule(
        id="key-missing",
        says="401 - Invalid Authentication: ensure the correct API key and requesting organization are being used.",
        source=ERROR_CODES,
        check=_key_missing,
        message="You didn't provide an API key. You need to provide your API key in an Authorization header using "
        "Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
        status=401,
        kind="authentication",
        on=EVERYWHERE,
    ),
    Rule(
        id="key-wrong",
        says="401 - Incorrect API key provided: the requesting API key is not correct.",
        source=ERROR_CODES,
        check=_key_wrong,
        message="Incorrect API key provided: {given}***. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        code="invalid_api_key",
        status=401,
        kind="authentication",
        on=EVERYWHERE,
    ),
    Rule(
        id="body-not-json",
        says="A body that is no JSON object is refused.",
        source=ERROR_CODES,
        check=_not_an_object,
        message="We could not parse the JSON body of your request.",
        on=TOKENS,
    ),
)
"""The API key and the body, which are checked first."""

MAX_IDENTIFIER = 64


def _too_long(*names: str) -> Check:
    """Returns a check of the length of these fields."""

    def check(asked: Asked) -> Iterator[Breach]:
        for name in names:
            value = asked.body.get(name)
            if isinstance(value, str) and len(value) > MAX_IDENTIFIER:
                yield {"name": name, "length": len(value)}

    return check


TOO_LONG = (
    "Invalid '{name}': string too long. Expected a string with maximum length 64, but got a string with length "
    "{length} "
    "instead."
)


def _metadata_too_large(asked: Asked) -> Iterator[Breach]:
    metadata = asked.body.get("metadata")
    if isinstance(metadata, dict) and len(metadata) > 16:
        yield {"length": len(metadata)}


def _metadata_value_too_long(asked: Asked) -> Iterator[Breach]:
    metadata = asked.body.get("metadata")
    for key, value in metadata.items() if isinstance(metadata, dict) else ():
        if isinstance(value, str) and len(value) > 512:
            yield {"key": key, "length": len(value)}


IDENTIFIER_RULES: tuple[Rule, ...] = (
    Rule(
        id="user-length",
        says="OpenAI enforces a 64 character maximum on the user field. safety_identifier has maxLength 64.",
        source="https://github.com/maximhq/bifrost/pull/1000",
        checked=TODAY,
        check=_too_long("user", "safety_identifier"),
        message=TOO_LONG,
        param="{name}",
        code="string_above_max_length",
        strict=True,
    ),
    Rule(
        id="cache-key-length",
        says="The error of a prompt_cache_key of more than 64 characters.",
        source="https://github.com/theopenco/llmgateway/pull/3110",
        checked=TODAY,
        check=_too_long("prompt_cache_key"),
        message=TOO_LONG,
        param="{name}",
        code="string_above_max_length",
        strict=True,
    ),
    Rule(
        id="metadata-size",
        says="Set of 16 key-value pairs that can be attached to an object.",
        source="https://platform.openai.com/docs/api-reference/responses/create",
        check=_metadata_too_large,
        message="Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an "
        "object with {length} properties instead.",
        param="metadata",
        code="object_above_max_properties",
        own_words=True,
    ),
    Rule(
        id="metadata-length",
        says="Values are strings with a maximum length of 512 characters.",
        source="https://platform.openai.com/docs/api-reference/responses/create",
        check=_metadata_value_too_long,
        message="Invalid 'metadata.{key}': string too long. Expected a string with maximum length 512, but got a "
        "string "
        "with length {length} instead.",
        param="metadata.{key}",
        code="string_above_max_length",
    ),
)
"""Lengths of identifiers and metadata."""


def list_models(provider: Provider) -> dict[str, Any]:
    """Returns the model list. https://platform.openai.com/docs/api-reference/models/list"""
    data = [
        {"id": name, "object": "model", "created": MOCK_CREATED, "owned_by": provider.name}
        for name in provider.upstream_models
    ]
    return {"object": "list", "data": data}
