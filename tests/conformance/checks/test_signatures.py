"""Checks of signatures: provider and block of each, and every way in which one can be lost, changed or misplaced."""

from __future__ import annotations

from base64 import b64encode

import pytest

from crosswire.conformance.checks.signatures import (
    PlacedSignature,
    parse_carrier,
    placed_signatures,
    reply_signature_errors,
    request_signature_errors,
)
from crosswire.mockserver.scenarios.model import Block, Text, Thinking, ToolCall


def token(provider: str, signature: str) -> str:
    """Returns the carrier token of a provider's signature."""
    return b64encode(f"cw1{provider}\0{signature}".encode()).decode()


OWN, FOREIGN = token("gemini", "s1"), token("anthropic", "s2")
THINKING = "the thinking block hm"


@pytest.mark.parametrize(
    ("signature", "found"),
    [
        (OWN, ("gemini", "s1")),
        (token("gemini", "\0text\0s1"), ("gemini", "s1")),
        ("s1", (None, "s1")),
        ("c2lnOg==", (None, "c2lnOg==")),
        (b64encode(b"cw1no mark").decode(), (None, b64encode(b"cw1no mark").decode())),
        (b64encode(b"cw1\xff\0").decode(), (None, b64encode(b"cw1\xff\0").decode())),
    ],
)
def test_a_carrier_token_names_its_provider(signature: str, found: tuple[str | None, str]) -> None:
    assert parse_carrier(signature) == found


PLACES: dict[str, tuple[tuple[Block, ...], bool, list[PlacedSignature]]] = {
    "a thinking block without its blanks": ((Thinking("h m", "s"),), False, [(THINKING, "s")]),
    "a call": ((ToolCall("c", "f", "{}", "s"),), False, [("the call of f", "s")]),
    "a call, carried before it": ((Thinking("", "s"), ToolCall("c", "f", "{}")), True, [("the call of f", "s")]),
    "an empty block before a call": ((Thinking("", "s"), ToolCall("c", "f", "{}")), False, [("an empty block", "s")]),
    "a redacted block before a call": (
        (Thinking("", "s", True), ToolCall("c", "f", "{}")),
        True,
        [("an empty block", "s")],
    ),
    "a text": ((Thinking("", "s"), Text("a")), True, [("an empty block", "s")]),
    "no signature": ((Thinking("hm"), Text("a"), ToolCall("c", "f", "{}")), True, []),
    "a placeholder": ((ToolCall("c", "f", "{}", "skip_thought_signature_validator"),), False, []),
}


@pytest.mark.parametrize("case", PLACES)
def test_the_block_of_a_signature(case: str) -> None:
    blocks, before_calls, found = PLACES[case]
    assert placed_signatures(blocks, before_calls=before_calls) == found


RECEIVED: dict[str, tuple[list[PlacedSignature], bool, str | None]] = {
    "the provider's own": ([(THINKING, OWN)], False, None),
    "lost, which is not an error": ([], False, None),
    "without a token in the same protocol": ([(THINKING, "s1")], True, None),
    "without a token in another protocol": ([(THINKING, "s1")], False, "not marked as gemini's"),
    "marked as another provider's": ([(THINKING, token("anthropic", "s1"))], False, "not marked as gemini's"),
    "invented": ([(THINKING, token("gemini", "s9"))], False, "was not sent by gemini"),
    "twice": ([(THINKING, OWN), (THINKING, OWN)], False, "was not sent by gemini"),
    "on another block": ([("the call of f", OWN)], False, "was not sent by gemini"),
}


@pytest.mark.parametrize("case", RECEIVED)
def test_signatures_that_a_client_receives(case: str) -> None:
    reply, same_protocol, wrong = RECEIVED[case]
    found = reply_signature_errors([(THINKING, "s1")], reply, "gemini", same_protocol=same_protocol)
    assert [wrong in one for one in found if wrong] == ([True] if wrong else []), found
    assert bool(found) == bool(wrong)


SENT: dict[str, tuple[list[PlacedSignature], bool, str | None]] = {
    "returned, without the foreign one": ([(THINKING, "s1")], False, None),
    "not returned": ([], False, "was not returned"),
    "changed": ([(THINKING, "s1 ")], False, "was not returned"),
    "on another block": ([("an empty block", "s1")], False, "was not returned"),
    "returned as a token": ([(THINKING, OWN)], False, "was not returned"),
    "with the foreign one": ([(THINKING, "s1"), (THINKING, "s2")], False, "is not one that the client sent"),
    "with an invented one": ([(THINKING, "s1"), (THINKING, "s9")], False, "is not one that the client sent"),
}


@pytest.mark.parametrize("case", SENT)
def test_signatures_that_reach_a_provider(case: str) -> None:
    received, same_protocol, wrong = SENT[case]
    found, foreign = request_signature_errors(
        [(THINKING, OWN), (THINKING, FOREIGN)], received, "gemini", same_protocol=same_protocol
    )
    assert foreign == [(THINKING, FOREIGN)]
    assert any(wrong in one for one in found) if wrong else found == []


def test_a_signature_without_token_belongs_to_the_clients_protocol() -> None:
    assert request_signature_errors([(THINKING, "s1")], [(THINKING, "s1")], "gemini", same_protocol=True) == ([], [])
    assert request_signature_errors([(THINKING, "s1")], [], "gemini", same_protocol=False) == ([], [(THINKING, "s1")])
