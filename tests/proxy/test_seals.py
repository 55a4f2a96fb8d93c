"""Seals: through any foreign client and back to their minter, whole; to nobody else, ever."""

from __future__ import annotations

from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import seals
from proxy.ir import Signature

DIALECTS = ("openai-chat", "openai-responses", "anthropic", "gemini", "ollama")
dialects = st.sampled_from(DIALECTS)
providers = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@given(value=st.text(), minter=providers, home=dialects, client=dialects)
def test_law_a_seal_comes_back_to_its_minter_alone(value: str, minter: str, home: str, client: str) -> None:
    given_ = seals.for_client(Signature(value, home, minter), client)
    if home == client:
        assert given_ == value
        return
    read = seals.read(given_, client)
    assert read == Signature(value, client, minter)
    assert seals.for_backend(read, home, minter) == value
    assert seals.for_backend(read, home, minter + "x") is None
    assert seals.for_backend(read, client, minter + "x") is None


@given(st.text(), dialects)
def test_law_reading_never_fails_and_gives_back_what_is_no_token(text: str, dialect: str) -> None:
    read = seals.read(text, dialect)
    assert read.dialect == dialect
    assert read.minter is not None or read.value == text


@given(value=st.text(), minter=providers)
def test_law_a_token_is_base64(value: str, minter: str) -> None:
    token = seals.for_client(Signature(value, "anthropic", minter), "gemini")
    assert b64encode(b64decode(token, validate=True)).decode() == token


BARE: list[str] = [
    "",
    "EqQBCgIYAhIkMDAwMDAwMDA",
    "skip_thought_signature_validator",
    b64encode(b"cw1 no mark of an end").decode(),
    b64encode(b"cw1\xff\0").decode(),
    "Y3cx",
    "Y3cx====",
    "Y3cx not base64 \0",
]


@pytest.mark.parametrize("text", BARE)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_bare_seal_belongs_to_the_dialect_of_its_client(text: str, dialect: str) -> None:
    read = seals.read(text, dialect)
    assert read == Signature(text, dialect)
    for backend in DIALECTS:
        assert seals.for_backend(read, backend, "any") == (text if backend == dialect else None)
    assert seals.for_client(read, "gemini") == text
