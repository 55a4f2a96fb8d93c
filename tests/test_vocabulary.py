"""The programs agree: on protocols, capabilities, kinds of failure, and the words for losses."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
import yaml

from crosswire.conformance.comparison import EXTRA_FIELD_FEATURES, WRONG
from crosswire.conformance.matrix.expectations import read_expectations
from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.names import NAMES
from crosswire.mockserver.scenarios.model import COARSE_KINDS, ERROR_STATUS
from crosswire.mockserver.scenarios.story import CAPABILITIES as SCENARIO_CAPABILITIES
from crosswire.proxy.errors import STATUS
from crosswire.proxy.ir import CAPABILITIES
from crosswire.proxy.ir.loss_tables import FIELD_FEATURES, LOSS_RULES
from crosswire.proxy.protocols import PROTOCOLS

from .source_tree import ROOT, modules


def test_all_know_the_same_protocols() -> None:
    expected = read_expectations()
    spoken = {yaml.safe_load(file.read_text("utf-8"))["protocol"] for file in (ROOT / "scenarios/providers").iterdir()}
    assert list(PROTOCOLS) == list(MOCK_PROTOCOLS) == list(NAMES)
    assert list(PROTOCOLS) == list(expected.frontends) == list(expected.protocols)
    assert spoken == set(PROTOCOLS)
    for table in (PROTOCOLS, MOCK_PROTOCOLS):
        assert {name: name for name in table} == {name: protocol.name for name, protocol in table.items()}


def test_all_know_the_same_capabilities() -> None:
    assert set(CAPABILITIES) == set(SCENARIO_CAPABILITIES)


def test_the_mock_knows_every_kind_of_failure() -> None:
    assert set(STATUS) - set(ERROR_STATUS) - set(COARSE_KINDS) == set()


@pytest.mark.parametrize("protocol", read_expectations().protocols)
def test_the_expectations_use_the_loss_rules_words(protocol: str) -> None:
    row = read_expectations().protocols[protocol]
    refusable = {*CAPABILITIES, *(word for word, rule in LOSS_RULES.items() if rule.action == "refuse")}
    for side in (row.backend, row.frontend):
        assert set(side.losses) - set(LOSS_RULES) == set()
        assert set(side.refuses) - refusable == set()
        assert set(side.stream_errors) - set(ERROR_STATUS) == set()


def test_every_field_has_a_loss_rule() -> None:
    assert set(FIELD_FEATURES.values()) - set(LOSS_RULES) == set()
    assert set(EXTRA_FIELD_FEATURES.values()) - set(LOSS_RULES) == set()


def features_named(tree: ast.AST) -> Iterator[str]:
    """The words that a module gives to its differences: literal, or by a variable called `word` or `feature`."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Name("Difference" | "differ"), [first, *_]):
                yield from literals(first)
            case ast.Assign([ast.Name("word" | "feature")], value):
                yield from literals(value)
            case _:
                pass


def literals(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Constant(str(word)):
            yield word
        case ast.IfExp(_, one, other):
            yield from literals(one)
            yield from literals(other)
        case _:
            pass


def test_the_suite_uses_the_loss_rules_words() -> None:
    files = [
        file
        for module, file in modules().items()
        if re.fullmatch(r"conformance\.(comparison|checks|matrix|local_model)\.\w+", module)
    ]
    named = {word for file in files for word in features_named(ast.parse(file.read_text("utf-8")))}
    assert {"stop_reason", "tool_choice", "refusal"} <= named, "the words were not found: mend features_named"
    assert named - set(LOSS_RULES) - {WRONG} == set()
