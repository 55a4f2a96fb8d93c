"""Tests of JSON parsing and typed field access: errors have a path, unread fields stay."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.proxy.errors import Malformed
from crosswire.proxy.wire import json_fields

FAULTS: dict[str, bytes | str] = {
    "nothing": b"",
    "cut": b'{"a":',
    "trailing": b"{} {}",
    "not UTF-8": b'"\xff"',
    "half a pair": b'"\\ud800"',
    "half a pair in a string": '"\ud800"',
    "not a number": b"[NaN]",
    "infinity": b"[Infinity]",
    "too big a float": b"1e400",
    "5,000 digits": b"1" * 5000,
    "50,000 arrays": b"[" * 50_000,
    "50,000 objects": b'{"a":' * 50_000,
    "HTML": b"<html></html>",
}


WHOLE = b' {"a": [1.5e-30, -2, true, false, null, "x\\u00e9\xc3\xa9\\"", {}], "b": {"c": "d"}}'
BROKEN: dict[str, bytes] = {
    "whole": WHOLE,
    "nothing": b"",
    "blanks": b" \n",
    "a number": b"1.",
    "a word": b"nul",
    "HTML": b"<html>",
    "no JSON": b'{"a": x',
    "a wrong number within": b'{"a": [1.], "b": "',
    "more behind": b'{"a": 1} {"b',
    "50,000 arrays": b"[" * 50_000,
}


def test_every_beginning_of_an_object_is_cut() -> None:
    for length in range(2, len(WHOLE)):
        assert json_fields.is_cut(WHOLE[:length]), WHOLE[:length]


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_cut(case: str) -> None:
    assert not json_fields.is_cut(BROKEN[case])


@pytest.mark.parametrize("case", FAULTS)
def test_every_json_error_is_malformed(case: str) -> None:
    body = FAULTS[case]
    with pytest.raises(Malformed, match="not valid JSON"):
        json_fields.parse(body)
    assert not json_fields.is_object(body if isinstance(body, str) else body.decode("utf-8", "replace"))
    if isinstance(body, bytes):
        with pytest.raises(Malformed, match="not valid JSON"):
            json_fields.raw_object(body)


@pytest.mark.parametrize("body", [b"[]", b'"a"', b"null", b"7"])
def test_a_body_must_be_an_object(body: bytes) -> None:
    with pytest.raises(Malformed, match="must be a JSON object"):
        json_fields.parse_object(body)
    with pytest.raises(Malformed):
        json_fields.raw_object(body)


def test_integers_of_any_size_survive() -> None:
    huge = b'{"a":123456789012345678901234567890,"b":-9223372036854775809}'
    assert json_fields.encode(json_fields.parse(huge)) == huge


TAKEN: list[tuple[Any, type[Any], Any]] = [
    ("x", str, "x"),
    ("", str, ""),
    (5, int, 5),
    (5, float, 5),
    (0.5, float, 0.5),
    (False, bool, False),
    ([1], list, [1]),
    ({"a": 1}, dict, {"a": 1}),
    (None, str, None),
]


@pytest.mark.parametrize(("value", "kind", "expected"), TAKEN)
def test_take_pops(value: Any, kind: type[Any], expected: Any) -> None:
    fields = {"key": value, "other": 1}
    taken = json_fields.take(fields, "key", kind)
    assert (taken, type(taken)) == (expected, type(expected))
    assert fields == {"other": 1}


def test_take_returns_the_default_for_absent_and_null() -> None:
    assert json_fields.take({}, "key", int, 3) == json_fields.take({"key": None}, "key", int, 3) == 3
    assert json_fields.take({"key": 0}, "key", int, 3) == 0


@pytest.mark.parametrize(
    ("value", "kind", "what"),
    [
        (5, str, "must be a string, is an integer"),
        (True, int, "must be an integer, is true or false"),
        (1.5, int, "must be an integer, is a number"),
        (True, float, "must be a number, is true or false"),
        (1, bool, "must be true or false, is an integer"),
        ({}, list, "must be an array, is an object"),
        ([], dict, "must be an object, is an array"),
    ],
)
def test_take_refuses_other_types(value: Any, kind: type[Any], what: str) -> None:
    with pytest.raises(Malformed) as caught:
        json_fields.take({"key": value}, "key", kind)
    assert str(caught.value) == f"key: {what}"


@pytest.mark.parametrize("fields", [{}, {"key": None}])
def test_need_names_the_missing_field(fields: dict[str, Any]) -> None:
    with pytest.raises(Malformed) as caught:
        json_fields.need(fields, "key", str)
    assert str(caught.value) == "key: is required and must be a string"


def test_each_adds_the_index_to_the_path() -> None:
    def decode(item: dict[str, Any]) -> str:
        return json_fields.need(item, "name", str)

    assert json_fields.each([{"name": "a"}, {"name": "b"}], "tools", decode) == ("a", "b")
    for items, said in (
        ([{"name": "a"}, {}], "tools[1].name: is required and must be a string"),
        ([{"name": "a"}, "b"], "tools[1]: must be an object, is a string"),
    ):
        with pytest.raises(Malformed) as caught:
            json_fields.each(items, "tools", decode)
        assert str(caught.value) == said


def test_malformed_under_extends_the_path() -> None:
    fault = Malformed("[2]", "is odd").under("content").under("messages[0]")
    assert str(fault) == "messages[0].content[2]: is odd"
    assert str(Malformed("", "is odd").under("messages")) == "messages: is odd"


@pytest.mark.parametrize(
    ("value", "expected"), [(None, ()), ("a", ("a",)), ([], ()), (["a", "b"], ("a", "b")), ("", ("",))]
)
def test_strings(value: Any, expected: tuple[str, ...]) -> None:
    fields = {"stop": value}
    assert json_fields.strings(fields, "stop") == expected
    assert fields == {}


@pytest.mark.parametrize("value", [1, [1], [None], {"a": "b"}])
def test_strings_refuses_other_types(value: Any) -> None:
    with pytest.raises(Malformed, match="stop"):
        json_fields.strings({"stop": value}, "stop")


SPLICED: list[tuple[str, bytes, bool]] = [
    ("", b"{}", True),
    (" \n", b"{}", True),
    ('{"b": 1,  "a": 2.0}', b'{"b": 1,  "a": 2.0}', True),
    ('{\n "a": "x\\ny"\r\n}', b'{  "a": "x\\ny"  }', True),
    ("[1]", b'{"input":"[1]"}', False),
    ("null", b'{"input":"null"}', False),
    ('{"a":', b'{"input":"{\\"a\\":"}', False),
    ("ls -l", b'{"input":"ls -l"}', False),
]


@pytest.mark.parametrize(("arguments", "raw", "exact"), SPLICED)
def test_splice(arguments: str, raw: bytes, exact: bool) -> None:
    spliced, kept = json_fields.splice(arguments)
    assert (bytes(spliced), kept) == (raw, exact)


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5)), st.sampled_from((None, 1, "\t")))
def test_property_spliced_arguments_are_on_one_line(arguments: dict[str, Any], indent: int | str | None) -> None:
    raw, exact = json_fields.splice(json.dumps(arguments, indent=indent))
    line = json_fields.encode({"arguments": raw})
    assert exact
    assert not {10, 13} & set(line)
    assert json.loads(line) == {"arguments": arguments}


@given(st.text())
def test_property_any_text_becomes_an_object(text: str) -> None:
    raw, exact = json_fields.splice(text)
    value = json.loads(bytes(raw))
    assert type(value) is dict
    assert exact or value == {"input": text}


def test_brackets_are_counted_before_a_large_text_is_parsed() -> None:
    with pytest.raises(Malformed, match="more than 1000000 arrays"):
        json_fields.parse(b"[" + b"[]," * 20_000_000 + b"0]")
    assert len(json_fields.parse(b"[" + b"[]," * 900_000 + b"0]")) == 900_001
