"""A loss excuses a difference of its feature at its own place, and no other."""

from __future__ import annotations

from typing import Any

import pytest

from crosswire.conformance.comparison import WRONG, Difference
from crosswire.conformance.replay.loss_matches import LossMatches
from crosswire.conformance.replay.turn_places import TurnPlaces
from crosswire.mockserver.scenarios.model import Citation, Image
from crosswire.proxy.ir import Loss

PLACES = TurnPlaces(neutral=(0, 1, 1, 2), wire=(1, 1, 2), tools=("weather", "forecast"))
IMAGE = Image("image/png", "aGk=")


def difference(feature: str, path: str, sent: Any = "one", received: Any = None) -> Difference:
    return Difference(feature, path, sent, received)


def loss(path: str, feature: str) -> Loss:
    return Loss(path, feature, "dropped")


SEEN: list[tuple[str, Difference, list[Loss], bool]] = [
    ("same place", difference("seed", "sampling.seed"), [loss("sampling.seed", "seed")], True),
    ("no loss", difference("seed", "sampling.seed"), [], False),
    ("another feature", difference("seed", "sampling.seed"), [loss("sampling.seed", "top_k")], False),
    ("another setting", difference("penalties", "sampling.a"), [loss("sampling.b", "penalties")], False),
    ("a turn for a setting", difference("reasoning", "reasoning"), [loss("turns[0].x", "reasoning")], False),
    ("no loss excuses what is wrong", difference(WRONG, "turns[1].text"), [loss("turns[1]", "image")], False),
    ("the joined turn", difference("image", "turns[1].image"), [loss("turns[2].blocks[0]", "image")], True),
    ("another turn", difference("image", "turns[1].image"), [loss("turns[3].blocks[0]", "image")], False),
    (
        "two images, one loss",
        difference("image", "turns[1].image", [IMAGE, IMAGE], []),
        [loss("turns[1].blocks[0]", "image")],
        False,
    ),
    (
        "two images, two losses",
        difference("image", "turns[1].image", [IMAGE, IMAGE], []),
        [loss("turns[1].blocks[0]", "image"), loss("turns[2].blocks[0]", "image")],
        True,
    ),
    ("the tool", difference("tool_strict", "tools.forecast.strict"), [loss("tools[1].strict", "tool_strict")], True),
    (
        "another tool",
        difference("tool_strict", "tools.forecast.strict"),
        [loss("tools[0].strict", "tool_strict")],
        False,
    ),
    (
        "a signature with its thinking",
        difference("signature", "signatures", [("a", "b")], []),
        [loss("turns[1].blocks[0]", "reasoning_text")],
        True,
    ),
    (
        "two signatures, one loss",
        difference("signature", "signatures", ("a", "b"), ()),
        [loss("blocks[0].seal", "signature")],
        False,
    ),
    ("a field of the request", difference("user", "$.user"), [loss("user", "user")], True),
    ("another field of the same feature", difference("metadata", "$.labels"), [loss("metadata", "metadata")], False),
    (
        "a field in its other spelling",
        difference("unknown_field", "$.generationConfig.mediaResolution"),
        [loss("media_resolution", "unknown_field")],
        True,
    ),
    (
        "a field of a message",
        difference("name", "$.messages[2].name"),
        [loss("turns[3].name", "name")],
        True,
    ),
    (
        "a field of another message",
        difference("name", "$.messages[0].name"),
        [loss("turns[3].name", "name")],
        False,
    ),
    (
        "a field of the system text",
        difference("cache_control", "$.system[0].cache_control"),
        [loss("turns[1].blocks[0].cache_control", "cache_control")],
        False,
    ),
    (
        "a quote",
        difference("citations", "citations[0].quote"),
        [loss("blocks[0].citations[0].text", "citations")],
        True,
    ),
    ("a source", difference("citations", "citations[0]"), [loss("blocks[0].citations", "citations")], True),
    (
        "a source, of which only the quote is declared",
        difference("citations", "citations[0]"),
        [loss("blocks[0].citations[0].text", "citations")],
        False,
    ),
    (
        "arguments",
        difference("tool_arguments", "reply.calls"),
        [loss("blocks[0].arguments", "tool_arguments")],
        True,
    ),
]


@pytest.mark.parametrize(("found", "losses", "declared"), [row[1:] for row in SEEN], ids=[row[0] for row in SEEN])
def test_matches(found: Difference, losses: list[Loss], declared: bool) -> None:
    assert LossMatches(tuple(losses), PLACES).undeclared([found]) == ([] if declared else [found])


def test_each_loss_of_a_field_declares_one() -> None:
    found = [difference("cache_control", f"$.messages[1].content[{n}].cache_control", Citation(None)) for n in (0, 1)]
    matches = LossMatches((loss("turns[1].blocks[0].cache_control", "cache_control"),), PLACES)
    assert matches.undeclared(found) == found[1:]


def test_the_losses_that_a_difference_excuses() -> None:
    one, other = loss("sampling.seed", "seed"), loss("stop", "stop")
    assert LossMatches((one, other)).excused([difference("seed", "sampling.seed")]) == {one}
