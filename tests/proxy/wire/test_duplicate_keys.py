"""Tests of keys that an object holds twice: an error at the top, and never passed on below it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.errors import Malformed
from crosswire.proxy.wire.duplicate_keys import parse_request, repeats_none

LONG = b'"long":"' + b"x" * 10_000 + b'",'
"""A long text, beside which each object is looked at, where a short body is written anew."""


def long(body: bytes) -> bytes:
    """The body with a long text as its first value."""
    at = body.index(b"{") + 1
    return body[:at] + LONG + body[at:]


AT_TOP = [
    (b'{"model":"a","x":1,"model":"b"}', "model"),
    (b'{"model" : "a", "model" : "a"}', "model"),
    (b'{"model":"a","mod\\u0065l":"b"}', "model"),
    (b'{"a":":","b":"\\u003a","b":1}', "b"),
]


@pytest.mark.parametrize(("body", "key"), [*AT_TOP, *((long(body), key) for body, key in AT_TOP)])
def test_a_key_that_is_there_twice_is_an_error(body: bytes, key: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_request(body)
    assert caught.value.path == key
    assert "twice" in caught.value.what


BELOW = [
    b'{"a":{"b":1,"b":2}}',
    b'{"a":[{"c":{"b":":","b":"x"}}]}',
    b'{"a":{"b":"\\u003a","b":2}}',
]


@pytest.mark.parametrize("body", [*BELOW, *map(long, BELOW)])
def test_an_inner_object_is_written_anew(body: bytes) -> None:
    fields, text = parse_request(body)
    assert text != body
    assert json.loads(text) == fields == json.loads(body)


UNAMBIGUOUS = [
    b'{"a": {"b": 1}, "c": [{"b": 1}, {"b": 2}]}',
    b'{"a":"\\u003a","b":": :"}',
    b'{ "caf\\u00e9" : "\\ud83d\\ude00" }',
]


@pytest.mark.parametrize("body", [*UNAMBIGUOUS, *map(long, UNAMBIGUOUS)])
def test_any_other_text_stays_as_it_is(body: bytes) -> None:
    fields, text = parse_request(body)
    assert text is body
    assert fields == json.loads(body)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab:\\"', max_size=2), inner, max_size=3),
)


@given(st.dictionaries(st.text("abc:", max_size=3), VALUES, max_size=4), st.booleans(), st.booleans())
def test_what_a_library_writes_is_passed_on(fields: dict[str, Any], ascii_only: bool, is_long: bool) -> None:
    fields |= {"long": "x: " * 3000} if is_long else {}
    body = json.dumps(fields, ensure_ascii=ascii_only).encode()
    assert parse_request(body) == (fields, body)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=2), VALUES, min_size=1, max_size=4), st.data())
def test_every_key_that_is_added_again_is_found(fields: dict[str, Any], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(fields)))
    body = json.dumps(fields)[:-1].encode() + b"," + json.dumps(key).encode() + b":1}"
    with pytest.raises(Malformed):
        parse_request(body)


@pytest.mark.parametrize(("text", "repeats"), [(b'[{"a":1},{"a":":"}]', False), (b'[{"a":1,"a":2}]', True)])
def test_values_that_are_no_object(text: bytes, repeats: bool) -> None:
    for each in (text, b"[" + b'"' + b"x" * 10_000 + b'",' + text + b"]"):
        assert repeats_none(each, json.loads(each)) is not repeats
        assert repeats_none(b'{"k":"v","l":' + each + b"}", {"k": "v", "l": json.loads(each)}) is not repeats
    colons = text.count(b":")
    assert repeats_none(b'{"k":"v","l":' + text + b"}", {"k": "v"}, colons + 1)
    assert not repeats_none(b'{"k":"v","k":"v","l":' + text + b"}", {"k": "v"}, colons + 1)
