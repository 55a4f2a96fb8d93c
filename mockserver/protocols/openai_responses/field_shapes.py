"""Problems in the shape of the fields of the body, and the rules by the form of the service's message."""

from __future__ import annotations

from collections.abc import Iterator

from ..rule import TOKENS, Asked, Breach, Check, Rule
from .item_shapes import item_problems
from .shape_problems import Problem, has_type, missing, unknown, wrong_type, wrong_value
from .tables import ENUMS, FIELDS, INCLUDABLE, NESTED_FIELDS, RENAMED_FIELDS, TYPES
from .tool_shapes import format_problems, tool_problems

CREATE = "https://platform.openai.com/docs/api-reference/responses/create"


def field_problems(asked: Asked) -> Iterator[Problem]:
    """Yields the problems of the fields of the body; a null counts as absent for all but `model` and `input`."""
    body, counts = asked.body, asked.endpoint == "count"
    if "model" not in body and not counts:
        yield missing("model")
    elif "model" in body and not isinstance(body["model"], str):
        yield wrong_type("model", "a string", {} if body["model"] is None else body["model"])
    stored = any(body.get(key) for key in ("previous_response_id", "conversation", "prompt"))
    if "input" not in body and not stored and not counts:
        yield missing("input")
    for key in body:
        if key not in FIELDS and key not in RENAMED_FIELDS:
            yield unknown(key)
    for key, kinds, wanted in TYPES:
        if body.get(key) is not None and not has_type(body[key], kinds):
            yield wrong_type(key, wanted, body[key])
    include = body.get("include")
    for at, name in enumerate(include if isinstance(include, list) else []):
        if name not in INCLUDABLE:
            yield wrong_value(name, INCLUDABLE, f"include[{at}]")
    for parent, keys in NESTED_FIELDS:
        held = body.get(parent)
        for key in held if isinstance(held, dict) else ():
            if key not in keys:
                yield unknown(f"{parent}.{key}")
    for path, names in ENUMS:
        parent, _, key = path.rpartition(".")
        held = body.get(parent) if parent else body
        value = held.get(key) if isinstance(held, dict) else None
        if value is not None and value not in names:
            yield wrong_value(value, names, path)


def _problems(asked: Asked) -> Iterator[Problem]:
    for walk in (field_problems, item_problems, tool_problems, format_problems):
        yield from walk(asked)


def _of_form(form: str) -> Check:
    """Returns a check that yields the problems of one form."""

    def check(asked: Asked) -> Iterator[Breach]:
        return (breach for found, breach in _problems(asked) if found == form)

    return check


def _renamed(asked: Asked) -> Iterator[Breach]:
    for key in asked.body:
        if key in RENAMED_FIELDS:
            yield {"key": key, "path": RENAMED_FIELDS[key]}


RULES: tuple[Rule, ...] = (
    Rule(
        id="parameter-missing",
        says="A required parameter is missing.",
        source="https://github.com/mozilla-ai/any-llm/pull/1310",
        check=_of_form("missing"),
        message="Missing required parameter: '{where}'.",
        param="{where}",
        code="missing_required_parameter",
        on=TOKENS,
    ),
    Rule(
        id="type-wrong",
        says="A value has another type than the reference gives.",
        source=CREATE,
        check=_of_form("type"),
        message="Invalid type for '{where}': expected {wanted}, but got {found} instead.",
        param="{where}",
        code="invalid_type",
        on=TOKENS,
    ),
    Rule(
        id="value-unknown",
        says="A value is none of the reference's enum; the error lists the supported ones.",
        source="https://github.com/google/adk-go/issues/1197",
        check=_of_form("value"),
        message="Invalid value: '{found}'. Supported values are: {names}.",
        param="{where}",
        code="invalid_value",
        on=TOKENS,
    ),
    Rule(
        id="id-prefix",
        says="The error of an item whose id another service made.",
        source="https://github.com/openai/codex/issues/33176",
        check=_of_form("id"),
        message="Invalid '{where}': '{id}'. Expected an ID that begins with '{prefix}'.",
        param="{where}",
        code="invalid_value",
        on=TOKENS,
    ),
    Rule(
        id="string-empty",
        says="name and call_id have minLength 1.",
        source="https://github.com/openai/openai-openapi",
        check=_of_form("empty"),
        message="Invalid '{where}': empty string. Expected a string with minimum length 1, but got an empty string "
        "instead.",
        param="{where}",
        code="empty_string",
        on=TOKENS,
    ),
    Rule(
        id="string-long",
        says="name has maxLength 128, call_id maxLength 64.",
        source="https://github.com/AnswerDotAI/fastllm/issues/45",
        check=_of_form("long"),
        message="Invalid '{where}': string too long. Expected a string with maximum length {most}, but got a string "
        "with "
        "length {length} instead.",
        param="{where}",
        code="string_above_max_length",
        on=TOKENS,
    ),
    Rule(
        id="name-pattern",
        says='name has the pattern "^[a-zA-Z0-9_-]+$".',
        source="https://github.com/openai/openai-openapi",
        check=_of_form("pattern"),
        message="Invalid '{where}': string does not match pattern. Expected a string that matches the pattern "
        "'^[a-zA-Z0-9_-]+$'.",
        param="{where}",
        code="invalid_value",
        on=TOKENS,
    ),
    Rule(
        id="image-url",
        says="image_url: A fully qualified URL or base64 encoded image in a data URL.",
        source=CREATE,
        check=_of_form("url"),
        message="Invalid '{where}'. Expected a valid URL, but got a value with an invalid format.",
        param="{where}",
        code="invalid_value",
        on=TOKENS,
    ),
    Rule(
        id="field-renamed",
        says="messages is input, max_tokens max_output_tokens, response_format text.format, reasoning_effort "
        "reasoning.effort.",
        source="https://github.com/OpenHands/software-agent-sdk/issues/755",
        check=_renamed,
        message="Unsupported parameter: '{key}'. In the Responses API, this parameter has moved to '{path}'. Try again "
        "with the new parameter. See the API documentation for more information: "
        "https://platform.openai.com/docs/api-reference/responses/create.",
        code="unsupported_parameter",
        strict=True,
        on=TOKENS,
    ),
    Rule(
        id="field-unknown",
        says="A field that the reference does not list is refused.",
        source="https://github.com/openai/openai-python/issues/3008",
        check=_of_form("unknown"),
        message="Unknown parameter: '{where}'.",
        param="{where}",
        code="unknown_parameter",
        strict=True,
        on=TOKENS,
    ),
)
"""Rules about the shape of a request, by the form of their message."""
