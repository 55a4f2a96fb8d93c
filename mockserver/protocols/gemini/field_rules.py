"""Rules of the Gemini API about the key, the path, and the fields of the body: names, types and ranges."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs

from ..protocol import MalformedRequest
from ..reply_context import sent_key
from ..rule import EVERYWHERE, TOKENS, Asked, Breach, Rule, is_number
from .asked_body import config, contents, model_of, objects, top
from .message_schema import DATA, snake, violations
from .request_parser import method_of, parse_request
from .tables import KEY_INVALID, MAX_STOPS, RANGES, ROLES

CONTENT = "https://ai.google.dev/api/caching#Content"
PART = "https://ai.google.dev/api/caching#Part"
CONFIG = "https://ai.google.dev/api/generate-content#generationconfig"
ERRORS = "https://ai.google.dev/gemini-api/docs/troubleshooting"
KEYS = "https://ai.google.dev/gemini-api/docs/api-key"
REQUEST = "* GenerateContentRequest"


def _given_key(asked: Asked) -> str | None:
    query = parse_qs(asked.path.partition("?")[2])
    return sent_key(asked.headers, asked.provider.auth) or next(iter(query.get("key", [])), None)


def _key_missing(asked: Asked) -> Iterator[Breach]:
    if not _given_key(asked):
        yield {}


def _key_wrong(asked: Asked) -> Iterator[Breach]:
    if _given_key(asked) != asked.provider.auth.key:
        yield {}


def _model_unknown(asked: Asked) -> Iterator[Breach]:
    model = model_of(asked)
    if asked.provider.models and model not in asked.provider.upstream_models:
        version = asked.path.lstrip("/").partition("/")[0]
        yield {"model": model, "version": version, "method": method_of(asked.path)[1]}


def _not_an_object(asked: Asked) -> Iterator[Breach]:
    if not isinstance(asked.body, dict):
        yield {}


def _violations(asked: Asked) -> Iterator[Breach]:
    found = list(
        violations(asked.body, "CountTokensRequest" if asked.endpoint == "count" else "GenerateContentRequest")
    )
    if found:
        yield {"description": "\n".join(one.description for one in found), "field": found[0].field}


def _contents_missing(asked: Asked) -> Iterator[Breach]:
    if not contents(asked):
        yield {}


def _groups(asked: Asked) -> Iterator[tuple[str, str, list[Breach]]]:
    """Yields the path, the role and the parts of each content and of the system instruction."""
    for at, (role, parts) in enumerate(contents(asked)):
        yield f"contents[{at}]", role, parts
    for system in objects(top(asked).get("systemInstruction", [])):
        yield "system_instruction", "user", objects(system.get("parts", []))


def _role(asked: Asked) -> Iterator[Breach]:
    for _, role, _ in _groups(asked):
        # The older role of responses, `function`, is still accepted.
        if role not in (*ROLES, "function", ""):
            yield {}


def _parts_empty(asked: Asked) -> Iterator[Breach]:
    for where, _, parts in _groups(asked):
        if not parts:
            yield {"where": where}


def _part_empty(asked: Asked) -> Iterator[Breach]:
    for where, _, parts in _groups(asked):
        for n, part in enumerate(parts):
            # A part may have nothing but a signature, as in some streams.
            if not any(key in part for key in (*DATA, "thoughtSignature")):
                yield {"where": f"{where}.parts[{n}]"}


def _name_empty(asked: Asked) -> Iterator[Breach]:
    for where, _, parts in _groups(asked):
        for n, part in enumerate(parts):
            for key in ("functionCall", "functionResponse"):
                if key in part and not part[key].get("name"):
                    yield {"where": f"{where}.parts[{n}].{snake(key)}"}


def _malformed(asked: Asked) -> Iterator[Breach]:
    try:
        parse_request("", {}, asked.body)
    except MalformedRequest as problem:
        yield {"path": problem.path.removeprefix("$."), "reason": problem.reason}


def _range(asked: Asked) -> Iterator[Breach]:
    for name, low, high in RANGES:
        value = config(asked).get(name)
        if is_number(value) and not low <= value <= high:
            yield {"name": snake(name), "low": low, "high": high}


def _not_positive(asked: Asked) -> Iterator[Breach]:
    for name in ("maxOutputTokens", "topK"):
        value = config(asked).get(name)
        if is_number(value) and value < 1:
            yield {"name": snake(name)}


def _stops_many(asked: Asked) -> Iterator[Breach]:
    stops = config(asked).get("stopSequences")
    if isinstance(stops, list) and len(stops) > MAX_STOPS:
        yield {"most": MAX_STOPS, "found": len(stops)}


def _schemas(asked: Asked) -> list[str]:
    return [key for key in ("responseSchema", "responseJsonSchema") if key in config(asked)]


def _two_schemas(asked: Asked) -> Iterator[Breach]:
    if len(_schemas(asked)) > 1:
        yield {}


def _schema_without_type(asked: Asked) -> Iterator[Breach]:
    if _schemas(asked) and config(asked).get("responseMimeType", "text/plain") == "text/plain":
        yield {}


def _cached(asked: Asked) -> Iterator[Breach]:
    body = top(asked)
    if body.get("cachedContent") and any(body.get(key) for key in ("systemInstruction", "tools", "toolConfig")):
        yield {}


RULES: tuple[Rule, ...] = (
    Rule(
        id="key-missing",
        says="Requests must have an API key, in a header or in the query.",
        source=KEYS,
        check=_key_missing,
        message="Method doesn't allow unregistered callers (callers without established identity). Please use API "
        "Key or "
        "other form of API consumer identity to call this API.",
        status=403,
        kind="permission",
        on=EVERYWHERE,
    ),
    Rule(
        id="key-wrong",
        says="400 INVALID_ARGUMENT with the reason API_KEY_INVALID.",
        source=KEYS,
        check=_key_wrong,
        message="API key not valid. Please pass a valid API key.",
        code=KEY_INVALID,
        kind="authentication",
        on=EVERYWHERE,
    ),
    Rule(
        id="model-unknown",
        says="404 NOT_FOUND: The requested resource wasn't found.",
        source=ERRORS,
        check=_model_unknown,
        message="models/{model} is not found for API version {version}, or is not supported for {method}. Call "
        "ListModels "
        "to see the list of available models and their supported methods.",
        status=404,
        kind="not_found",
        on=TOKENS,
    ),
    Rule(
        id="body-not-json",
        says="A body that is no message is refused.",
        source="https://protobuf.dev/programming-guides/json/",
        check=_not_an_object,
        message='Invalid JSON payload received. Unknown name "": Root element must be a message.',
        on=TOKENS,
    ),
    Rule(
        id="schema-violation",
        says="Unknown fields and values of another type are violations of the request's message; all are in one error.",
        source="https://cloud.google.com/apis/design/errors#error_payloads",
        check=_violations,
        message="{description}",
        param="{field}",
        on=TOKENS,
    ),
    Rule(
        id="contents-missing",
        says="contents: Required.",
        source="https://ai.google.dev/api/generate-content",
        check=_contents_missing,
        message=f"{REQUEST}.contents: contents is not specified\n",
    ),
    Rule(
        id="role-unknown",
        says="role: Optional. … Must be either 'user' or 'model'.",
        source=CONTENT,
        check=_role,
        message="Please use a valid role: user, model.",
    ),
    Rule(
        id="parts-empty",
        says="A content has at least one part.",
        source=CONTENT,
        check=_parts_empty,
        message=f"{REQUEST}.{{where}}.parts: contents.parts must not be empty.\n",
    ),
    Rule(
        id="part-empty",
        says="Union field data can be only one of the following.",
        source=PART,
        check=_part_empty,
        message=f"{REQUEST}.{{where}}.data: required oneof field 'data' must have one initialized field\n",
    ),
    Rule(
        id="name-empty",
        says="name: Required. The name of the function to call.",
        source="https://ai.google.dev/api/caching#FunctionCall",
        check=_name_empty,
        message=f"{REQUEST}.{{where}}.name: Name cannot be empty.\n",
    ),
    Rule(
        id="value-invalid",
        says="A value is none that its field takes.",
        source="https://protobuf.dev/programming-guides/json/",
        check=_malformed,
        message="Invalid value at '{path}': {reason}",
        param="{path}",
        own_words=True,
    ),
    Rule(
        id="range",
        says="temperature: Values can range from [0.0, 2.0].",
        source=CONFIG,
        check=_range,
        message=f"{REQUEST}.generation_config.{{name}}: {{name}} must be in the range [{{low}}.0, {{high}}.0].\n",
    ),
    Rule(
        id="not-positive",
        says="maxOutputTokens and topK are counts.",
        source=CONFIG,
        check=_not_positive,
        message=f"{REQUEST}.generation_config.{{name}}: {{name}} must be positive.\n",
    ),
    Rule(
        id="stops-many",
        says="The set of character sequences (up to 5) that will stop output generation.",
        source=CONFIG,
        check=_stops_many,
        message=f"{REQUEST}.generation_config.stop_sequences: at most {{most}} stop sequences are allowed, found "
        "{found}.\n",
        own_words=True,
    ),
    Rule(
        id="schemas-two",
        says="responseJsonSchema: … responseSchema must be omitted.",
        source=CONFIG,
        check=_two_schemas,
        message=f"{REQUEST}.generation_config: only one of response_schema and response_json_schema may be set.\n",
        own_words=True,
    ),
    Rule(
        id="schema-without-type",
        says="responseSchema: … if set, a compatible responseMimeType must also be set.",
        source=CONFIG,
        check=_schema_without_type,
        message=f"{REQUEST}.generation_config.response_mime_type: when response schema is set, response mime type "
        f"must be "
        "`application/json`.\n",
    ),
    Rule(
        id="cache-beside-tools",
        says="CachedContent can not be used with GenerateContent request setting system_instruction, tools or "
        "tool_config.",
        source="https://github.com/vercel/ai/issues/3333",
        checked="2026-11-30",
        check=_cached,
        message="CachedContent can not be used with GenerateContent request setting system_instruction, tools or "
        "tool_config.\n\nProposed fix: move those values to CachedContent from GenerateContent request.",
    ),
)
"""Rules about fields, in the order in which the service checks them."""
