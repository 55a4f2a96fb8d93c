"""A stream's losses: which of them are late, and how they are told."""

from __future__ import annotations

from typing import Any

from crosswire.proxy.ir import Loss
from crosswire.proxy.ir.loss_tables import LOSS_RULES
from crosswire.proxy.ir.stream_losses import EXTENSION, LONGEST_PATH, MOST_TOLD, StreamLosses


def told_by(losses: StreamLosses, event: dict[str, Any] | None = None) -> Any:
    event = {} if event is None else event
    losses.tell_late(event)
    return event.get(EXTENSION)


def test_nothing_is_late_before_the_headers() -> None:
    losses = StreamLosses()
    losses.append(Loss("a", "seed", "dropped"))
    assert told_by(losses) is None
    losses.headers_sent()
    assert told_by(losses) is None
    losses += [Loss("b", "top_k", "dropped")]
    assert told_by(losses) == [{"word": "top_k", "path": "b", "how": "dropped"}]


def test_the_list_is_bounded_and_has_every_word() -> None:
    words = list(LOSS_RULES)
    assert len(words) < MOST_TOLD
    losses = StreamLosses()
    losses.headers_sent()
    losses += [Loss(f"blocks[{n}]", words[0], "dropped") for n in range(500)]
    losses += [Loss("x" * 999, word, "dropped") for word in words]
    *found, rest = told_by(losses)
    assert len(found) == MOST_TOLD
    assert rest == {"left_out": 500 + len(words) - MOST_TOLD}
    assert {each["word"] for each in found} == set(words)
    assert max(len(each["path"]) for each in found) == LONGEST_PATH


def test_what_a_proxy_behind_this_one_told_stays() -> None:
    losses = StreamLosses()
    losses.headers_sent()
    losses += [Loss("b", "top_k", "dropped")]
    theirs = {"word": "seed", "path": "a", "how": "dropped"}
    assert told_by(losses, {EXTENSION: [theirs]}) == [{"word": "top_k", "path": "b", "how": "dropped"}, theirs]
