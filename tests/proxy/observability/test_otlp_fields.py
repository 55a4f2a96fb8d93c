"""Fields of protobuf, read back by the vendors' own classes."""

from __future__ import annotations

import math

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from crosswire.proxy.observability.otlp_fields import (
    LONGEST,
    MOST_INT,
    Value,
    any_value,
    attributes,
    double_attribute,
    int_attribute,
    text_attribute,
    varint,
)

NUMBERS = [0, 1, 127, 128, 129, 300, 16_383, 16_384, 2**21 - 1, 2**21, 2**35, 2**62, MOST_INT]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("", "string_value"),
        ("ä", "string_value"),
        ("x" * 200, "string_value"),
        (True, "bool_value"),
        (False, "bool_value"),
        (0.0, "double_value"),
        (-1.5, "double_value"),
        (math.inf, "double_value"),
        *((number, "int_value") for number in NUMBERS),
    ],
)
def test_values(value: Value, kind: str) -> None:
    read = AnyValue.FromString(any_value(value))
    assert read.WhichOneof("value") == kind
    assert getattr(read, kind) == value


def test_a_list_of_texts() -> None:
    read = AnyValue.FromString(any_value(["a", "", "ä" * 300]))
    assert [each.string_value for each in read.array_value.values] == ["a", "", "ä" * 300]
    assert AnyValue.FromString(any_value([])).WhichOneof("value") == "array_value"


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_of_any_length(number: int) -> None:
    """The shorter way for small ones writes what the longer one would."""
    assert AnyValue.FromString(b"\x18" + varint(number)).int_value == number


def one(field: bytes) -> KeyValue:
    (found,) = Resource.FromString(field).attributes
    return found


@pytest.mark.parametrize("name", ["n", "a.long.name" * 10])
def test_an_attribute_of_its_own_is_as_any_other(name: str) -> None:
    for number in NUMBERS:
        assert one(int_attribute(1, name)(number)) == one(attributes(1, {name: number}))
    for text in ("", "t", "ä" * 100, "x" * 1000):
        assert one(text_attribute(1, name)(text)) == one(attributes(1, {name: text}))
        assert one(text_attribute(1, name)(text)).value.string_value == text[:LONGEST]
    for share in (0.0, 0.25, -3.0):
        assert one(double_attribute(1, name)(share)) == one(attributes(1, {name: share}))


@pytest.mark.parametrize("number", [-1, MOST_INT + 1, 10**30])
def test_a_number_that_no_field_holds_is_left_out(number: int) -> None:
    assert int_attribute(1, "n")(number) == attributes(1, {"n": number}) == b""


def test_what_is_none_is_left_out() -> None:
    assert one(attributes(1, {"a": None, "b": 1, "c": None})).key == "b"
