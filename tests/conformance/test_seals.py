"""The referee's eye for seals: whose each is, what it is on, and every way in which one can go astray."""

from __future__ import annotations

from base64 import b64encode

import pytest

from conformance.seals import Sealed, opened, sealed, sent_wrongly, told_wrongly
from mockserver.speech import Block, Call, Text, Think


def token(minter: str, seal: str) -> str:
    return b64encode(f"cw1{minter}\0{seal}".encode()).decode()


MINE, THEIRS = token("gemini", "s1"), token("anthropic", "s2")
ON = "the thought hm"


@pytest.mark.parametrize(
    ("seal", "found"),
    [
        (MINE, ("gemini", "s1")),
        (token("gemini", "\0text\0s1"), ("gemini", "s1")),
        ("s1", (None, "s1")),
        ("c2lnOg==", (None, "c2lnOg==")),
        (b64encode(b"cw1no mark").decode(), (None, b64encode(b"cw1no mark").decode())),
        (b64encode(b"cw1\xff\0").decode(), (None, b64encode(b"cw1\xff\0").decode())),
    ],
)
def test_a_token_names_its_minter(seal: str, found: tuple[str | None, str]) -> None:
    assert opened(seal) == found


PLACES: dict[str, tuple[tuple[Block, ...], bool, list[Sealed]]] = {
    "a thought, however it is spaced": ((Think("h m", "s"),), False, [(ON, "s")]),
    "a call": ((Call("c", "f", "{}", "s"),), False, [("the call of f", "s")]),
    "a call's that rides": ((Think("", "s"), Call("c", "f", "{}")), True, [("the call of f", "s")]),
    "a wordless thought before a call": ((Think("", "s"), Call("c", "f", "{}")), False, [("no words", "s")]),
    "a redacted one before a call": ((Think("", "s", True), Call("c", "f", "{}")), True, [("no words", "s")]),
    "a text's": ((Think("", "s"), Text("a")), True, [("no words", "s")]),
    "none": ((Think("hm"), Text("a"), Call("c", "f", "{}")), True, []),
    "a stand-in": ((Call("c", "f", "{}", "skip_thought_signature_validator"),), False, []),
}


@pytest.mark.parametrize("case", PLACES)
def test_what_a_seal_is_on(case: str) -> None:
    blocks, rides, found = PLACES[case]
    assert sealed(blocks, rides=rides) == found


TOLD: dict[str, tuple[list[Sealed], bool, str | None]] = {
    "its own": ([(ON, MINE)], False, None),
    "lost, which is no fault": ([], False, None),
    "bare to its own client": ([(ON, "s1")], True, None),
    "bare to a stranger": ([(ON, "s1")], False, "not marked as gemini's"),
    "in another's name": ([(ON, token("anthropic", "s1"))], False, "not marked as gemini's"),
    "made up": ([(ON, token("gemini", "s9"))], False, "did not put there"),
    "twice": ([(ON, MINE), (ON, MINE)], False, "did not put there"),
    "on another thing": ([("the call of f", MINE)], False, "did not put there"),
}


@pytest.mark.parametrize("case", TOLD)
def test_what_a_client_hears_of_a_seal(case: str) -> None:
    heard, bare, wrong = TOLD[case]
    found = told_wrongly([(ON, "s1")], heard, "gemini", bare=bare)
    assert [wrong in one for one in found if wrong] == ([True] if wrong else []), found
    assert bool(found) == bool(wrong)


SENT: dict[str, tuple[list[Sealed], bool, str | None]] = {
    "home, the other stays behind": ([(ON, "s1")], False, None),
    "not home": ([], False, "did not come home"),
    "changed": ([(ON, "s1 ")], False, "did not come home"),
    "on another thing": ([("no words", "s1")], False, "did not come home"),
    "as a token": ([(ON, MINE)], False, "did not come home"),
    "the other too": ([(ON, "s1"), (ON, "s2")], False, "is not what the client had"),
    "forged": ([(ON, "s1"), (ON, "s9")], False, "is not what the client had"),
}


@pytest.mark.parametrize("case", SENT)
def test_what_reaches_a_provider_of_a_seal(case: str) -> None:
    arrived, bare, wrong = SENT[case]
    found, away = sent_wrongly([(ON, MINE), (ON, THEIRS)], arrived, "gemini", bare=bare)
    assert away == [(ON, THEIRS)]
    assert any(wrong in one for one in found) if wrong else found == []


def test_a_bare_seal_is_its_own_dialects() -> None:
    assert sent_wrongly([(ON, "s1")], [(ON, "s1")], "gemini", bare=True) == ([], [])
    assert sent_wrongly([(ON, "s1")], [], "gemini", bare=False) == ([], [(ON, "s1")])
