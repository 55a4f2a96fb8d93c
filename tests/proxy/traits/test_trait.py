"""Tests of merging rows: which apply, which wins, what a config overrides, and that every word has a meaning."""

from __future__ import annotations

import pytest

from crosswire.proxy.protocols import PROTOCOLS
from crosswire.proxy.providers import PROVIDERS
from crosswire.proxy.traits import EFFORTS, FIELDS, WORDS, Trait, describe, pattern_of, traits_of
from crosswire.proxy.traits.host_table import HOSTS
from crosswire.proxy.traits.model_table import MODELS
from crosswire.proxy.traits.quirk_table import QUIRKS
from crosswire.proxy.traits.row import DEFAULTS, FORCES, LIMITS, RENAMES, SWITCHES, words

ROWS = (*HOSTS, *MODELS, *QUIRKS.values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.provider} {row.models}".strip())
def test_a_row_says_only_what_has_a_meaning(row: Trait) -> None:
    assert (row.refuses | row.refuses_while_thinking | row.takes) <= WORDS.keys()
    for given, known in (
        (row.forces, FORCES),
        (row.renames, RENAMES),
        (row.defaults, DEFAULTS),
        (row.limits, LIMITS),
    ):
        assert given.keys() <= set(known) <= FIELDS.keys()
    assert set(row.efforts or ()) <= {*EFFORTS, "default"}
    assert row.renames.get("thinking", SWITCHES[0]) in SWITCHES


@pytest.mark.parametrize("row", [*HOSTS, *MODELS], ids=lambda row: f"{row.provider} {row.models}".strip())
def test_a_row_of_the_table_names_its_source_and_date(row: Trait) -> None:
    assert row.source.startswith("https://")
    assert len(row.date) == len("2026-11-30")
    hosts = {provider.name for provider in PROVIDERS} | {each.host for row in PROVIDERS for each in row.speaks}
    assert not row.provider or row.provider in hosts


def test_every_quirk_of_a_protocol_has_a_row() -> None:
    assert {word for protocol in PROTOCOLS.values() for word in protocol.quirks} <= QUIRKS.keys()


def test_a_model_that_no_row_names_has_no_traits() -> None:
    assert traits_of("my-own-model").rows == ()


def test_a_host_has_its_rows_and_those_of_the_model() -> None:
    found = traits_of("deepseek-v4-flash", "deepseek")
    assert found.renames["thinking"] == "thinking.type"
    assert found.efforts == ("low", "high", "max")
    assert "content_parts" in found.refuses
    assert traits_of("deepseek-v4-flash").rows == ()


OVERRIDES = [
    pytest.param(Trait(models="^gpt-5$", takes=words("temperature stop")), False, id="a word is taken back"),
    pytest.param(Trait(models="^gpt-5$", replaces=True), False, id="the table is forgotten"),
    pytest.param(Trait(models="^gpt-6$", replaces=True), True, id="another model"),
]


@pytest.mark.parametrize(("own", "refused"), OVERRIDES)
def test_a_config_wins(own: Trait, refused: bool) -> None:
    found = traits_of("gpt-5", own=(own,))
    assert ("temperature" in found.refuses_while_thinking) is refused
    assert ("stop" in found.refuses) is refused


def test_a_later_row_wins_over_an_earlier_one() -> None:
    rows = (Trait(refuses=words("stop"), limits={"user": 5}), Trait(takes=words("stop"), limits={"user": 9}))
    found = traits_of("m", own=rows)
    assert (found.refuses, found.takes, found.limits) == (frozenset(), {"stop"}, {"user": 9})


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("gpt-5*", "GPT-5-mini", True),
        ("gpt-5", "gpt-5-mini", False),
        ("*/llama-?", "meta/llama-3", True),
        ("a.b", "axb", False),
    ],
)
def test_a_shell_pattern_matches_the_whole_name(pattern: str, name: str, matches: bool) -> None:
    assert Trait(models=pattern_of(pattern)).matches(name.lower(), "") is matches


def test_the_description_says_everything_with_its_meaning_and_source() -> None:
    lines = list(describe(traits_of("gpt-5.6-terra")))
    assert "refuses stop: stop sequences" in lines
    assert "forces effort_with_tools = none: the effort that must be sent beside tools" in lines
    assert "efforts: none, low, medium, high, xhigh, max" in lines
    assert any(line.startswith("source: https://") for line in lines)
    assert "efforts: none at all" in describe(traits_of("gpt-5-chat-latest"))
