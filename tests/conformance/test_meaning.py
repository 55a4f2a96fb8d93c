"""The referee's comparison of tools, calls, results and media: an honest proxy passes, and every lie has its word."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from conformance.meaning import WRONG, places_differ, reply_differences, request_differences, same_reply
from conformance.naming import names_of
from mockserver.dialects import DIALECTS
from mockserver.dialects.contract import Heard, Understood
from mockserver.speech import (
    Allowed,
    Call,
    Cite,
    Document,
    Format,
    Grammar,
    Image,
    Named,
    Result,
    Text,
    Tool,
    Turn,
    Usage,
)

CHAT, RESPONSES, ANTHROPIC, GEMINI, OLLAMA = (
    DIALECTS[name] for name in ("openai-chat", "openai-responses", "anthropic", "gemini", "ollama")
)

HI = Turn("user", (Text("hi"),))
PLAYED = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


def words(said: Understood, front: Any, arrived: Understood, back: Any) -> list[str]:
    return sorted({difference.word for difference in request_differences(said, front, arrived, back)})


def asked(*turns: Turn, tools: tuple[Tool, ...] = (), choice: Any = None) -> Understood:
    return Understood(model="m", turns=turns or (HI,), tools=tools, tool_choice=choice)


# ---- tools -----------------------------------------------------------------------------------------------------------

PATCH = Tool("patch", "Patch.", kind="custom", grammar=Grammar("regex", "a+"))
GROUPED = (Tool("read"), Tool("read", namespace="fs"))
THREE = (Tool("a"), Tool("b"), Tool("c"))

TOOLS: dict[str, tuple[tuple[Tool, ...], Any, tuple[Tool, ...], Any, list[str]]] = {
    "the same": ((Tool("a", "x"),), CHAT, (Tool("a", "x"),), ANTHROPIC, []),
    "a forbidden name made to fit": ((Tool("a.b", "x"),), CHAT, (Tool("a_b", "x"),), ANTHROPIC, []),
    "a forbidden name sent all the same": ((Tool("a.b"),), CHAT, (Tool("a.b"),), ANTHROPIC, [WRONG]),
    "a name changed without need": ((Tool("a.b"),), CHAT, (Tool("a_b"),), OLLAMA, [WRONG]),
    "two under one name": ((Tool("a.b"), Tool("a:b")), CHAT, (Tool("a_b"), Tool("a_b")), ANTHROPIC, [WRONG]),
    "two names swapped": (
        (Tool("a.b", "x"), Tool("a:b", "y")), CHAT, (Tool("a_b", "y"), Tool("a_b_1", "x")), ANTHROPIC, [WRONG],
    ),
    "a description lost": ((Tool("a", "x"),), CHAT, (Tool("a"),), ANTHROPIC, [WRONG]),
    "a tool lost": (THREE, CHAT, THREE[:2], ANTHROPIC, [WRONG]),
    "a group flattened": (GROUPED, RESPONSES, (Tool("read"), Tool("fs__read")), CHAT, []),
    "a group forgotten": (GROUPED, RESPONSES, (Tool("read"), Tool("read_2")), CHAT, [WRONG]),
    "free text kept": ((PATCH,), RESPONSES, (PATCH,), CHAT, []),
    "its grammar lost": ((PATCH,), RESPONSES, (replace(PATCH, grammar=None),), CHAT, [WRONG]),
    "free text played by a function": (
        (PATCH,), RESPONSES, (Tool("patch", "Patch.", PLAYED),), GEMINI, ["custom_tool"],
    ),
    "free text played by any function": ((PATCH,), RESPONSES, (Tool("patch", "Patch."),), GEMINI, [WRONG]),
    "strictness lost": ((Tool("a", strict=True),), CHAT, (Tool("a"),), GEMINI, ["tool_strict"]),
}  # fmt: skip


@pytest.mark.parametrize("name", TOOLS)
def test_tools_are_compared(name: str) -> None:
    said, front, arrived, back, expected = TOOLS[name]
    assert words(asked(tools=said), front, asked(tools=arrived), back) == expected


CHOICES: dict[str, tuple[Any, tuple[Tool, ...], Any, list[str]]] = {
    "kept": (Allowed(("a", "b")), THREE, Allowed(("a", "b")), []),
    "the others not offered": (Allowed(("a", "b")), THREE[:2], None, ["allowed_tools"]),
    "one of them must be called": (Allowed(("a", "b"), "required"), THREE[:2], "required", ["allowed_tools"]),
    "that one must be called is lost": (
        Allowed(("a", "b"), "required"), THREE[:2], None, ["allowed_tools", "tool_choice"],
    ),
    "the wrong ones offered": (Allowed(("a", "b")), THREE[1:], None, [WRONG]),
    "another subset": (Allowed(("a", "b")), THREE, Allowed(("a", "c")), ["tool_choice"]),
    "forgotten": (Allowed(("a", "b")), THREE, None, ["tool_choice"]),
    "one name, offered alone": (Named("a"), THREE[:1], None, ["tool_choice"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CHOICES)
def test_choices_are_compared(name: str) -> None:
    said, tools, arrived, expected = CHOICES[name]
    assert words(asked(tools=THREE, choice=said), CHAT, asked(tools=tools, choice=arrived), GEMINI) == expected


# ---- calls and results -----------------------------------------------------------------------------------------------


def history(call: Call, result: Result) -> Understood:
    return asked(HI, Turn("assistant", (call,)), Turn("user", (result,)))


LONG = "call_" + "0123456789" * 5
DONE = (Text("done"),)
PICTURE = Image("image/png", "QQ==")

CALLS: dict[str, tuple[Understood, Any, Understood, Any, list[str]]] = {
    "an id that fits is kept": (
        history(Call("c1", "f", "{}"), Result("c1", DONE)), CHAT,
        history(Call("c2", "f", "{}"), Result("c2", DONE)), ANTHROPIC, [WRONG],
    ),
    "an id that is forbidden is made anew": (
        history(Call("a/b", "f", "{}"), Result("a/b", DONE)), CHAT,
        history(Call("a_b", "f", "{}"), Result("a_b", DONE)), ANTHROPIC, [],
    ),
    "an id that is too long is made anew": (
        history(Call(LONG, "f", "{}"), Result(LONG, DONE)), RESPONSES,
        history(Call("c1", "f", "{}"), Result("c1", DONE)), CHAT, [],
    ),
    "but kept where it is not": (
        history(Call(LONG, "f", "{}"), Result(LONG, DONE)), CHAT,
        history(Call("c1", "f", "{}"), Result("c1", DONE)), RESPONSES, [WRONG],
    ),
    "free text as the one argument": (
        history(Call("c1", "f", "a\n", kind="custom"), Result("c1", DONE)), RESPONSES,
        history(Call("c1", "f", '{"input":"a\\n"}'), Result("c1", DONE)), ANTHROPIC, [],
    ),
    "free text changed": (
        history(Call("c1", "f", "a\n", kind="custom"), Result("c1", DONE)), RESPONSES,
        history(Call("c1", "f", '{"input":"a"}'), Result("c1", DONE)), ANTHROPIC, [WRONG],
    ),
    "a result's picture behind it": (
        history(Call("c1", "f", "{}"), Result("c1", (Text("see"), PICTURE))), ANTHROPIC,
        asked(HI, Turn("assistant", (Call("c1", "f", "{}"),)), Turn("user", (Result("c1", (Text("see"),)), PICTURE))),
        CHAT, ["tool_result_media"],
    ),
    "a result's picture nowhere": (
        history(Call("c1", "f", "{}"), Result("c1", (Text("see"), PICTURE))), ANTHROPIC,
        history(Call("c1", "f", "{}"), Result("c1", (Text("see"),))), CHAT, ["tool_result_media"],
    ),
    "a picture in a result's place": (
        history(Call("c1", "f", "{}"), Result("c1", (PICTURE,))), ANTHROPIC,
        history(Call("c1", "f", "{}"), Result("c1", (Image("image/png", "QUE="),))), GEMINI, ["tool_result_media"],
    ),
    "an orphan left out": (
        asked(HI, Turn("assistant", (Text("a"), Call("c1", "f", "{}")))), CHAT,
        asked(HI, Turn("assistant", (Text("a"),))), ANTHROPIC, ["orphan"],
    ),
    "a call left out that was answered": (
        history(Call("c1", "f", "{}"), Result("c1", DONE)), CHAT, asked(HI), ANTHROPIC, [WRONG],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_calls_and_results_are_compared(name: str) -> None:
    said, front, arrived, back, expected = CALLS[name]
    assert words(said, front, arrived, back) == expected


def test_a_call_is_told_under_the_clients_own_name() -> None:
    tools = (Tool("a.b"), Tool("patch", kind="custom"), Tool("read", namespace="fs"))
    said = asked(tools=tools)
    names = names_of(said, asked(tools=(Tool("a_b"), Tool("patch", None, PLAYED), Tool("fs__read"))))
    upstream = Heard(
        blocks=(Call("1", "a_b", "{}"), Call("2", "patch", '{"input":"+"}'), Call("3", "fs__read", "{}")), stop="tool"
    )
    own = (Call("1", "a.b", "{}"), Call("2", "patch", "+", kind="custom"), Call("3", "read", "{}", namespace="fs"))
    told = Heard(blocks=own, stop="tool")
    assert reply_differences(upstream, ANTHROPIC, told, RESPONSES, names, tools) == []
    for at in range(3):
        lie = replace(told, blocks=(*own[:at], upstream.blocks[at], *own[at + 1 :]))
        found = reply_differences(upstream, ANTHROPIC, lie, RESPONSES, names, tools)
        assert [difference.word for difference in found] == [WRONG]


def test_a_text_that_is_no_json_may_be_streamed_and_wrapped() -> None:
    streamed, whole = (Heard(blocks=(Call("1", "f", text),), stop="tool") for text in ("oops", '{"input": "oops"}'))
    assert same_reply(streamed, whole) == []
    other = Heard(blocks=(Call("1", "f", '{"input": "{}"}'),), stop="tool")
    assert same_reply(other, Heard(blocks=(Call("1", "f", "{}"),), stop="tool")) != []


# ---- media -----------------------------------------------------------------------------------------------------------

PDF = Document("application/pdf", "JVBE", name="a.pdf")

MEDIA: dict[str, tuple[tuple[Any, ...], tuple[Any, ...], Any, list[str]]] = {
    "in their order": ((Text("a"), PICTURE, Text("b")), (Text("a"), PICTURE, Text("b")), ANTHROPIC, []),
    "out of their order": ((Text("a"), PICTURE, Text("b")), (PICTURE, Text("a"), Text("b")), ANTHROPIC, [WRONG]),
    "where there is no order": ((Text("a"), PICTURE, Text("b")), (Text("ab"), PICTURE), OLLAMA, []),
    "other bytes": ((PICTURE,), (Image("image/png", "QUE="),), ANTHROPIC, ["image"]),
    "a document without its name": ((PDF,), (replace(PDF, name=None),), GEMINI, ["name"]),
    "a document that is given a name": ((replace(PDF, name=None),), (PDF,), CHAT, []),
    "a document lost": ((Text("a"), PDF), (Text("a"),), CHAT, ["document"]),
}


@pytest.mark.parametrize("name", MEDIA)
def test_media_are_compared(name: str) -> None:
    said, arrived, back, expected = MEDIA[name]
    assert words(asked(Turn("user", said)), RESPONSES, asked(Turn("user", arrived)), back) == expected


def test_places_are_compared_on_their_own() -> None:
    one, other = asked(Turn("user", (Text("a"), PICTURE, Text("b")))), asked(Turn("user", (Text("ab"), PICTURE)))
    assert places_differ(one, other)
    assert not places_differ(one, one)


# ---- what is said beside the text ------------------------------------------------------------------------------------

HERE = Cite("https://a.example", "A", None, "a hundred metres")
HI_SAID = Heard(blocks=(Text("It is a hundred metres tall."),), stop="end", usage=Usage(7, 5, 80, None, 3))

BESIDE: dict[str, tuple[dict[str, Any], dict[str, Any], Any, list[str]]] = {
    "nothing": ({}, {}, CHAT, []),
    "a source": ({"cites": (HERE,)}, {"cites": (HERE,)}, CHAT, []),
    "a source that is gone": ({"cites": (HERE,)}, {}, CHAT, ["citations"]),
    "a source of another stretch": (
        {"cites": (HERE,)},
        {"cites": (replace(HERE, stretch="metres"),)},
        ANTHROPIC,
        ["citations"],
    ),
    "a source that nobody named": ({}, {"cites": (HERE,)}, CHAT, [WRONG]),
    "a source with another title": ({"cites": (HERE,)}, {"cites": (replace(HERE, title="B"),)}, CHAT, [WRONG]),
    "a source without its own words": (
        {"cites": (replace(HERE, quote="100 m"),)},
        {"cites": (HERE,)},
        GEMINI,
        ["citations"],
    ),
    "one answer of three": ({"others": 2}, {}, CHAT, ["n"]),
    "no probabilities": ({"tokens": 4}, {}, CHAT, ["logprobs"]),
    "a picture that is gone": (
        {"blocks": (*HI_SAID.blocks, Image("image/png", "QQ=="))},
        {},
        GEMINI,
        ["media_out"],
    ),
    "a pause": ({"stop": "pause"}, {"stop": "end"}, CHAT, ["stop_reason"]),
    "no word of the cache": ({}, {"usage": Usage(87, 5, None, None, 3)}, CHAT, [WRONG]),
    "no word of the cache, where there is none": ({}, {"usage": Usage(87, 5)}, OLLAMA, []),
    "no word of thinking": ({}, {"usage": Usage(7, 5, 80)}, GEMINI, [WRONG]),
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_stands_beside_the_text_is_compared(name: str) -> None:
    said, arrived, front, wanted = BESIDE[name]
    found = reply_differences(replace(HI_SAID, **said), RESPONSES, replace(HI_SAID, **arrived), front)
    assert [difference.word for difference in found] == wanted


def test_a_stream_that_forgets_a_source_is_not_its_body() -> None:
    (told,) = same_reply(HI_SAID, replace(HI_SAID, cites=(HERE,)))
    assert told.startswith("citations: ")


@pytest.mark.parametrize(
    ("system", "form", "wanted"),
    [
        (("Answer in JSON.",), Format(), ["json_object"]),
        (("Answer in JSON.",), None, ["json_object"]),
        (("Be brief.",), Format(), [WRONG, WRONG]),
        ((), Format(), []),
    ],
)
def test_a_format_that_is_asked_for_in_words(system: tuple[str, ...], form: Format | None, wanted: list[str]) -> None:
    said = replace(asked(), format=Format())
    assert words(said, GEMINI, replace(said, system=system, format=form), CHAT) == sorted(set(wanted))
