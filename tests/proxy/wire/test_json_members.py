"""Tests of where a member of an object stands in its text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.wire.json_members import member

MEMBERS: dict[str, tuple[str, str | None]] = {
    "alone": ('{"a":1}', "1"),
    "between blanks": (' { "b" : 2 , "a" :\n"x" } ', '"x"'),
    "an object": ('{"a":{"a":[1]},"b":2}', '{"a":[1]}'),
    "elsewhere": ('{"b":{"a":1},"c":["a",{"a":2}],"d":"\\"a\\":3"}', None),
    "behind others": ('{"b":{"a":1},"c":["a",{"a":2}],"a":null}', "null"),
    "the last of two": ('{"a":1,"a":22}', "22"),
    "an escaped key": ('{"\\u0061":"x"}', '"x"'),
    "a value of that name": ('{"b":"a"}', None),
    "an array": ('["a"]', None),
    "no JSON": ("[DONE]", None),
    "cut off": ('{"a":1', None),
}


@pytest.mark.parametrize(("text", "value"), MEMBERS.values(), ids=MEMBERS)
def test_where_a_member_stands(text: str, value: str | None) -> None:
    found = member(text.encode(), "a")
    assert (None if found is None else text[slice(*found)]) == value


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('ab"\\{', max_size=2), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text('ab"\\{', max_size=2), VALUES), st.booleans())
def test_what_stands_there_is_the_value(fields: dict[str, object], is_spaced: bool) -> None:
    text = json.dumps(fields, indent=1 if is_spaced else None).encode()
    found = member(text, "a")
    assert (found is not None) == ("a" in fields)
    if found is not None:
        assert json.loads(text[slice(*found)]) == fields["a"]
