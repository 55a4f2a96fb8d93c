"""Tests of signatures: they come back unchanged to the provider that issued them, and are given to no other."""

from __future__ import annotations

from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.ir import Signature, signatures

PROTOCOL_NAMES = ("openai-chat", "openai-responses", "anthropic", "gemini", "ollama")
protocols = st.sampled_from(PROTOCOL_NAMES)
providers = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@given(value=st.text(), issuer=providers, upstream=protocols, client=protocols)
def test_property_a_signature_returns_only_to_its_issuer(value: str, issuer: str, upstream: str, client: str) -> None:
    text = signatures.for_client(Signature(value, upstream, issuer), client)
    if upstream == client:
        assert text == value
        return
    parsed = signatures.parse_token(text, client)
    assert parsed == Signature(value, client, issuer)
    assert signatures.for_backend(parsed, upstream, issuer) == value
    assert signatures.for_backend(parsed, upstream, issuer + "x") is None
    assert signatures.for_backend(parsed, client, issuer + "x") is None


@given(st.text(), protocols)
def test_property_parsing_never_fails_and_keeps_text_that_is_no_token(text: str, protocol: str) -> None:
    parsed = signatures.parse_token(text, protocol)
    assert parsed.protocol == protocol
    assert parsed.issuer is not None or parsed.value == text


@given(value=st.text(), issuer=providers)
def test_property_a_token_is_base64(value: str, issuer: str) -> None:
    token = signatures.for_client(Signature(value, "anthropic", issuer), "gemini")
    assert b64encode(b64decode(token, validate=True)).decode() == token


BARE_SIGNATURES: list[str] = [
    "",
    "EqQBCgIYAhIkMDAwMDAwMDA",
    "skip_thought_signature_validator",
    b64encode(b"cw1 no mark of an end").decode(),
    b64encode(b"cw1\xff\0").decode(),
    "Y3cx",
    "Y3cx====",
    "Y3cx not base64 \0",
]


@pytest.mark.parametrize("text", BARE_SIGNATURES)
@pytest.mark.parametrize("protocol", PROTOCOL_NAMES)
def test_a_bare_signature_belongs_to_the_protocol_of_its_client(text: str, protocol: str) -> None:
    parsed = signatures.parse_token(text, protocol)
    assert parsed == Signature(text, protocol)
    for backend in PROTOCOL_NAMES:
        assert signatures.for_backend(parsed, backend, "any") == (text if backend == protocol else None)
    assert signatures.for_client(parsed, "gemini") == text
