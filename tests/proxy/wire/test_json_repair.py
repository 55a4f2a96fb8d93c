"""Repair of JSON that no strict parser takes."""

from __future__ import annotations

import json

import pytest

from crosswire.proxy.ir.repairs import Repairs
from crosswire.proxy.wire.json_repair import JsonRepair

CASES: dict[str, tuple[list[bytes], list[object], tuple[str, ...]]] = {
    "NaN": ([b'{"a":NaN,"b":"NaN"}'], [{"a": None, "b": "NaN"}], ("number",)),
    "Infinity": ([b'{"a":[Infinity,-Infinity,1.5]}'], [{"a": [None, None, 1.5]}], ("number",)),
    "a number beyond all": ([b'{"a":NaN,"b":1e999}'], [{"a": None, "b": None}], ("number",)),
    "a split character": (
        [b'{"t":"x\\ud83d"}', b'{"t":"\\ude00y"}'],
        [{"t": "x"}, {"t": "\U0001f600y"}],
        ("surrogate",),
    ),
    "a lone half": ([b'{"t":"a\\ud83db","u":"\\ude00"}'], [{"t": "a\ufffdb", "u": "\ufffd"}], ("surrogate",)),
    "a half in a key": ([b'{"\\ud83dk":NaN}'], [{"\ufffdk": None}], ("number",)),
}


@pytest.mark.parametrize(("texts", "values", "names"), CASES.values(), ids=CASES)
def test_what_is_repaired(texts: list[bytes], values: list[object], names: tuple[str, ...]) -> None:
    repairs = Repairs()
    repair = JsonRepair(repairs)
    found = [repair.of(text) for text in texts]
    assert [json.loads(text or b"") for text in found] == values
    assert repairs.names() == names


@pytest.mark.parametrize("text", [b'{"a":1}', b"{oops", b"", b"NaNa", b"[" * 100_000])
def test_what_is_left_alone(text: bytes) -> None:
    repairs = Repairs()
    assert JsonRepair(repairs).of(text) is None
    assert not repairs
