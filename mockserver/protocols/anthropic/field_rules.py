"""Rules of the Messages API about headers and the fields of the body: names, types, ranges, the response format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ...scenarios.provider import Auth
from ..protocol import MalformedRequest
from ..reply_context import sent_key
from ..rule import EVERYWHERE, TODAY, TOKENS, Asked, Breach, Rule, is_number
from .request_parser import parse_request
from .tables import BETA_FIELDS, FIELDS, NESTED, NULLABLE, UNSUPPORTED_KEYWORDS

CREATE = "https://platform.claude.com/docs/en/api/messages/create"
ERRORS = "https://platform.claude.com/docs/en/api/errors"
STRUCTURED = "https://platform.claude.com/docs/en/build-with-claude/structured-outputs"


BEARER = Auth("authorization", "")
"""The other header of a key."""


def dotted_path(path: str) -> str:
    """Converts a path to the form of this provider's messages: `$.messages[0].role` -> `messages.0.role`."""
    return re.sub(r"\[(\d+)\]", r".\1", path.removeprefix("$."))


def _given_key(asked: Asked) -> str | None:
    """Returns the key of the provider's own header, or else of the one in which the vendor's SDK sends it.

    `"Authorization": f"Bearer {api_key}"` in `_api_key_auth`:
    https://github.com/anthropics/anthropic-sdk-python/blob/main/src/anthropic/_client.py
    """
    own = sent_key(asked.headers, asked.provider.auth)
    return sent_key(asked.headers, BEARER) if own is None else own


def _key_missing(asked: Asked) -> Iterator[Breach]:
    if _given_key(asked) is None:
        yield {"header": asked.provider.auth.header}


def _key_wrong(asked: Asked) -> Iterator[Breach]:
    if _given_key(asked) != asked.provider.auth.key:
        yield {}


def _version_missing(asked: Asked) -> Iterator[Breach]:
    if "anthropic-version" not in asked.headers:
        yield {}


def _not_an_object(asked: Asked) -> Iterator[Breach]:
    if not isinstance(asked.body, dict):
        yield {}


def _field_missing(asked: Asked) -> Iterator[Breach]:
    for key in ("max_tokens", "messages", "model"):
        if asked.body.get(key) is None and not (key == "max_tokens" and asked.endpoint == "count"):
            yield {"key": key}


def _unknown_field(asked: Asked) -> Iterator[Breach]:
    betas = asked.headers.get("anthropic-beta", "")
    for key in asked.body:
        if key not in FIELDS and not (key in BETA_FIELDS and BETA_FIELDS[key] in betas):
            yield {"key": key}


def _field_null(asked: Asked) -> Iterator[Breach]:
    for key, value in asked.body.items():
        if value is None and key not in NULLABLE:
            yield {"key": key}


def _model_unknown(asked: Asked) -> Iterator[Breach]:
    if asked.provider.models and asked.model not in asked.provider.upstream_models:
        yield {"model": asked.body["model"]}


def _malformed(asked: Asked) -> Iterator[Breach]:
    try:
        parse_request("", {}, asked.body)
    except MalformedRequest as problem:
        reason = "Field required" if problem.reason == "is missing" else problem.reason
        yield {"path": dotted_path(problem.path), "reason": reason}


def _unknown_nested_field(asked: Asked) -> Iterator[Breach]:
    for path in parse_request("", {}, asked.body).extra:
        parent, _, key = dotted_path(path).rpartition(".")
        known = (names for pattern, names in NESTED.items() if re.fullmatch(pattern, parent))
        blocks = key.isdecimal() or parent == ""
        if not blocks and not any(key in names for names in known):
            yield {"path": f"{parent}.{key}"}


def _range(asked: Asked) -> Iterator[Breach]:
    for name in ("temperature", "top_p"):
        value = asked.body.get(name)
        if is_number(value) and not 0 <= value <= 1:
            yield {"name": name}


def _max_tokens_low(asked: Asked) -> Iterator[Breach]:
    if asked.endpoint == "generate" and asked.body["max_tokens"] < 1:
        yield {}


def _stop_blank(asked: Asked) -> Iterator[Breach]:
    for stop in asked.body.get("stop_sequences") or []:
        if not stop.strip():
            yield {}


def _schema(asked: Asked) -> tuple[str, Any]:
    """Returns the path and the value of the schema of the response format, None if there is none."""
    form = (asked.body.get("output_config") or {}).get("format")
    if form:
        return "output_config.format.schema", form.get("schema") if form.get("type") == "json_schema" else None
    return "output_format.schema", (asked.body.get("output_format") or {}).get("schema")


def _schema_recursive(asked: Asked) -> Iterator[Breach]:
    where, schema = _schema(asked)
    if _is_recursive(schema, schema, ()):
        yield {"where": where}


def _is_recursive(node: Any, root: Any, within: tuple[str, ...]) -> bool:
    """Returns whether a reference below a node leads to a definition that contains it; `within` are those followed."""
    if isinstance(node, list):
        return any(_is_recursive(inner, root, within) for inner in node)
    if not isinstance(node, dict):
        return False
    ref = node.get("$ref")
    if ref in (*within, "#"):
        return True
    if isinstance(ref, str):
        key, _, name = ref.removeprefix("#/").partition("/")
        held = root.get(key)
        target = held.get(name) if isinstance(held, dict) else None
        return _is_recursive(target, root, (*within, ref))
    inner = [value for key, value in node.items() if not (node is root and key in ("$defs", "definitions"))]
    return _is_recursive(inner, root, within)


