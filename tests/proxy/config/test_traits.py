"""Tests of the key `traits`: what it says is merged into the table, and a word that is unknown is an error."""

from __future__ import annotations

import pytest

from crosswire.proxy.config import load
from crosswire.proxy.traits import Traits, traits_of

from .sample_config import errors_of

BACKEND = "backends: {a: {protocol: openai-chat, base_url: 'http://h/v1', traits: {%s}}}\n"


def known(text: str, model: str) -> Traits:
    (backend,) = load(text, "c.yaml", {}).plan.backends
    return traits_of(model, backend.host, backend.quirks, backend.traits)


def test_all_columns_are_read() -> None:
    row = (
        "'my-*': {refuses: [stop], refuses_while_thinking: [top_p], forces: {effort_with_tools: none}, "
        "renames: {seed: random_seed}, defaults: {effort: low}, limits: {user: 64}, efforts: [low, high]}"
    )
    found = known(BACKEND % row, "my-model")
    assert (found.refuses, found.refuses_while_thinking, found.efforts) == ({"stop"}, {"top_p"}, ("low", "high"))
    assert (found.forces, found.renames) == ({"effort_with_tools": "none"}, {"seed": "random_seed"})
    assert (found.defaults, found.limits) == ({"effort": "low"}, {"user": 64})
    assert known(BACKEND % row, "another").rows == ()


def test_a_backends_own_traits_win_over_those_of_the_whole_config() -> None:
    text = BACKEND % "'m': {takes: [stop]}" + "traits: {'m': {refuses: [stop, seed]}, 'gpt-5': {replaces: true}}\n"
    assert known(text, "m").refuses == {"seed"}
    assert known(text, "gpt-5").refuses == frozenset()


@pytest.mark.parametrize(
    ("row", "path", "says"),
    [
        ("m: {refuses: [stops]}", "backends.a.traits.m.refuses[0]", "did you mean stop?"),
        ("m: {limits: {users: 5}}", "backends.a.traits.m.limits.users", "did you mean user?"),
        ("m: {limits: {user: -1}}", "backends.a.traits.m.limits.user", "at least 0"),
        ("m: {efforts: [lots]}", "backends.a.traits.m.efforts[0]", "none, minimal"),
        ("m: {rename: {}}", "backends.a.traits.m.rename", "did you mean renames?"),
        ("m: 5", "backends.a.traits.m", "give a mapping"),
    ],
)
def test_a_mistake_is_told_with_its_path(row: str, path: str, says: str) -> None:
    (found,) = [line for line in errors_of(lambda: load(BACKEND % row, "c.yaml", {})) if path in line]
    assert says in found
