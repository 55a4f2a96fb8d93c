"""Tool calls and structured answers always fit their schema, whatever the weights of the model prefer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crosswire.proxy.errors import ClientError
from crosswire.proxy.ir import ReasoningConfig, Reply, ResponseFormat, Sampling, Text, Tool, ToolCall, ToolChoice

from .local_model import WEATHER, local_model, make_request

CLOCK = Tool("clock", "The time of day.", {"type": "object", "properties": {}})
HOT_SAMPLING = Sampling(temperature=2.0, seed=5)
"""So hot that an unconstrained model would not write JSON."""


def calls(reply: Reply) -> list[tuple[str, Any]]:
    return [(block.name, json.loads(block.arguments)) for block in reply.blocks if isinstance(block, ToolCall)]


async def test_auto_calls_a_tool_only_if_one_fits() -> None:
    async with local_model() as local:
        called = await local.reply(make_request("What is the weather in Oslo?", tools=(WEATHER,)))
        assert (calls(called), called.stop) == ([("weather", {"city": "Oslo"})], "tool")
        talked = await local.reply(make_request("Hello!", tools=(WEATHER,)))
        assert (calls(talked), talked.stop) == ([], "end")


async def test_parallel_calls_are_in_order_with_distinct_ids() -> None:
    async with local_model() as local:
        reply = await local.reply(make_request("What is the weather in Oslo and in Rome?", tools=(WEATHER,)))
        assert calls(reply) == [("weather", {"city": "Oslo"}), ("weather", {"city": "Rome"})]
        assert len({block.id for block in reply.blocks if isinstance(block, ToolCall)}) == 2


CHOICES: dict[str, tuple[ToolChoice | None, bool | None, set[str], range]] = {
    "required": (ToolChoice("required"), None, {"weather", "clock"}, range(1, 50)),
    "required, one at a time": (ToolChoice("required"), False, {"weather", "clock"}, range(1, 2)),
    "named": (ToolChoice("named", ("clock",)), False, {"clock"}, range(1, 2)),
    "a subset must": (ToolChoice("required", ("clock",)), None, {"clock"}, range(1, 50)),
    "none": (ToolChoice("none"), None, set(), range(1)),
    "auto, one at a time": (ToolChoice("auto"), False, {"weather", "clock"}, range(2)),
    "a subset may": (ToolChoice("auto", ("clock",)), None, {"clock"}, range(50)),
}


@pytest.mark.parametrize("sampling", [Sampling(temperature=0.0), HOT_SAMPLING], ids=["cold", "hot"])
@pytest.mark.parametrize(("choice", "parallel", "names", "counts"), CHOICES.values(), ids=list(CHOICES))
async def test_tool_choice_is_obeyed(
    choice: ToolChoice | None, parallel: bool | None, names: set[str], counts: range, sampling: Sampling
) -> None:
    async with local_model() as local:
        for text in ("What is the weather in Oslo and in Rome?", "Call clock.", "Hello!"):
            reply = await local.reply(
                make_request(text, tools=(WEATHER, CLOCK), tool_choice=choice, parallel=parallel, sampling=sampling)
            )
            calls_made = calls(reply)
            if reply.stop == "length":
                continue
            assert len(calls_made) in counts
            assert {name for name, _ in calls_made} <= names
            for name, given_ in calls_made:
                jsonschema.validate(given_, (WEATHER if name == "weather" else CLOCK).parameters or {})


@pytest.mark.parametrize("max_tokens", range(1, 40, 3))
async def test_a_call_that_is_cut_off_is_dropped(max_tokens: int) -> None:
    async with local_model() as local:
        request = make_request("What is the weather in Oslo?", tools=(WEATHER,), max_tokens=max_tokens)
        reply = await local.reply(request)
        if reply.stop == "length":
            assert reply.blocks == ()
        else:
            assert calls(reply) == [("weather", {"city": "Oslo"})]


async def test_thinking_precedes_a_forced_call() -> None:
    async with local_model() as local:
        reply = await local.reply(
            make_request(
                "What is the weather in Oslo?",
                tools=(WEATHER,),
                tool_choice=ToolChoice("required"),
                reasoning=ReasoningConfig(enabled=True),
            )
        )
        assert [type(block).__name__ for block in reply.blocks][:2] == ["Reasoning", "ToolCall"]


async def test_a_custom_tool_gets_its_text() -> None:
    async with local_model() as local:
        note = Tool("note", "Write something down.", kind="custom")
        reply = await local.reply(make_request("Use note for fish.", tools=(note,), tool_choice=ToolChoice("required")))
        assert [(block.kind, block.arguments) for block in reply.blocks if isinstance(block, ToolCall)][:1] == [
            ("custom", "fish")
        ]


# ---- structured answers ----------------------------------------------------------------------------------------------

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


async def test_a_schema_gives_a_matching_answer() -> None:
    async with local_model() as local:
        form = ResponseFormat("json_schema", PERSON)
        reply = await local.reply(make_request("The name is Ada and age is 36.", format=form))
        (block,) = reply.blocks
        assert isinstance(block, Text)
        answer = json.loads(block.text)
        jsonschema.validate(answer, PERSON)
        assert answer["age"] == 36


SCHEMAS: dict[str, dict[str, Any]] = {
    "a recursive reference": {
        "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
        "$ref": "#/$defs/node",
    },
    "an enum": {"type": "object", "properties": {"a": {"enum": ["x", 1, None]}}, "required": ["a"]},
    "a number": {"type": "number"},
    "a list of bounded length": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3},
    "a union": {"anyOf": [{"type": "integer"}, {"type": "object", "properties": {"b": {"type": "null"}}}]},
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=list(SCHEMAS))
async def test_answers_fit_their_schema(schema: dict[str, Any]) -> None:
    async with local_model() as local:
        replies = await asyncio.gather(
            *[
                local.reply(
                    make_request(
                        "Tell me.",
                        format=ResponseFormat("json_schema", schema),
                        sampling=Sampling(2.0, seed=n),
                        max_tokens=300,
                    )
                )
                for n in range(6)
            ]
        )
        complete = [reply for reply in replies if reply.stop == "end"]
        assert complete
        for reply in complete:
            (block,) = reply.blocks
            assert isinstance(block, Text)
            jsonschema.validate(json.loads(block.text), schema)


async def test_json_object_format_gives_an_object() -> None:
    async with local_model() as local:
        reply = await local.reply(make_request("Answer in JSON: whales", format=ResponseFormat("json_object")))
        assert isinstance(json.loads("".join(b.text for b in reply.blocks if isinstance(b, Text))), dict)


async def test_with_a_schema_and_a_tool_the_model_chooses_one() -> None:
    async with local_model() as local:
        replies = [
            await local.reply(
                make_request(
                    "What is the weather in Oslo?",
                    tools=(WEATHER,),
                    format=ResponseFormat("json_schema", PERSON),
                    sampling=Sampling(2.0, seed=seed),
                )
            )
            for seed in range(8)
        ]
        for reply in replies:
            if reply.stop == "end":
                jsonschema.validate(json.loads("".join(b.text for b in reply.blocks if isinstance(b, Text))), PERSON)
            elif reply.stop == "tool":
                assert {name for name, _ in calls(reply)} == {"weather"}


# ---- unsupported schemas ---------------------------------------------------------------------------------------------

UNSUPPORTED: dict[str, tuple[dict[str, Any], str]] = {
    "an unsupported keyword": (
        {"type": "object", "properties": {"x": {"type": "array", "uniqueItems": True}}},
        "unique",
    ),
    "a negation": ({"type": "object", "properties": {"x": {"not": {"type": "string"}}}}, "not"),
    "no object": ({"type": "string"}, "parameters.type must be object"),
    "a dangling reference": ({"type": "object", "properties": {"x": {"$ref": "#/$defs/no"}}}, "/\\$defs/no"),
    "an unknown type": ({"type": "object", "properties": {"x": {"type": "objekt"}}}, "objekt"),
    "an invalid pattern": ({"type": "object", "properties": {"x": {"type": "string", "pattern": "("}}}, "regex"),
    "a reference by URL": (
        {"type": "object", "properties": {"x": {"$ref": "http://127.0.0.1:1/x.json"}}},
        "127.0.0.1",
    ),
}


@pytest.mark.parametrize(("schema", "what"), UNSUPPORTED.values(), ids=list(UNSUPPORTED))
async def test_an_unsupported_tool_schema_is_refused_with_tool_and_keyword(schema: dict[str, Any], what: str) -> None:
    async with local_model() as local:
        with pytest.raises(ClientError, match=f"'bad'.*{what}") as caught:
            await local.reply(make_request("Hi", tools=(WEATHER, Tool("bad", None, schema))))
        assert (caught.value.failure.status, caught.value.failure.param) == (400, "tools")


async def test_an_unsupported_answer_schema_is_refused() -> None:
    async with local_model() as local:
        with pytest.raises(ClientError, match=r"the schema of the answer: .*not") as caught:
            await local.reply(make_request("Hi", format=ResponseFormat("json_schema", {"not": {}})))
        assert caught.value.failure.param == "format"


# ---- random supported schemas ----------------------------------------------------------------------------------------

names = st.text(alphabet='abcdefghij_-é$ "\\/', min_size=1, max_size=8)
leaf_schemas = st.one_of(
    st.sampled_from(({"type": "string", "maxLength": 6}, {"type": "boolean"}, {"type": "null"})),
    st.builds(lambda least, more: {"type": "integer", "minimum": least, "maximum": least + more},
              st.integers(-50, 50), st.integers(0, 60)),
    st.lists(st.sampled_from(["red", "a b", 'q"', 3, 2.5, True, None]), min_size=1, max_size=3,
             unique_by=repr).map(lambda values: {"enum": values}),
    st.sampled_from(("x", 7, None)).map(lambda value: {"const": value}),
)  # fmt: skip


def compound_schemas(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Returns a strategy for objects, short lists and unions of schemas."""
    return st.one_of(objects(inner), st.builds(list_of, inner), st.lists(inner, min_size=1, max_size=2).map(any_of))


