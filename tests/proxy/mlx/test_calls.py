"""Calls and forms hold whatever the model would rather say: its weights matter for their content, never their shape."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.errors import ClientError
from proxy.ir import Format, Reply, Sampling, Text, Thinking, Tool, ToolCall, ToolChoice

from .voice import WEATHER, asks, voice

CLOCK = Tool("clock", "The time of day.", {"type": "object", "properties": {}})
WILD = Sampling(temperature=2.0, seed=5)
"""So hot that the model by itself would say anything but JSON."""


def calls(reply: Reply) -> list[tuple[str, Any]]:
    return [(block.name, json.loads(block.arguments)) for block in reply.blocks if isinstance(block, ToolCall)]


async def test_auto_calls_where_a_tool_fits_and_talks_where_none_does() -> None:
    async with voice() as local:
        called = await local.reply(asks("What is the weather in Oslo?", tools=(WEATHER,)))
        assert (calls(called), called.stop) == ([("weather", {"city": "Oslo"})], "tool")
        talked = await local.reply(asks("Hello!", tools=(WEATHER,)))
        assert (calls(talked), talked.stop) == ([], "end")


async def test_several_calls_come_in_order_under_ids_of_their_own() -> None:
    async with voice() as local:
        reply = await local.reply(asks("What is the weather in Oslo and in Rome?", tools=(WEATHER,)))
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


@pytest.mark.parametrize("sampling", [Sampling(temperature=0.0), WILD], ids=["cold", "wild"])
@pytest.mark.parametrize(("choice", "parallel", "names", "many"), CHOICES.values(), ids=list(CHOICES))
async def test_tool_choice_is_kept(
    choice: ToolChoice | None, parallel: bool | None, names: set[str], many: range, sampling: Sampling
) -> None:
    async with voice() as local:
        for text in ("What is the weather in Oslo and in Rome?", "Call clock.", "Hello!"):
            reply = await local.reply(
                asks(text, tools=(WEATHER, CLOCK), tool_choice=choice, parallel=parallel, sampling=sampling)
            )
            made = calls(reply)
            if reply.stop == "length":
                continue
            assert len(made) in many
            assert {name for name, _ in made} <= names
            for name, given_ in made:
                jsonschema.validate(given_, (WEATHER if name == "weather" else CLOCK).parameters or {})


@pytest.mark.parametrize("most", range(1, 40, 3))
async def test_a_call_that_is_cut_off_was_never_made(most: int) -> None:
    async with voice() as local:
        request = asks("What is the weather in Oslo?", tools=(WEATHER,), max_tokens=most)
        reply = await local.reply(request)
        if reply.stop == "length":
            assert reply.blocks == ()
        else:
            assert calls(reply) == [("weather", {"city": "Oslo"})]


async def test_a_forced_call_may_be_thought_over_first() -> None:
    async with voice() as local:
        reply = await local.reply(
            asks(
                "What is the weather in Oslo?",
                tools=(WEATHER,),
                tool_choice=ToolChoice("required"),
                reasoning=Thinking(enabled=True),
            )
        )
        assert [type(block).__name__ for block in reply.blocks][:2] == ["Reasoning", "ToolCall"]


async def test_a_free_text_tool_gets_its_text() -> None:
    async with voice() as local:
        note = Tool("note", "Write something down.", kind="custom")
        reply = await local.reply(asks("Use note for fish.", tools=(note,), tool_choice=ToolChoice("required")))
        assert [(block.kind, block.arguments) for block in reply.blocks if isinstance(block, ToolCall)][:1] == [
            ("custom", "fish")
        ]


# ---- forms -----------------------------------------------------------------------------------------------------------

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


async def test_a_form_is_filled_in() -> None:
    async with voice() as local:
        reply = await local.reply(asks("The name is Ada and age is 36.", format=Format("json_schema", PERSON)))
        (block,) = reply.blocks
        assert isinstance(block, Text)
        filled = json.loads(block.text)
        jsonschema.validate(filled, PERSON)
        assert filled["age"] == 36


FORMS: dict[str, dict[str, Any]] = {
    "a reference to itself": {
        "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
        "$ref": "#/$defs/node",
    },
    "one of a few": {"type": "object", "properties": {"a": {"enum": ["x", 1, None]}}, "required": ["a"]},
    "nothing but a number": {"type": "number"},
    "a list of bounded length": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3},
    "either": {"anyOf": [{"type": "integer"}, {"type": "object", "properties": {"b": {"type": "null"}}}]},
}


@pytest.mark.parametrize("schema", FORMS.values(), ids=list(FORMS))
async def test_forms_hold(schema: dict[str, Any]) -> None:
    async with voice() as local:
        replies = await asyncio.gather(
            *[
                local.reply(
                    asks(
                        "Tell me.", format=Format("json_schema", schema), sampling=Sampling(2.0, seed=n), max_tokens=300
                    )
                )
                for n in range(6)
            ]
        )
        whole = [reply for reply in replies if reply.stop == "end"]
        assert whole
        for reply in whole:
            (block,) = reply.blocks
            assert isinstance(block, Text)
            jsonschema.validate(json.loads(block.text), schema)


async def test_some_json_is_some_object() -> None:
    async with voice() as local:
        reply = await local.reply(asks("Answer in JSON: whales", format=Format("json_object")))
        assert isinstance(json.loads("".join(b.text for b in reply.blocks if isinstance(b, Text))), dict)


async def test_a_form_and_a_tool_leave_the_choice_between_them() -> None:
    async with voice() as local:
        replies = [
            await local.reply(
                asks(
                    "What is the weather in Oslo?",
                    tools=(WEATHER,),
                    format=Format("json_schema", PERSON),
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


# ---- what no grammar can hold ----------------------------------------------------------------------------------------

IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "a key that is not known": (
        {"type": "object", "properties": {"x": {"type": "array", "uniqueItems": True}}},
        "unique",
    ),
    "a negation": ({"type": "object", "properties": {"x": {"not": {"type": "string"}}}}, "not"),
    "no object": ({"type": "string"}, "parameters.type must be object"),
    "a reference to nowhere": ({"type": "object", "properties": {"x": {"$ref": "#/$defs/no"}}}, "/\\$defs/no"),
    "a type that there is not": ({"type": "object", "properties": {"x": {"type": "objekt"}}}, "objekt"),
    "a pattern that is none": ({"type": "object", "properties": {"x": {"type": "string", "pattern": "("}}}, "regex"),
    "a reference by address": (
        {"type": "object", "properties": {"x": {"$ref": "http://127.0.0.1:1/x.json"}}},
        "127.0.0.1",
    ),
}


@pytest.mark.parametrize(("schema", "what"), IMPOSSIBLE.values(), ids=list(IMPOSSIBLE))
async def test_a_tool_that_cannot_be_held_is_refused_by_name_and_key(schema: dict[str, Any], what: str) -> None:
    async with voice() as local:
        with pytest.raises(ClientError, match=f"'bad'.*{what}") as caught:
            await local.reply(asks("Hi", tools=(WEATHER, Tool("bad", None, schema))))
        assert (caught.value.failure.status, caught.value.failure.param) == (400, "tools")


async def test_a_form_that_cannot_be_held_is_refused() -> None:
    async with voice() as local:
        with pytest.raises(ClientError, match=r"the schema of the answer: .*not") as caught:
            await local.reply(asks("Hi", format=Format("json_schema", {"not": {}})))
        assert caught.value.failure.param == "format"


# ---- any schema of the supported kind --------------------------------------------------------------------------------

names = st.text(alphabet='abcdefghij_-é$ "\\/', min_size=1, max_size=8)
leaves = st.one_of(
    st.sampled_from(({"type": "string", "maxLength": 6}, {"type": "boolean"}, {"type": "null"})),
    st.builds(lambda least, more: {"type": "integer", "minimum": least, "maximum": least + more},
              st.integers(-50, 50), st.integers(0, 60)),
    st.lists(st.sampled_from(["red", "a b", 'q"', 3, 2.5, True, None]), min_size=1, max_size=3,
             unique_by=repr).map(lambda values: {"enum": values}),
    st.sampled_from(("x", 7, None)).map(lambda value: {"const": value}),
)  # fmt: skip


def wider(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects and short lists of schemas, and a choice between two of them."""
    return st.one_of(objects(inner), st.builds(listed, inner), st.lists(inner, min_size=1, max_size=2).map(either))


