"""Tests of the loss tables, and of the functions that find a loss for every extra field, with its path."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.ir import (
    Audio,
    Block,
    Document,
    Image,
    Loss,
    Media,
    Opaque,
    Reasoning,
    ReasoningConfig,
    Reply,
    Request,
    ResponseFormat,
    Text,
    Tool,
    ToolChoice,
    ToolResult,
    Turn,
)
from crosswire.proxy.ir.loss_tables import FIELD_FEATURES, LOSS_RULES
from crosswire.proxy.ir.losses import (
    block_extra_losses,
    block_feature,
    declare_loss,
    extra_field_losses,
    feature_of,
    features,
    is_harmless,
    reply_extra_losses,
    request_extra_losses,
    says_nothing,
)


def test_the_tables_agree() -> None:
    assert set(FIELD_FEATURES.values()) <= set(LOSS_RULES)
    assert {rule.action for rule in LOSS_RULES.values()} <= {"refuse", "drop", "approximate"}
    assert all(rule.meaning for rule in LOSS_RULES.values())


@pytest.mark.parametrize(
    ("key", "feature"),
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
def test_feature_of(key: str, feature: str) -> None:
    assert feature_of(key) == feature


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
def test_harmless_fields_are_no_loss(key: str, value: Any, harmless: bool) -> None:
    assert is_harmless(key, value) is harmless
    assert bool(list(extra_field_losses({key: value}, "here"))) is not harmless


@pytest.mark.parametrize(
    ("feature", "how"), [("role", "approximated"), ("top_k", "dropped"), ("image", "dropped"), ("stop", "approximated")]
)
def test_declare_loss_follows_the_table(feature: str, how: str) -> None:
    assert declare_loss("here", feature).how == how


def test_an_unknown_feature_cannot_be_declared() -> None:
    with pytest.raises(KeyError):
        declare_loss("here", "made up")


def test_extra_fields_of_a_request_are_losses_with_their_paths() -> None:
    request = Request(
        protocol="openai-chat",
        model="m",
        turns=(
            Turn("user", (Text("a", extra={"cache_control": {}}), Image(Media(), {"detail": "high"})), {"name": "Ann"}),
            Turn(
                "user",
                (ToolResult("c", (Text("b", extra={"x": 1}),), extra={"y": 2}), Opaque("openai-chat", "odd", {})),
            ),
        ),
        tools=(Tool("t", extra={"defer": True}), Opaque("openai-chat", "web_search", {})),
        tool_choice=ToolChoice("auto", extra={"z": 1}),
        reasoning=ReasoningConfig(extra={"exclude": True}),
        format=ResponseFormat("text", extra={"grammar": "g"}),
        extra={"logit_bias": {"1": 2}, "n": 1, "metadata": {"a": "b"}},
    )
    assert request_extra_losses(request) == [
        Loss("logit_bias", "logit_bias", "dropped"),
        Loss("metadata", "metadata", "dropped"),
        Loss("turns[0].name", "name", "dropped"),
        Loss("turns[0].blocks[0].cache_control", "cache_control", "dropped"),
        Loss("turns[0].blocks[1].detail", "image_detail", "dropped"),
        Loss("turns[1].blocks[0].y", "unknown_field", "dropped"),
        Loss("turns[1].blocks[0].blocks[0].x", "unknown_field", "dropped"),
        Loss("turns[1].blocks[1].odd", "content", "dropped"),
        Loss("tools[0].defer", "unknown_field", "dropped"),
        Loss("tools[1].web_search", "hosted_tools", "dropped"),
        Loss("tool_choice.z", "unknown_field", "dropped"),
        Loss("reasoning.exclude", "unknown_field", "dropped"),
        Loss("format.grammar", "unknown_field", "dropped"),
    ]


def test_extra_fields_of_a_reply_are_losses_in_body_and_stream() -> None:
    blocks: tuple[Block, ...] = (Text("a", extra={"annotations": [1]}), Opaque("gemini", "executableCode", {}))
    reply = Reply(protocol="gemini", id=None, model=None, blocks=blocks, stop="end", extra={"finishMessage": "f"})
    streamed = [loss for index, block in enumerate(blocks) for loss in block_extra_losses(block, index)]
    assert streamed == [
        Loss("blocks[0].annotations", "citations", "dropped"),
        Loss("blocks[1].executableCode", "hosted_output", "dropped"),
    ]
    assert reply_extra_losses(reply) == [Loss("finishMessage", "stop_details", "dropped"), *streamed]


def test_features_are_distinct_and_ordered() -> None:
    losses = [Loss("a", "top_k", "dropped"), Loss("b", "seed", "dropped"), Loss("c", "top_k", "dropped")]
    assert features(losses) == ["top_k", "seed"]


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.lists(st.integers()), max_size=4))
def test_property_every_extra_field_is_a_loss_or_harmless(extra: dict[str, Any]) -> None:
    named = {loss.path for loss in extra_field_losses(extra, "here")}
    assert named == {f"here.{key}" for key, value in extra.items() if not is_harmless(key, value)}
    assert all(loss.feature in LOSS_RULES for loss in extra_field_losses(extra, ""))


def test_a_block_that_a_message_cannot_hold_has_a_feature() -> None:
    blocks = (
        *(Image(Media()), Document(Media()), Audio(Media())),
        *(Reasoning(""), ToolResult("c", ()), Opaque("p", "k", {})),
    )
    found = [block_feature(block) for block in blocks]
    assert found == ["image", "document", "audio", "reasoning_text", "orphan", "unknown_field"]


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ((), True),
        ((Text(""),), True),
        ((Text("", extra={"cache_control": {}}), Text("")), True),
        ((Text(" "),), False),
        ((Text(""), Image(Media(url="u"))), False),
        ((ToolResult("c", ()),), False),
    ],
)
def test_says_nothing(blocks: tuple[Block, ...], expected: bool) -> None:
    assert says_nothing(blocks) is expected