def list_of(inner: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": inner, "maxItems": 2}


def any_of(inner: list[dict[str, Any]]) -> dict[str, Any]:
    return {"anyOf": inner}


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def built(properties: dict[str, Any], required: list[bool]) -> dict[str, Any]:
        must = [key for key, is_required in zip(properties, required, strict=False) if is_required]
        return {"type": "object", "properties": properties, "required": must}

    return st.builds(built, st.dictionaries(names, inner, max_size=3), st.lists(st.booleans(), max_size=3))


schemas = objects(st.recursive(leaf_schemas, compound_schemas, max_leaves=4))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(tools=st.dictionaries(names, schemas, min_size=1, max_size=3), hot=st.booleans())
def test_a_call_fits_any_supported_schema(tools: dict[str, dict[str, Any]], hot: bool) -> None:
    async def run() -> None:
        async with local_model() as local:
            offered = tuple(Tool(name, None, schema) for name, schema in tools.items())
            sampling = HOT_SAMPLING if hot else Sampling(temperature=0.0)
            request = make_request(
                "Call.", tools=offered, tool_choice=ToolChoice("required"), sampling=sampling, max_tokens=400
            )
            reply = await local.reply(request)
            assert reply.stop in ("tool", "length")
            for name, given_ in calls(reply):
                jsonschema.validate(given_, tools[name])

    asyncio.run(run())