def listed(inner: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": inner, "maxItems": 2}


def either(inner: list[dict[str, Any]]) -> dict[str, Any]:
    return {"anyOf": inner}


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def built(properties: dict[str, Any], required: list[bool]) -> dict[str, Any]:
        must = [key for key, is_required in zip(properties, required, strict=False) if is_required]
        return {"type": "object", "properties": properties, "required": must}

    return st.builds(built, st.dictionaries(names, inner, max_size=3), st.lists(st.booleans(), max_size=3))


schemas = objects(st.recursive(leaves, wider, max_leaves=4))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(tools=st.dictionaries(names, schemas, min_size=1, max_size=3), wild=st.booleans())
def test_whatever_the_schema_a_call_fits_it(tools: dict[str, dict[str, Any]], wild: bool) -> None:
    async def ask() -> None:
        async with voice() as local:
            offered = tuple(Tool(name, None, schema) for name, schema in tools.items())
            sampling = WILD if wild else Sampling(temperature=0.0)
            request = asks(
                "Call.", tools=offered, tool_choice=ToolChoice("required"), sampling=sampling, max_tokens=400
            )
            reply = await local.reply(request)
            assert reply.stop in ("tool", "length")
            for name, given_ in calls(reply):
                jsonschema.validate(given_, tools[name])

    asyncio.run(ask())
