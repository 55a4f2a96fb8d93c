"""The mock's rules: each has a case that breaks it and one that just passes, and says where it comes from."""

from __future__ import annotations

import re
from string import Formatter

import pytest

from crosswire.mockserver.protocols import MOCK_PROTOCOLS
from crosswire.mockserver.protocols.rule import Refusal, Rule
from crosswire.mockserver.scenarios.provider import Auth, Provider

from .rule_cases import CASES, Patch, rule_case

AUTH = {"anthropic": "x-api-key", "gemini": "x-goog-api-key"}

RULES = {(protocol, rule.id): rule for protocol, found in MOCK_PROTOCOLS.items() for rule in found.rules}


def refusal_of(protocol: str, patch: Patch) -> Refusal | None:
    """Returns the rule that the protocol's good request breaks with this patch."""
    case = rule_case(protocol, patch)
    provider = Provider(
        name="p",
        protocol=protocol,
        auth=Auth(AUTH.get(protocol, "authorization"), "k"),
        models=case.models,
        capabilities=case.capabilities,
        habits=case.habits,
    )
    return MOCK_PROTOCOLS[protocol].refusal(case.path, case.headers, case.body, provider)


@pytest.mark.parametrize("protocol", MOCK_PROTOCOLS)
def test_the_good_request_passes(protocol: str) -> None:
    assert refusal_of(protocol, {}) is None


@pytest.mark.parametrize("protocol", MOCK_PROTOCOLS)
def test_every_rule_has_its_cases_and_an_id_of_its_own(protocol: str) -> None:
    ids = [rule.id for rule in MOCK_PROTOCOLS[protocol].rules]
    assert len(set(ids)) == len(ids)
    assert set(CASES[protocol]) == set(ids)


@pytest.mark.parametrize(("protocol", "id"), RULES)
def test_each_rule_fires_and_its_neighbour_passes(protocol: str, id: str) -> None:
    breaking, passing = CASES[protocol][id]
    refused = refusal_of(protocol, breaking)
    assert refused is not None
    assert refused.rule.id == id, refused.failure.message
    assert refused.failure.message
    assert not re.search(r"\{[a-z]+\}", refused.failure.message)
    neighbour = refusal_of(protocol, passing)
    assert neighbour is None, f"{neighbour.rule.id}: {neighbour.failure.message}"


@pytest.mark.parametrize("rule", RULES.values(), ids=["-".join(key) for key in RULES])
def test_each_rule_says_where_it_comes_from(rule: Rule) -> None:
    assert re.match(r"https://[\w.-]+/", rule.source)
    assert re.fullmatch(r"\d{4}-\d\d(-\d\d)?", rule.checked)
    assert rule.says
    assert 400 <= rule.status <= 500
    assert not [name for _, name, _, _ in Formatter().parse(rule.message) if name == ""]