def _schema_keyword(asked: Asked) -> Iterator[Breach]:
    where, schema = _schema(asked)
    for error in schema_errors(schema):
        yield {"where": where, "error": error}


def schema_errors(schema: Any) -> Iterator[str]:
    """Yields the unsupported keywords of the schema of a response format or of a strict tool, at any depth."""
    if isinstance(schema, list):
        for inner in schema:
            yield from schema_errors(inner)
    if not isinstance(schema, dict):
        return
    given = schema.get("type")
    for kind in given if isinstance(given, list) else [given]:
        for key in sorted(schema.keys() & UNSUPPORTED_KEYWORDS.get(str(kind), frozenset())):
            yield f"For '{kind}' type, property '{key}' is not supported"
        if kind == "array" and schema.get("minItems", 0) not in (0, 1):
            yield "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
        if kind == "object" and schema.get("additionalProperties") is not False:
            yield "For 'object' type, 'additionalProperties' must be explicitly set to false"
    if "oneOf" in schema:
        yield "Schema type 'oneOf' is not supported"
    for key, value in schema.items():
        if key in ("properties", "$defs", "definitions") and isinstance(value, dict):
            yield from schema_errors(list(value.values()))
        elif key in ("items", "anyOf", "allOf", "prefixItems"):
            yield from schema_errors(value)


RULES: tuple[Rule, ...] = (
    Rule(
        id="key-missing",
        says="401 authentication_error: There's an issue with your API key.",
        source=ERRORS,
        check=_key_missing,
        message="{header} header is required",
        status=401,
        kind="authentication",
        on=EVERYWHERE,
    ),
    Rule(
        id="key-wrong",
        says="401 authentication_error: There's an issue with your API key.",
        source=ERRORS,
        check=_key_wrong,
        message="invalid x-api-key",
        status=401,
        kind="authentication",
        on=EVERYWHERE,
    ),
    Rule(
        id="version-missing",
        says="When making API requests, you must send an anthropic-version request header.",
        source="https://platform.claude.com/docs/en/api/versioning",
        check=_version_missing,
        message="anthropic-version: header is required",
        on=EVERYWHERE,
    ),
    Rule(
        id="body-not-json",
        says="A body that is no JSON object is refused.",
        source=ERRORS,
        check=_not_an_object,
        message="The request body is not valid JSON: an object was expected",
        own_words=True,
        on=TOKENS,
    ),
    Rule(
        id="field-missing",
        says="model, max_tokens and messages are required.",
        source=CREATE,
        check=_field_missing,
        message="{key}: Field required",
        on=TOKENS,
    ),
    Rule(
        id="unknown-field",
        says="A field that the reference does not list is refused. output_format has moved to output_config.format; "
        "the "
        "API continues to accept it with the old beta header for a transition period.",
        source=STRUCTURED,
        checked=TODAY,
        check=_unknown_field,
        message="{key}: Extra inputs are not permitted",
        on=TOKENS,
    ),
    Rule(
        id="field-null",
        says="Every documented field is optional, but few are nullable.",
        source=CREATE,
        check=_field_null,
        message="{key}: Input should be a valid value, not null",
        own_words=True,
        on=TOKENS,
    ),
    Rule(
        id="model-unknown",
        says="404 not_found_error: The requested resource was not found.",
        source=ERRORS,
        check=_model_unknown,
        message="model: {model}",
        status=404,
        kind="not_found",
        on=TOKENS,
    ),
    Rule(
        id="type-wrong",
        says="A value has another type than the reference gives, or a required one is missing.",
        source=CREATE,
        check=_malformed,
        message="{path}: {reason}",
        on=TOKENS,
    ),
    Rule(
        id="unknown-nested-field",
        says="A field that the reference does not list inside an object is refused.",
        source=CREATE,
        check=_unknown_nested_field,
        message="{path}: Extra inputs are not permitted",
        on=TOKENS,
    ),
    Rule(
        id="range",
        says="temperature … Ranges from 0.0 to 1.0.",
        source=CREATE,
        check=_range,
        message="{name}: range: 0..1",
        on=TOKENS,
    ),
    Rule(
        id="max-tokens-low",
        says="max_tokens: The maximum number of tokens to generate before stopping; minimum 1.",
        source=CREATE,
        check=_max_tokens_low,
        message="max_tokens: Input should be greater than or equal to 1",
    ),
    Rule(
        id="stop-blank",
        says="stop_sequences: each stop sequence must contain non-whitespace",
        source="https://github.com/BerriAI/litellm/issues/3286",
        check=_stop_blank,
        message="stop_sequences: each stop sequence must contain non-whitespace",
        on=TOKENS,
    ),
    Rule(
        id="schema-recursive",
        says="Not supported: Recursive schemas",
        source=f"{STRUCTURED}#json-schema-limitations",
        check=_schema_recursive,
        message="{where}: Recursive schemas are not supported",
        on=TOKENS,
    ),
    Rule(
        id="schema-keyword",
        says="Not supported: numerical constraints, string constraints, array constraints beyond minItems of 0 or 1, "
        "additionalProperties set to anything other than false, oneOf",
        source="https://github.com/agentjido/req_llm/issues/302",
        check=_schema_keyword,
        message="{where}: {error}",
        on=TOKENS,
    ),
)
"""Rules about headers and fields, in the order in which the service checks them."""
