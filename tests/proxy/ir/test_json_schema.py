"""Tests of fitting schemas to targets: a table of what each row changes, and that every schema is taken in the end.

The mock's validators refuse what the vendors refuse, and know nothing of the converter.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.scenarios.provider import Auth
from crosswire.mockserver.scenarios.provider import Provider as Played
from crosswire.proxy.ir import Request, ResponseFormat, Text, Tool, Turn
from crosswire.proxy.ir.json_schema import SchemaRules, fit_schema, is_convertible, is_recursive
from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.protocols.protocol import UpstreamTarget
from crosswire.proxy.protocols.schema_targets import (
    ANTHROPIC_FUNCTION,
    ANTHROPIC_STRICT,
    GEMINI_FUNCTION,
    OPENAI_FUNCTION,
    OPENAI_STRICT,
)
from crosswire.proxy.wire import json_fields

STRING = {"type": "string"}
A = {"type": "object", "properties": {"a": STRING}, "required": ["a"]}
B = {"type": "object", "properties": {"b": STRING, "a": {"type": "integer"}}, "required": ["a", "b"]}
TREE = {"$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}}, "$ref": "#/$defs/node"}

CASES: dict[str, tuple[SchemaRules, dict[str, Any], dict[str, Any], list[str]]] = {
    "no properties": (OPENAI_FUNCTION, {"type": "object"}, {"type": "object", "properties": {}}, []),
    "no type": (ANTHROPIC_FUNCTION, {"properties": {}}, {"type": "object", "properties": {}}, []),
    "nothing": (GEMINI_FUNCTION, {}, {"type": "object", "properties": {}}, []),
    "an array without items": (
        OPENAI_FUNCTION,
        {"type": "object", "properties": {"a": {"type": "array"}}},
        {"type": "object", "properties": {"a": {"type": "array", "items": {}}}},
        [],
    ),
    "a union on top": (
        ANTHROPIC_FUNCTION,
        {"type": "object", "properties": {"c": STRING}, "required": ["c"], "anyOf": [A, B]},
        {
            "type": "object",
            "properties": {"c": STRING, "a": {"anyOf": [STRING, {"type": "integer"}]}, "b": STRING},
            "required": ["c", "a"],
        },
        [".anyOf"],
    ),
    "all of several on top": (
        OPENAI_FUNCTION,
        {"allOf": [A, {"$ref": "#/$defs/x"}], "$defs": {"x": {"properties": {"d": STRING}, "required": ["d"]}}},
        {
            "type": "object",
            "properties": {"a": STRING, "d": STRING},
            "required": ["a", "d"],
            "$defs": {"x": {"properties": {"d": STRING}, "required": ["d"]}},
        },
        [".allOf"],
    ),
    "which of two is required": (
        ANTHROPIC_FUNCTION,
        {"type": "object", "properties": {"a": STRING}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"type": "object", "properties": {"a": STRING}},
        [".oneOf"],
    ),
    "a reference on top": (
        OPENAI_FUNCTION,
        TREE,
        {"$defs": TREE["$defs"], "type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}},
        [],
    ),
    "an object or null": (
        OPENAI_FUNCTION, {"type": ["object", "null"]}, {"type": "object", "properties": {}}, [".type"],
    ),
    "no object": (
        OPENAI_FUNCTION,
        STRING,
        {"type": "object", "properties": {"input": STRING}, "required": ["input"]},
        [".type"],
    ),
    "a reference to nothing": (
        ANTHROPIC_FUNCTION,
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/x", "description": "d"}}},
        {"type": "object", "properties": {"a": {"description": "d"}}},
        [".properties.a.$ref"],
    ),
    "what stands beside a reference": (
        GEMINI_FUNCTION,
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/x", "description": "d"}}, "$defs": {"x": STRING}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": STRING}},
        [".properties.a.description"],
    ),
    "a default": (
        OPENAI_STRICT,
        {"type": "object", "properties": {"a": {"type": "string", "default": "x"}, "default": STRING}},
        {"type": "object", "properties": {"a": STRING, "default": STRING}},
        [".properties.a.default"],
    ),
    "one of": (OPENAI_STRICT, {"oneOf": [STRING]}, {"anyOf": [STRING]}, [".oneOf"]),
    "an open object": (
        ANTHROPIC_STRICT,
        {"type": "object", "properties": {"minimum": {"type": "integer", "minimum": 1}}},
        {"type": "object", "properties": {"minimum": {"type": "integer"}}, "additionalProperties": False},
        [".properties.minimum.minimum", ".additionalProperties"],
    ),
    "a list of two": (
        ANTHROPIC_STRICT,
        {"type": "array", "items": STRING, "minItems": 2},
        {"type": "array", "items": STRING},
        [".minItems"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rules", "schema", "expected", "changed"), CASES.values(), ids=CASES)
def test_a_schema_is_fitted(
    rules: SchemaRules, schema: dict[str, Any], expected: dict[str, Any], changed: list[str]
) -> None:
    before = json.dumps(schema)
    assert fit_schema(schema, rules) == (expected, changed)
    assert json.dumps(schema) == before


@pytest.mark.parametrize(
    ("schema", "recursive"),
    [
        (TREE, True),
        ({"properties": {"a": {"$ref": "#"}}}, True),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"items": {"$ref": "#/$defs/a"}}}}, True),
        ({"$defs": {"a": STRING}, "properties": {"x": {"$ref": "#/$defs/a"}, "y": {"$ref": "#/$defs/a"}}}, False),
    ],
)
def test_cycles_of_references(schema: dict[str, Any], recursive: bool) -> None:
    assert is_recursive(schema) is recursive
    assert is_convertible(schema, ANTHROPIC_STRICT) is not recursive
    assert is_convertible(schema, OPENAI_STRICT)


# ---- any schema is taken ---------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "default", "type"])
REFERENCES = st.sampled_from(["#", "#/$defs/a", "#/$defs/b", "#/$defs/missing", "#/properties/a"])
LEAVES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["string", "integer", "number", "boolean", "null", ["string", "null"]])},
        optional={
            "description": st.just("d"),
            "default": st.just("x"),
            "enum": st.just(["x", "y"]),
            "minimum": st.just(1),
            "maxLength": st.just(5),
        },
    ),
    st.builds(lambda name: {"$ref": name}, REFERENCES),
    st.builds(lambda name: {"$ref": name, "description": "d"}, REFERENCES),
)


def containers(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    union = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from(["object", ["object", "null"]]),
                "properties": st.dictionaries(NAMES, inner, max_size=3),
                "required": st.lists(NAMES, unique=True, max_size=2),
                "additionalProperties": st.one_of(st.booleans(), inner),
                **dict.fromkeys(("anyOf", "oneOf", "allOf"), union),
            },
        ),
        st.fixed_dictionaries(
            {"type": st.just("array")},
            optional={"items": inner, "minItems": st.integers(0, 3), "uniqueItems": st.just(True)},
        ),
        st.builds(lambda key, schemas: {key: schemas}, st.sampled_from(["anyOf", "oneOf", "allOf"]), union),
        st.builds(lambda schema: {"not": schema}, inner),
    )


ANY = st.recursive(LEAVES, containers, max_leaves=8)
SCHEMAS = st.builds(
    lambda schema, definitions: {**schema, **({"$defs": definitions} if definitions else {})},
    ANY,
    st.dictionaries(st.sampled_from(["a", "b"]), ANY, max_size=2),
)

MODELS = {
    "openai-chat": "gpt-4.1",
    "openai-responses": "gpt-4.1",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-3-pro-preview",
    "ollama": "llama3.2",
}
PATHS = {
    "openai-chat": "/v1/chat/completions",
    "openai-responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/gemini-3-pro-preview:generateContent",
    "ollama": "/api/chat",
}
HEADERS = {
    "authorization": "Bearer k",
    "x-api-key": "k",
    "anthropic-version": "2023-06-01",
    "x-goog-api-key": "k",
}
AUTH = {"anthropic": "x-api-key", "gemini": "x-goog-api-key"}


def refusal(target: str, request: Request) -> tuple[str | None, dict[str, Any], set[str]]:
    """The mock's refusal of the encoded request, its body, and the features that were lost."""
    sent = PROTOCOLS[target].encode_request(request, UpstreamTarget(MODELS[target], target))
    body = json.loads(json_fields.encode(sent.payload))
    played = Played(
        name=target, protocol=target, base_path="", models={}, auth=Auth(AUTH.get(target, "authorization"), "k")
    )
    failure = MOCK_PROTOCOLS[target].validate_request(PATHS[target], HEADERS, body, played)
    assert all(loss.path.startswith(("tools[0]", "format")) for loss in sent.losses)
    return (None if failure is None else failure.message), body, {loss.feature for loss in sent.losses}


