"""Log probabilities: the shared form, their places among the texts of a reply, and their fate where a stop cuts it."""

from __future__ import annotations

from typing import Any

import pytest

from crosswire.proxy.ir import (
    Block,
    BlockDelta,
    BlockEnd,
    BlockStart,
    Event,
    Reasoning,
    Reply,
    ReplyEnd,
    ReplyStart,
    Text,
    TokenLogprob,
    ToolCall,
    fold,
    unfold,
)
from crosswire.proxy.ir.stop_sequences import StopCutter, cut_at_stops
from crosswire.proxy.ir.token_logprobs import (
    add_logprobs,
    logprobs_in,
    logprobs_out,
    tokens_in,
    tokens_out,
    with_logprobs,
)

HIGH, AT, NOON = (TokenLogprob(text, -0.5, tuple(text.encode())) for text in ("High", " at", " noon"))
TOKENS = (HIGH, AT, NOON)

ASKED: list[tuple[dict[str, Any], int | None, dict[str, Any]]] = [
    ({"logprobs": True, "top_logprobs": 2}, 2, {}),
    ({"logprobs": True}, 0, {}),
    ({"logprobs": True, "top_logprobs": None}, 0, {}),
    ({"logprobs": False}, None, {"logprobs": False}),
    ({"top_logprobs": 2}, None, {"top_logprobs": 2}),
    ({}, None, {}),
]


@pytest.mark.parametrize(("fields", "wanted", "rest"), ASKED)
def test_what_is_asked_for(fields: dict[str, Any], wanted: int | None, rest: dict[str, Any]) -> None:
    found = dict(fields)
    assert logprobs_in(found) == wanted
    assert found == rest


@pytest.mark.parametrize(
    ("most", "wanted"), [(None, {}), (0, {"logprobs": True}), (3, {"logprobs": True, "top_logprobs": 3})]
)
def test_what_is_asked_of_a_backend(most: int | None, wanted: dict[str, Any]) -> None:
    assert logprobs_out(most) == wanted


ENTRIES: list[tuple[Any, tuple[TokenLogprob, ...]]] = [
    ([{"token": "a", "logprob": -1, "bytes": [97]}], (TokenLogprob("a", -1, (97,)),)),
    (
        [{"token": "a", "logprob": 0, "bytes": None, "top_logprobs": [{"token": "b", "logprob": -2.5}]}],
        (TokenLogprob("a", 0, None, (TokenLogprob("b", -2.5),)),),
    ),
    ([{"token": "a"}, {"logprob": -1}, {"token": "a", "logprob": None}, 5, None], ()),
    ([{"token": "a", "logprob": -1, "bytes": ["x"]}], (TokenLogprob("a", -1),)),
    (None, ()),
    ({"token": "a"}, ()),
]


@pytest.mark.parametrize(("entries", "wanted"), ENTRIES)
def test_entries_are_decoded_as_far_as_they_are_whole(entries: Any, wanted: tuple[TokenLogprob, ...]) -> None:
    assert tokens_in(entries) == wanted
    assert tokens_in(tokens_out(wanted))[: len(wanted)] == tuple(
        TokenLogprob(
            token.token,
            token.logprob,
            token.octets or tuple(token.token.encode()),
            tuple(TokenLogprob(top.token, top.logprob, tuple(top.token.encode())) for top in token.top),
        )
        for token in wanted
    )


def test_a_token_that_is_no_character_has_no_octets_of_its_own() -> None:
    assert tokens_out([TokenLogprob("\ufffd", -1)])[0]["bytes"] is None
    assert tokens_out([TokenLogprob("\ufffd", -1, (226, 128))])[0]["bytes"] == [226, 128]


PLACES: list[tuple[tuple[Block, ...], list[tuple[TokenLogprob, ...]]]] = [
    ((Text("High at noon"),), [TOKENS]),
    ((Reasoning("h"), Text("High at"), ToolCall("c", "f"), Text(" noon")), [(HIGH, AT), (NOON,)]),
    ((Text("Hi"), Text("gh at noon")), [(HIGH,), (AT, NOON)]),
    ((Text(""), Text("High")), [(), TOKENS]),
    ((Text("High at noon and more"), Text("x")), [TOKENS, ()]),
]


@pytest.mark.parametrize(("blocks", "wanted"), PLACES)
def test_each_text_gets_its_own(blocks: tuple[Block, ...], wanted: list[tuple[TokenLogprob, ...]]) -> None:
    found = with_logprobs(blocks, TOKENS)
    assert [block.logprobs for block in found if isinstance(block, Text)] == wanted


def test_they_join_the_text_that_they_came_with() -> None:
    out: list[Event] = [BlockStart(0, Text("")), BlockDelta(0, "High")]
    add_logprobs(out, 0, (HIGH,))
    add_logprobs(out, 1, (AT,))
    assert out[1:] == [BlockDelta(0, "High", (HIGH,)), BlockDelta(1, "", (AT,))]


def reply(text: str, tokens: tuple[TokenLogprob, ...]) -> Reply:
    return Reply(protocol="p", id=None, model=None, blocks=(Text(text, logprobs=tokens),), stop="end")


def test_a_stream_folds_to_the_reply_that_it_unfolds_from() -> None:
    whole = reply("High at noon", TOKENS)
    assert fold(unfold(whole)) == whole
    assert fold(unfold(reply("", TOKENS))) == reply("", TOKENS)


CUTS = [
    (" noon", "High at", (HIGH, AT)),
    ("igh", "H", (HIGH,)),
    ("High", "", ()),
    ("t n", "High a", (HIGH, AT)),
    ("absent", "High at noon", TOKENS),
]


@pytest.mark.parametrize(("stop", "text", "tokens"), CUTS)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_text_that_is_cut_keeps_the_tokens_that_begin_in_it(
    stop: str, text: str, tokens: tuple[TokenLogprob, ...], is_streamed: bool
) -> None:
    if is_streamed:
        pieces = [BlockDelta(0, token.token, (token,)) for token in TOKENS]
        events = [ReplyStart("p", None, None), BlockStart(0, Text("")), *pieces, BlockEnd(0), ReplyEnd("end")]
        found = fold(StopCutter((stop,)).feed(events))
    else:
        found = cut_at_stops(reply("High at noon", TOKENS), (stop,))
    assert isinstance(found, Reply)
    assert found.blocks == (Text(text, logprobs=tokens),)
