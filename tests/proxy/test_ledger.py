"""The ledger: a closed vocabulary, and a walk that names everything a decoder left over, once, with its place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import ledger
from proxy.ir import (
    Block,
    Format,
    Image,
    Loss,
    Media,
    Opaque,
    Reply,
    Request,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    Turn,
)


def test_the_vocabulary_is_closed() -> None:
    assert set(ledger.WORDS.values()) <= set(ledger.LEDGER)
    assert {rule.action for rule in ledger.LEDGER.values()} <= {"refuse", "drop", "approximate"}
    assert all(rule.meaning for rule in ledger.LEDGER.values())


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("logprobs", "logprobs"),
        ("choices[0].logprobs", "logprobs"),
        ("options.num_ctx", "load_options"),
        ("options.min_p", "sampler"),
        ("repetition_penalty", "penalties"),
        ("cache_control", "cache_control"),
        ("safetySettings", "safety_settings"),
        ("thread", "previous_response_id"),
        ("made.up", "unknown_field"),
        ("", "unknown_field"),
    ],
)
def test_word(key: str, word: str) -> None:
    assert ledger.word(key) == word


HARMLESS: list[tuple[str, Any, bool]] = [
    ("anything", None, True),
    ("n", 1, True),
    ("n", 2, False),
    ("store", False, True),
    ("store", True, False),
    ("stream", False, True),
    ("logprobs", False, True),
    ("logprobs", True, False),
    ("choices[0].index", 0, True),
    ("choices[0].finish_details", {"type": "stop"}, False),
    ("options.num_predict", -1, True),
    ("options.num_ctx", 4096, False),
    ("keep_alive", "5m", False),
    ("provider", "OpenAI", True),
    ("provider", {"order": ["OpenAI"]}, False),
    ("system_fingerprint", "fp_1", True),
    ("truncation", "disabled", True),
    ("truncation", "auto", False),
    ("thread", {"type": "create"}, True),
    ("thread", {"type": "continue", "previous_message_id": "msg_1"}, False),
    ("made_up", False, False),
    ("made_up", [], False),
]


@pytest.mark.parametrize(("key", "value", "harmless"), HARMLESS)
def test_what_asks_for_nothing_special_is_no_loss(key: str, value: Any, harmless: bool) -> None:
    assert ledger.is_harmless(key, value) is harmless
    assert bool(list(ledger.leftovers({key: value}, "here"))) is not harmless


@pytest.mark.parametrize(
    ("feature", "how"), [("role", "approximated"), ("top_k", "dropped"), ("image", "dropped"), ("stop", "approximated")]
)
def test_a_loss_ends_as_the_table_says(feature: str, how: str) -> None:
    assert ledger.loss("here", feature).how == how


def test_an_unknown_word_cannot_be_declared() -> None:
    with pytest.raises(KeyError):
        ledger.loss("here", "made up")


def test_leftovers_of_a_request_have_their_places() -> None:
    request = Request(
        dialect="openai-chat",
        model="m",
        turns=(
            Turn("user", (Text("a", own={"cache_control": {}}), Image(Media(), {"detail": "high"})), {"name": "Ann"}),
            Turn("user", (ToolResult("c", (Text("b", own={"x": 1}),), own={"y": 2}), Opaque("openai-chat", "odd", {}))),
        ),
        tools=(Tool("t", own={"defer": True}), Opaque("openai-chat", "web_search", {})),
        tool_choice=ToolChoice("auto", own={"z": 1}),
        reasoning=Thinking(own={"exclude": True}),
        format=Format("text", own={"grammar": "g"}),
        own={"logit_bias": {"1": 2}, "n": 1, "metadata": {"a": "b"}},
    )
    assert ledger.request_leftovers(request) == [
        Loss("logit_bias", "logprobs", "dropped"),
        Loss("metadata", "metadata", "dropped"),
        Loss("turns[0].name", "name", "dropped"),
        Loss("turns[0].blocks[0].cache_control", "cache_control", "dropped"),
        Loss("turns[0].blocks[1].detail", "unknown_field", "dropped"),
        Loss("turns[1].blocks[0].y", "unknown_field", "dropped"),
        Loss("turns[1].blocks[0].blocks[0].x", "unknown_field", "dropped"),
        Loss("turns[1].blocks[1].odd", "hosted_output", "dropped"),
        Loss("tools[0].defer", "unknown_field", "dropped"),
        Loss("tools[1].web_search", "hosted_tools", "dropped"),
        Loss("tool_choice.z", "unknown_field", "dropped"),
        Loss("reasoning.exclude", "unknown_field", "dropped"),
        Loss("format.grammar", "unknown_field", "dropped"),
    ]


def test_leftovers_of_a_reply_have_their_places_in_body_and_stream() -> None:
    blocks: tuple[Block, ...] = (Text("a", own={"annotations": [1]}), Opaque("gemini", "executableCode", {}))
    reply = Reply(dialect="gemini", id=None, model=None, blocks=blocks, stop="end", own={"finishMessage": "f"})
    streamed = [loss for index, block in enumerate(blocks) for loss in ledger.block_leftovers(block, index)]
    assert streamed == [
        Loss("blocks[0].annotations", "citations", "dropped"),
        Loss("blocks[1].executableCode", "hosted_output", "dropped"),
    ]
    assert ledger.reply_leftovers(reply) == [Loss("finishMessage", "stop_details", "dropped"), *streamed]


def test_words_are_told_once_in_their_order() -> None:
    losses = [Loss("a", "top_k", "dropped"), Loss("b", "seed", "dropped"), Loss("c", "top_k", "dropped")]
    assert ledger.words(losses) == ["top_k", "seed"]


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.lists(st.integers()), max_size=4))
def test_law_every_leftover_is_named_or_harmless(own: dict[str, Any]) -> None:
    named = {loss.path for loss in ledger.leftovers(own, "here")}
    assert named == {f"here.{key}" for key, value in own.items() if not ledger.is_harmless(key, value)}
    assert all(loss.feature in ledger.LEDGER for loss in ledger.leftovers(own, ""))