def asked(**fields: Any) -> Request:
    return Request(protocol="x", model="m", turns=(Turn("user", (Text("hi json"),)),), **fields)


@pytest.mark.parametrize("target", MODELS)
@settings(max_examples=60, deadline=None)
@given(schema=SCHEMAS, strict=st.sampled_from([None, False, True]))
def test_every_target_takes_any_schema_of_a_tool(target: str, schema: dict[str, Any], strict: bool | None) -> None:
    refused, body, _ = refusal(target, asked(tools=(Tool("f", "d", schema, strict),)))
    assert refused is None, (refused, body)
    (sent,) = parameters_of(body)
    assert sent["type"] == "object"
    assert type(sent["properties"]) is dict
    if target != "gemini":
        assert sent.keys().isdisjoint(("anyOf", "oneOf", "allOf"))


def parameters_of(body: Any) -> list[dict[str, Any]]:
    """The schemas of the functions in a body, wherever its protocol has them."""
    keys = ("parameters", "input_schema", "parametersJsonSchema")
    tools = body["tools"]
    tools = [inner for tool in tools for inner in tool.get("functionDeclarations", [tool])]
    found = [tool.get("function", tool) for tool in tools]
    return [tool[key] for tool in found for key in keys if key in tool]


@pytest.mark.parametrize("target", MODELS)
@settings(max_examples=60, deadline=None)
@given(schema=SCHEMAS, strict=st.sampled_from([None, True]))
def test_every_target_takes_any_schema_of_an_answer(target: str, schema: dict[str, Any], strict: bool | None) -> None:
    refused, body, _ = refusal(target, asked(format=ResponseFormat("json_schema", schema, "answer", strict=strict)))
    assert refused is None, (refused, body)


CLOSED = st.dictionaries(st.sampled_from(["a", "b"]), st.just(STRING), max_size=2).map(
    lambda fields: {
        "type": "object", "properties": fields, "required": sorted(fields), "additionalProperties": False,
    }
)  # fmt: skip


@pytest.mark.parametrize("target", [name for name in MODELS if name not in ("gemini", "ollama")])
@given(schema=CLOSED)
def test_a_schema_that_is_taken_as_it_is_loses_nothing(target: str, schema: dict[str, Any]) -> None:
    _, body, lost = refusal(target, asked(tools=(Tool("f", None, schema, True),)))
    assert (parameters_of(body), lost) == ([schema], set())
